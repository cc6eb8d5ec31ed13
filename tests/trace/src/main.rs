// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem-trace-test SOURCE ASHMEM`: runs `ASHMEM trace` over a small program, this one, and
//! compares what it tells with what the program says it did, and what `ASHMEM list` and `ASHMEM
//! top` show with what it has. SOURCE is `module`, `agent` or `syscalls`. The last line counts.
//!
//! `ashmem-trace-test work WHAT FILE` is that small program. `ashmem-trace-test cost SOURCE ASHMEM
//! STRACE` measures what it pays, `ashmem-trace-test busy SOURCE ASHMEM [TURNS]` what everybody
//! else pays: one turn is enough where instructions are counted.

mod account;
mod agreement;
mod busy;
mod cases;
mod cost;
mod faults;
mod memfd;
mod program;
mod region;
mod scope;
mod setup;
mod tracer;
mod work;

use std::process::ExitCode;

use tracer::Tracer;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["work", what, file] => work::run(what, file).map(|()| ExitCode::SUCCESS),
        ["cost", source, ashmem, strace] => {
            cost::measure(source, ashmem, strace).map(|()| ExitCode::SUCCESS)
        }
        ["busy", source, ashmem] => {
            busy::measure(source, ashmem, busy::TURNS).map(|()| ExitCode::SUCCESS)
        }
        ["busy", source, ashmem, turns] => turns
            .parse()
            .map_err(|_| anyhow::anyhow!("`{turns}` is no number of turns"))
            .and_then(|turns| busy::measure(source, ashmem, turns))
            .map(|()| ExitCode::SUCCESS),
        [source, ashmem] => Ok(trial(source, ashmem)),
        _ => Err(anyhow::anyhow!(
            "usage: ashmem-trace-test [cost|busy] module|agent|syscalls ASHMEM [STRACE|TURNS]"
        )),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("ashmem-trace-test: {error:#}");
        ExitCode::FAILURE
    })
}

/// Every case that this source can show.
fn trial(source: &str, ashmem: &str) -> ExitCode {
    let (mut passed, mut failed) = (0, 0);
    let tracer = match Tracer::new(source, ashmem) {
        Ok(tracer) => tracer,
        Err(error) => {
            eprintln!("ashmem-trace-test: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    for (name, sources, case) in
        cases::ALL.iter().chain(scope::ALL).chain(agreement::ALL).chain(faults::ALL)
    {
        if !sources.contains(&source) {
            continue;
        }
        match case(&tracer) {
            Ok(()) => {
                passed += 1;
                println!("  ok    {name}");
            }
            Err(error) => {
                failed += 1;
                println!("  FAIL  {name}: {error:#}");
            }
        }
    }
    println!("{passed} passed, {failed} failed, 0 skipped");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
