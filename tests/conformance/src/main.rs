// SPDX-License-Identifier: MIT OR Apache-2.0
//! One static program that holds any `/dev/ashmem` to the behaviour of the original driver.
//!
//! Three ways to run it: the cases (one behaviour each), a random sequence whose transcript two
//! providers must agree on byte by byte, and threads that race over shared descriptors.

mod case;
mod cases;
mod compat;
mod differential;
mod env;
mod process;
mod random;
mod report;
mod runner;
mod stress;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use globset::Glob;

use crate::case::{Case, Env, Provider};
use crate::report::Lines;
use crate::runner::Tally;

/// Holds a /dev/ashmem to the behaviour of the original C driver.
#[derive(Parser)]
#[command(name = "ashmem-conformance", version)]
struct Arguments {
    /// Who answers behind the device node; declared differences depend on it.
    #[arg(long, env = "ASHMEM_PROVIDER", required_unless_present = "list")]
    provider: Option<Provider>,
    /// The device node.
    #[arg(long, env = "ASHMEM_DEVICE", default_value = "/dev/ashmem")]
    device: PathBuf,
    /// Only cases whose id matches, e.g. 'mmap.*'.
    #[arg(long, value_name = "GLOB", default_value = "*")]
    filter: String,
    /// Print id, specification rows and sentence of each case, and run none.
    #[arg(long)]
    list: bool,
    /// Print one JSON document instead of lines for people.
    #[arg(long)]
    json: bool,
    /// Seconds a case may take before it is killed and counted as failed.
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    limit: u64,
    /// Play one random sequence of this seed and print its transcript.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["list", "json", "stress"])]
    differential: Option<u64>,
    /// How many operations the random sequence has.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    operations: u64,
    /// Race threads and processes over shared descriptors for so long.
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["list", "json"])]
    stress: Option<u64>,
    /// Describe one inherited descriptor and end (what the cases about exec run this program for);
    /// -1: wait for ever.
    #[arg(long, value_name = "FD", hide = true, allow_negative_numbers = true)]
    inspect: Option<i32>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(fd) = arguments.inspect {
        if fd < 0 {
            loop {
                std::thread::park();
            }
        }
        println!("{}", cases::processes::inspect(fd));
        return ExitCode::SUCCESS;
    }
    let filter = match Glob::new(&arguments.filter) {
        Ok(glob) => glob.compile_matcher(),
        Err(error) => {
            eprintln!("--filter: {error}");
            return ExitCode::from(2);
        }
    };
    let cases: Vec<&'static Case> = cases::all().filter(|case| filter.is_match(case.id)).collect();
    if arguments.list {
        report::list(&cases);
        return ExitCode::SUCCESS;
    }
    let Some(provider) = arguments.provider else { return ExitCode::from(2) };
    let env = Env { device: arguments.device, provider };
    if let Err(refused) = env.open() {
        let device = env.device.display();
        eprintln!(
            "opening {device} gave {refused:?}: load the module, run this under the agent, or name \
             the node by --device"
        );
        return ExitCode::from(2);
    }
    if let Some(seed) = arguments.differential {
        return differential::play(&env, seed, arguments.operations);
    }
    if let Some(seconds) = arguments.stress {
        return stress::run(&env, Duration::from_secs(seconds));
    }
    if cases.is_empty() {
        eprintln!("no case matches {:?}; --list shows them all", arguments.filter);
        return ExitCode::from(2);
    }
    conform(&cases, &env, Duration::from_secs(arguments.limit), arguments.json)
}

fn conform(cases: &[&'static Case], env: &Env, limit: Duration, json: bool) -> ExitCode {
    let mut lines = Lines::new();
    let mut tally = Tally::default();
    let mut outcomes = Vec::new();
    for case in cases {
        let outcome = runner::run(case, env, limit);
        tally.add(&outcome.verdict);
        if !json {
            lines.print(&outcome, env);
        }
        outcomes.push(outcome);
    }
    if json {
        println!("{:#}", report::document(&outcomes, &tally, env));
    } else {
        lines.close(&outcomes, &tally);
    }
    if tally.good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
