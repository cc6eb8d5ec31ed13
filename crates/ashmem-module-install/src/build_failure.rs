// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a build failed, from what it printed, and what to do about it.

use std::collections::BTreeSet;

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
    line.map(str::to_owned).or_else(|| missing_functions(text))
}

/// What modpost says where the kernel's list of functions for modules lacks some.
fn missing_functions(text: &str) -> Option<String> {
    let missing: BTreeSet<_> = text
        .lines()
        .filter(|line| line.contains("ashmem_linux.ko] undefined!"))
        .filter_map(|line| line.split('"').nth(1))
        .collect();
    let first = missing.first()?;
    let others = match missing.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "the kernel gives modules no {first}{others}: it was built with TRIM_UNUSED_KSYMS, which \
         shuts out every module from outside, or Module.symvers in its headers is not its own. \
         `ashmem run` and `ashmem agent` need no module\n    > grep TRIM_UNUSED_KSYMS \
         /boot/config-$(uname -r)"
    ))
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

#[cfg(test)]
mod tests {
    use super::own_words;

    #[test]
    fn functions_that_the_kernel_has_not_are_named() {
        let lines = ["shmem_file_setup", "vfs_fallocate", "shmem_file_setup"]
            .map(|name| format!("ERROR: modpost: \"{name}\" [/b/ashmem_linux.ko] undefined!\n"));
        let said = own_words(&lines.concat()).expect("it is known");
        assert!(said.contains("no shmem_file_setup and 1 more"), "{said}");
        assert!(said.contains("TRIM_UNUSED_KSYMS"), "{said}");
        assert_eq!(own_words("ERROR: modpost: \"x\" [/b/other.ko] undefined!\n"), None);
    }
}
