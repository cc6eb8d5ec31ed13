// SPDX-License-Identifier: MIT OR Apache-2.0
//! A fuzzer that lives in the machine whose kernel it tries: it plays random inputs on the module,
//! and keeps those that reach something new of the module's code, as the kernel records it (KCOV).
//!
//! It runs as root in a virtual machine that holds nothing else (`cargo xtask fuzz --module`). What
//! it is about to try it writes on the kernel's console first, so that whoever reads the console of
//! a machine that died knows what killed it. How it stands it tells on stderr. The exit status is 1
//! after a finding.

mod actor;
mod coverage;
mod files;
mod fork;
mod fuzzer;
mod health;
mod input;
mod journal;
mod kcov;
mod knob;
mod machine;
mod mappings;
mod mutation;
mod operation;
mod player;
mod requests;
mod ring;
mod runner;
mod step;
mod swap;
mod userfault;
mod value;
mod world;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;

use crate::coverage::Sites;
use crate::fuzzer::Fuzzer;
use crate::health::Health;
use crate::input::Input;
use crate::journal::Journal;
use crate::kcov::Kcov;
use crate::player::Records;
use crate::runner::{Finding, Runner};

/// Fuzz the kernel module from inside a virtual machine
#[derive(Parser)]
struct Arguments {
    /// How long to search
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Inputs to begin with, one a line
    #[arg(long, value_name = "FILE")]
    corpus: Option<PathBuf>,
    /// Where the disorder begins
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run the corpus so often, and search no further
    #[arg(long, value_name = "TIMES")]
    replay: Option<u32>,
    /// Say what an input does, and do nothing
    #[arg(long, value_name = "HEX")]
    explain: Option<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ashmem-module-fuzz: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing was found.
fn run(arguments: &Arguments) -> Result<bool> {
    if let Some(input) = &arguments.explain {
        explain(&Input::from_hex(input)?);
        return Ok(true);
    }
    // SAFETY: touches no memory of ours.
    let root = unsafe { libc::geteuid() } == 0;
    // It loads modules, limits memory and kills what it likes: nothing for a machine that is
    // anybody's.
    ensure!(
        root && std::env::var_os("ASHMEM_MODULE").is_some(),
        "run this by `cargo xtask fuzz --module`, in its machine"
    );
    let known = match &arguments.corpus {
        Some(path) => read(path)?,
        None => Vec::new(),
    };
    if let Err(error) = swap::switch_on() {
        eprintln!("without swap: {error}");
    }
    // SAFETY: touches no memory of ours.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    let mut runner = Runner {
        sites: Sites::read(&machine::module_file())?,
        bases: None,
        records: None,
        journal: Journal::open()?,
        health: Health::begin()?,
        player: None,
        runs: 0,
        late: 0,
        died: 0,
    };
    runner.records = records(&runner.sites);
    let mut fuzzer = Fuzzer::new(runner, arguments.seed);
    let found = match arguments.replay {
        Some(times) => fuzzer.replay(&known, times),
        None => fuzzer.search(known, Duration::from_secs(arguments.seconds)),
    };
    fuzzer.close();
    match found {
        Ok(()) => Ok(true),
        Err(finding) => {
            report(&finding);
            Ok(false)
        }
    }
}

/// Records for the threads of an input, or none where there can be none, which is said.
fn records(sites: &Sites) -> Option<Records> {
    if sites.len() == 0 {
        eprintln!("blind: the module was built without coverage");
        return None;
    }
    match [Kcov::open(), Kcov::open(), Kcov::open()] {
        [Ok(first), Ok(second), Ok(forked)] => Some([first, second, forked]),
        [Err(error), ..] | [_, Err(error), _] | [.., Err(error)] => {
            eprintln!("blind: this kernel records no coverage: /sys/kernel/debug/kcov: {error}");
            None
        }
    }
}

fn read(path: &PathBuf) -> Result<Vec<Input>> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let inputs = lines.map(Input::from_hex).collect::<Result<Vec<_>>>();
    let inputs = inputs.with_context(|| format!("reading {}", path.display()))?;
    if inputs.is_empty() {
        bail!("{} holds no input", path.display());
    }
    Ok(inputs)
}

fn explain(input: &Input) {
    for step in input.steps() {
        println!("{step}");
    }
}

fn report(finding: &Finding) {
    eprintln!("finding: {}\ninput: {}", finding.what, finding.input);
    for step in finding.input.steps() {
        eprintln!("  {step}");
    }
}
