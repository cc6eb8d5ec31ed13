// SPDX-License-Identifier: MIT OR Apache-2.0
//! Holds the C functions and the Rust crate to what their headers and pages promise, wherever it
//! runs: on the module, under `ashmem run`, and where there is no device.
//!
//! One static program, so that it runs in a virtual machine too. The last line is `N passed, N
//! failed, N skipped`; the status is 0 only when nothing failed.

mod choice;
mod cutils;
mod processes;
mod region;
mod sharedmem;
mod surroundings;

use clap::Parser;
use std::process::ExitCode;
use surroundings::{Outcome, Provider, Surroundings};

/// Hold libashmem and the ashmem crate to their promises
#[derive(Parser)]
struct Arguments {
    /// What answers /dev/ashmem here
    #[arg(long, default_value = "none")]
    provider: Provider,
    /// Only cases whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Do one small thing in a process of its own, for a case
    #[arg(long, hide = true)]
    role: Option<choice::Role>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(role) = arguments.role {
        return choice::play(role);
    }
    let surroundings = Surroundings { provider: arguments.provider };
    let cases =
        [sharedmem::CASES, cutils::CASES, region::CASES, processes::CASES, choice::CASES].concat();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, case) in cases.into_iter().filter(|(name, _)| name.contains(&arguments.filter)) {
        match case(&surroundings) {
            Ok(Outcome::Held) => {
                passed += 1;
                println!("ok    {name}");
            }
            Ok(Outcome::Skipped(reason)) => {
                skipped += 1;
                println!("skip  {name}: {reason}");
            }
            Err(error) => {
                failed += 1;
                println!("FAIL  {name}: {error:#}");
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
