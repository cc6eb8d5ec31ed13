// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a trace costs: lives of regions untraced, under `ashmem trace` and under strace, turn by
//! turn in one run.

use std::fs;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::tracer::{Tracer, read};

/// Lives of one turn.
const LIVES: u64 = 500;
/// Turns; the median counts.
const TURNS: usize = 5;
/// How much longer the turn is that shows whether the tracer's memory grows.
const LONGER: u64 = 10;

/// What was measured. Times are nanoseconds of one life.
#[derive(Debug, Default, Serialize)]
struct Cost {
    untraced_ns: f64,
    traced_ns: f64,
    strace_ns: f64,
    /// Calls that were made while traced, and how many of them the trace does not tell.
    calls: u64,
    missing: u64,
    /// Events that the tracer says were lost.
    lost: u64,
    /// The tracer's memory at most, in KiB, over a turn and over one ten times as long.
    peak_kib: i64,
    peak_longer_kib: i64,
}

/// Measures and prints it as JSON.
pub(crate) fn measure(source: &str, ashmem: &str, strace: &str) -> Result<()> {
    let tracer = Tracer::new(source, ashmem)?;
    let before: &[&str] = if source == "agent" { &[ashmem, "run", "--"] } else { &[] };
    let log = tracer.file("strace");
    let mut straced = before.to_vec();
    straced.extend([strace, "-f", "-qq", "-e", "trace=openat,ioctl,mmap,close", "-o", &log]);
    let mut cost = Cost::default();
    let (mut untraced, mut traced, mut under_strace) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        untraced.push(plain(&tracer, before)?);
        let (ns, peak) = under_trace(&tracer, LIVES, &mut cost)?;
        traced.push(ns);
        cost.peak_kib = cost.peak_kib.max(peak);
        under_strace.push(plain(&tracer, &straced)?);
    }
    cost.peak_longer_kib = under_trace(&tracer, LIVES * LONGER, &mut cost)?.1;
    (cost.untraced_ns, cost.traced_ns, cost.strace_ns) =
        (median(untraced), median(traced), median(under_strace));
    println!("{}", serde_json::to_string(&cost)?);
    Ok(())
}

/// Lives under these words.
fn plain(tracer: &Tracer, words: &[&str]) -> Result<f64> {
    let (own, account) = (crate::program::own_path()?, tracer.file("account"));
    let all = [words, &[&own, "work", "lives", &account]].concat();
    let status =
        Command::new(all[0]).args(&all[1..]).env("TRIAL_TURNS", LIVES.to_string()).status();
    let status = status.with_context(|| format!("starting {}", all[0]))?;
    ensure!(status.success(), "{} ended with {status}", all[0]);
    nanoseconds(&account)
}

/// Lives under the tracer; nanoseconds of one, and the tracer's memory at most in KiB.
fn under_trace(tracer: &Tracer, lives: u64, cost: &mut Cost) -> Result<(f64, i64)> {
    let file = tracer.file("cost.json");
    let mut command = tracer.command(&["--json", "-o", &file], "lives")?;
    let child = command
        .env("TRIAL_TURNS", lives.to_string())
        .stdin(Stdio::null())
        .spawn()
        .context("starting ashmem")?;
    let peak = wait(&child)?.peak_kib;
    let told = read(&file)?;
    // Name, size, mapping and end of each life, and its open.
    let operations = ["OPEN", "SET_NAME", "SET_SIZE", "MMAP"];
    let seen =
        told.events.iter().filter(|event| operations.contains(&event.operation.name())).count()
            as u64;
    cost.calls += lives * operations.len() as u64;
    cost.missing += lives * operations.len() as u64 - seen;
    cost.lost += told.end.map_or(0, |end| end.lost);
    Ok((nanoseconds(&tracer.file("account"))?, peak))
}

/// What a child took, its own waited-for children included.
pub(crate) struct Usage {
    /// Its memory at most, in KiB.
    peak_kib: i64,
    /// Processors' time, in nanoseconds.
    pub(crate) time_ns: f64,
}

/// Waits for a child's good end.
pub(crate) fn wait(child: &Child) -> Result<Usage> {
    let mut status = 0;
    // SAFETY: all zeroes is a value of this structure of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the child is this process's own and nobody else waits for it; the places are this
    // function's own.
    let done = unsafe { libc::wait4(child.id() as i32, &raw mut status, 0, &raw mut usage) };
    ensure!(done > 0 && status == 0, "process {} ended with status {status:#x}", child.id());
    let nanoseconds = |time: libc::timeval| time.tv_sec as f64 * 1e9 + time.tv_usec as f64 * 1e3;
    let time_ns = nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime);
    Ok(Usage { peak_kib: usage.ru_maxrss, time_ns })
}

fn nanoseconds(file: &str) -> Result<f64> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {file}"))?;
    text.trim().parse().with_context(|| format!("reading the number in {file}"))
}

/// The value in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
