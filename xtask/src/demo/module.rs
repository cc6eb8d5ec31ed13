// SPDX-License-Identifier: MIT OR Apache-2.0
//! The device by way of the kernel module: a stock kernel booted, the module loaded, the program
//! run.

use crate::build::static_program;
use crate::debian::kernel::{Kernel, Line};
use crate::machine::{self, Options, VmRequest};
use anyhow::Result;
use std::process::ExitCode;

/// Plays the program in a machine; in colours if wanted.
pub(super) fn play(line: Line, colours: bool) -> Result<ExitCode> {
    let kernel = Kernel::fetch(line)?;
    println!(
        "A stock kernel: Debian's {} ({}), under QEMU, with nothing changed in it.",
        kernel.release, kernel.version
    );
    if line == Line::V5_10 {
        println!(
            "It has an ashmem of its own, as a module; that one stays out. This project's is \
             loaded instead."
        );
    } else {
        println!(
            "It has no ashmem any more: the driver left Linux in 5.18. This project's module \
             brings it back."
        );
    }
    let program = static_program::build("ashmem-demo")?;
    let request = VmRequest {
        kernel: line,
        options: Options::default(),
        program,
        arguments: if colours { vec!["--colours".to_owned()] } else { Vec::new() },
        live: true,
    };
    let outcome = machine::run(&request)?;
    println!();
    if outcome.status.is_success() {
        println!(
            "Everything shown was checked and held, and the kernel had nothing to complain about."
        );
    } else {
        println!("The demonstration did not hold: {}", outcome.status);
    }
    Ok(outcome.status.code().into())
}
