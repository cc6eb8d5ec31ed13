// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a build failed, from what it printed, and what to do about it.

use ashmem_doctor::distribution::Distribution;
use ashmem_doctor::explain::Log;

use crate::kernel::TargetKernel;
use crate::machine::TargetMachine;
use crate::refusal::Error;

/// The error, with the likely cause.
pub(crate) fn explain(machine: &TargetMachine, kernel: &TargetKernel, text: String) -> Error {
    let cause = own_words(&text)
        .or_else(|| known(machine, &text))
        .unwrap_or_else(|| compilers_words(kernel));
    Error::Build { kernel: kernel.release.clone(), cause, text }
}

/// What the tree's own scripts said.
fn own_words(text: &str) -> Option<String> {
    if text.contains("No space left on device") {
        return Some("no space is left; a build wants 20 MB: see `df`".to_owned());
    }
    let line = text.lines().find_map(|line| line.split_once("ashmem: ").map(|(_, words)| words));
    line.map(str::to_owned)
}

/// What the doctor knows of such lines.
fn known(machine: &TargetMachine, text: &str) -> Option<String> {
    let mut log = Log::default();
    text.lines().for_each(|line| log.add(line));
    let explained = log.explain(|| Distribution::of(&machine.host)).explained;
    let first = explained.into_iter().next()?;
    let steps: String = first.next.iter().map(|step| format!("\n    > {step}")).collect();
    Some(format!("{}{steps}", first.cause))
}

fn compilers_words(kernel: &TargetKernel) -> String {
    match &kernel.built_with {
        Some(built_with) => {
            format!("{} said no (the kernel was built with {built_with})", kernel.compiler)
        }
        None => format!("{} said no", kernel.compiler),
    }
}
