// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem doctor` on a real kernel with the real module, in a machine that may be spoilt.

use crate::build::module;
use crate::build::static_program;
use crate::debian::kernel::{Kernel, Line};
use crate::machine::{self, Options, Provider, Status, VmRequest};
use crate::util::steps::{Step, StepResult};
use std::path::PathBuf;

/// What is done to the machine, and what the doctor must say to it.
const FAULTS: &str = include_str!("faults.sh");

/// One boot of a kernel in which fault after fault is made and mended by the doctor's own words.
pub(crate) fn step(kernel: Line) -> Step {
    Step::new(format!("doctor among faults, kernel {kernel}"), move || {
        let built = module::build(&Kernel::fetch(kernel)?)?;
        let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
        let file = vec![
            "/bin/busybox:/bin/sh".to_owned(),
            format!("{}:/bin/ashmem", ashmem.display()),
            format!("{}:/ashmem_linux.ko", built.display()),
        ];
        let options = Options { provider: Provider::None, file, ..Options::default() };
        // Busybox finds its own commands by the name it was started with, and in this mode without
        // links.
        let arguments = vec!["sh".to_owned(), "-c".to_owned(), FAULTS.to_owned()];
        let program = PathBuf::from("/bin/busybox");
        let outcome = machine::run(&VmRequest {
            kernel: kernel.into(),
            options,
            program,
            arguments,
            live: false,
        })?;
        let said = String::from_utf8_lossy(&outcome.stdout);
        Ok(match outcome.status {
            Status::Exit(0) => {
                StepResult::Passed(said.trim_end().lines().last().unwrap_or_default().to_owned())
            }
            status => StepResult::Failed(format!(
                "{status}\n{said}{}",
                String::from_utf8_lossy(&outcome.stderr)
            )),
        })
    })
}
