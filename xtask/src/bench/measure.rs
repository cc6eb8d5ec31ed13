// SPDX-License-Identifier: MIT OR Apache-2.0
//! The measuring itself: the program built, a guest for each driver, its report read.

use super::results::Results;
use crate::build::static_program;
use crate::debian::kernel::{Line, Platform};
use crate::machine::{self, Options, Provider, VmRequest};
use crate::util::arch::Arch;
use anyhow::{Context, Result, bail};
use ashmem_bench::Report;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

/// What is counted in instructions, on one processor.
const COUNTED: [&str; 10] = [
    "lifecycle",
    "pieces",
    "open-close",
    "get-size",
    "touch",
    "pins",
    "wait",
    "pressure",
    "memory-region",
    "memory-range",
];
/// What is timed by the clock, on two.
const TIMED: [&str; 1] = ["threads"];

/// Measures every driver that is wanted.
pub(super) fn run(arch: Arch, providers: Vec<Provider>) -> Result<Results> {
    let program = static_program::build_for(arch, "ashmem-bench", "ashmem-bench")?;
    // Counted guests do not feel each other, so they may run side by side.
    let counted: Vec<Result<Report>> = thread::scope(|scope| {
        let program = &program;
        let guests: Vec<_> = providers
            .iter()
            .map(|provider| scope.spawn(move || counted(arch, program, *provider, &COUNTED)))
            .collect();
        guests
            .into_iter()
            .map(|guest| guest.join().unwrap_or_else(|_| bail!("a thread of xtask died")))
            .collect()
    });
    let mut results = Results::default();
    for (provider, counted) in providers.into_iter().zip(counted) {
        let mut report = counted?;
        report.figures.extend(timed(arch, &program, provider)?.figures);
        match provider {
            Provider::Reference => results.reference = Some(report),
            Provider::Module => results.module = Some(report),
            Provider::None => {}
        }
    }
    Ok(results)
}

/// These figures of a driver, in instructions.
pub(super) fn counted(
    arch: Arch,
    program: &Path,
    provider: Provider,
    what: &[&str],
) -> Result<Report> {
    let options = Options { provider, icount: true, ..Options::default() };
    let report = guest(arch, program, options, what)?;
    // The counter of QEMU's arm64 goes at 62.5 MHz in its older releases, and at 1 GHz since 9.0.
    let wanted = match arch {
        Arch::X86_64 => [1.0].as_slice(),
        Arch::Arm64 => &[1.0, 16.0],
    };
    if !wanted.contains(&report.nanoseconds_per_tick) {
        bail!(
            "the guest of the {provider} was to count {wanted:?} ns a tick but counted {}",
            report.nanoseconds_per_tick
        );
    }
    Ok(report)
}

fn timed(arch: Arch, program: &Path, provider: Provider) -> Result<Report> {
    let priority = Priority::raise();
    if priority.is_none() {
        eprintln!(
            "without real-time priority (root has it): the two threads are timed well on an idle \
             machine alone"
        );
    }
    let report = guest(arch, program, Options { provider, smp: 2, ..Options::default() }, &TIMED)?;
    if report.processors < 2 {
        bail!(
            "the guest of the {provider} was to have two processors but has {}",
            report.processors
        );
    }
    Ok(report)
}

/// Runs the program in a guest and reads what it measured.
fn guest(arch: Arch, program: &Path, options: Options, what: &[&str]) -> Result<Report> {
    let (provider, clock) =
        (options.provider, if options.icount { "counting instructions" } else { "by the clock" });
    eprintln!("measuring the {provider}, {clock} ...");
    let started = Instant::now();
    let request = VmRequest {
        kernel: Platform { arch, line: Line::V5_10 },
        options,
        program: PathBuf::from(program),
        arguments: what.iter().map(|what| format!("--only={what}")).collect(),
        live: false,
    };
    let outcome = machine::run(&request)?;
    if !outcome.status.is_success() {
        let complaint = String::from_utf8_lossy(&outcome.stderr);
        bail!("measuring the {provider}: {}\n{}", outcome.status, complaint.trim_end());
    }
    let report = serde_json::from_slice(&outcome.stdout)
        .context("reading the measuring program's report")?;
    eprintln!(
        "measuring the {provider}, {clock}: done after {:.0} s",
        started.elapsed().as_secs_f64()
    );
    Ok(report)
}

/// This thread and what it starts, before everything else on the machine, until dropped.
///
/// Two threads are compared by the clock; another program's turn on one of the processors would
/// look like waiting. A nice value does not help against programs of other sessions, which the
/// scheduler groups apart; real time does.
struct Priority;

impl Priority {
    /// None where it may not be asked for: the figure is then as good as the machine is idle.
    fn raise() -> Option<Self> {
        schedule(libc::SCHED_RR, 1).ok().map(|()| Self)
    }
}

impl Drop for Priority {
    fn drop(&mut self) {
        // Going back among the others is always allowed.
        let _ = schedule(libc::SCHED_OTHER, 0);
    }
}

fn schedule(policy: i32, sched_priority: i32) -> std::io::Result<()> {
    let parameters = libc::sched_param { sched_priority };
    // SAFETY: the call reads one structure and concerns the calling thread.
    match unsafe { libc::sched_setscheduler(0, policy, &parameters) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
