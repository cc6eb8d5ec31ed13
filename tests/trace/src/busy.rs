// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a busy host pays for being traced as a whole: processor time of work that has nothing to do
//! with regions, alone and while `ashmem trace` watches every process, turn by turn.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use crate::cost::{median, wait};
use crate::program::own_path;
use crate::tracer::Tracer;

/// Turns; the median counts.
pub(crate) const TURNS: usize = 7;

/// Nanoseconds of processors' time.
#[derive(Debug, Serialize)]
struct Busy {
    untraced_ns: f64,
    /// Of the same work while it is traced, the kernel's part of the tracing included.
    traced_ns: f64,
    /// Of the tracer itself meanwhile.
    tracer_ns: f64,
    /// What the host pays for both.
    ratio: f64,
}

/// Measures and prints it as JSON.
pub(crate) fn measure(source: &str, ashmem: &str, turns: usize) -> Result<()> {
    ensure!(turns > 0, "no turn measures nothing");
    let tracer = Tracer::new(source, ashmem)?;
    let (mut untraced, mut traced, mut own) = (Vec::new(), Vec::new(), Vec::new());
    // The first turn warms caches, and is not counted.
    work(&tracer)?;
    for _ in 0..turns {
        untraced.push(work(&tracer)?);
        let (of_work, of_tracer) = watched(&tracer)?;
        traced.push(of_work);
        own.push(of_tracer);
    }
    let (untraced_ns, traced_ns, tracer_ns) = (median(untraced), median(traced), median(own));
    let ratio = (traced_ns + tracer_ns) / untraced_ns;
    println!("{}", serde_json::to_string(&Busy { untraced_ns, traced_ns, tracer_ns, ratio })?);
    Ok(())
}

/// Processors' time of the work, in nanoseconds.
fn work(tracer: &Tracer) -> Result<f64> {
    let mut command = Command::new(own_path()?);
    let child = command.args(["work", "busy", &tracer.file("account")]).spawn();
    Ok(wait(&child.context("starting the work")?)?.time_ns)
}

/// The same while every process is watched, and of the watcher.
fn watched(tracer: &Tracer) -> Result<(f64, f64)> {
    let mut command = Command::new(&tracer.ashmem);
    command.args(["trace", "--source", &tracer.source, "-o", &tracer.file("watched")]);
    let mut trace = command.stderr(Stdio::piped()).spawn().context("starting ashmem")?;
    let mut said = String::new();
    BufReader::new(trace.stderr.take().context("no stderr")?).read_line(&mut said)?;
    let done = work(tracer);
    kill_process(Pid::from_child(&trace), Signal::TERM)?;
    let of_tracer = wait(&trace)?.time_ns;
    let told = fs::read_to_string(tracer.file("watched")).context("reading what was told")?;
    ensure!(!told.contains("were lost"), "events were lost: {told}");
    Ok((done?, of_tracer))
}
