// SPDX-License-Identifier: MIT OR Apache-2.0
//! The steps that hold `ashmem trace` to what a small program did, on each of its sources.

use crate::build::static_program;
use crate::debian::kernel::Line;
use crate::machine::{self, Options, VmRequest};
use crate::util::process;
use crate::util::steps::{Step, StepResult};
use std::process::Command;

/// A shell and what the trial wants of one.
const SHELL: [&str; 3] = ["sh", "mount", "umount"];

/// On the module, in a machine of its own.
pub(crate) fn module(kernel: Line) -> Step {
    Step::new(format!("trace trial on the module, kernel {kernel}"), move || {
        let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
        let mut file = vec![format!("{}:/bin/ashmem", ashmem.display())];
        file.extend(SHELL.map(|name| format!("/bin/busybox:/bin/{name}")));
        // The tracer beside the traced, as on the machines it is for.
        let options = Options { smp: 2, file, ..Options::default() };
        let program = static_program::build("ashmem-trace-test")?;
        let arguments = vec!["module".to_owned(), "/bin/ashmem".to_owned()];
        machine::run(&VmRequest { kernel: kernel.into(), options, program, arguments, live: false })
            .map(|outcome| outcome.step_result())
    })
}

/// On this machine, without a module.
pub(crate) fn here(source: &'static str) -> Step {
    Step::new(format!("trace trial on the {source} source"), move || {
        if source == "syscalls" && !rustix::process::getuid().is_root() {
            return Ok(StepResult::Skipped("the kernel's events are root's to read".to_owned()));
        }
        let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
        let mut command = Command::new(static_program::build("ashmem-trace-test")?);
        let (text, status) = process::capture_both(command.arg(source).arg(ashmem))?;
        if !status.success() {
            return Ok(StepResult::Failed(format!(
                "it ended with {}:\n{text}",
                process::describe(status)
            )));
        }
        Ok(StepResult::Passed(text.trim_end().lines().last().unwrap_or_default().to_owned()))
    })
}
