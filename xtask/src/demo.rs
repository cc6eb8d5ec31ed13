// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask demo`: the main job on real input, told step by step.

mod module;
mod run;

use crate::debian::host;
use crate::debian::kernel::Line;
use anyhow::Result;
use clap::Args;
use std::io::IsTerminal;
use std::process::ExitCode;

/// Watch an Android-style program use /dev/ashmem, call by call
///
/// Twice, with the same small program: first on this machine as it is, under `ashmem run`; then on
/// a stock Debian kernel in a virtual machine, with this project's module loaded. A named region is
/// made as Android's NDK makes it, written, handed to a second process over a socket (and over
/// binder, where there is one), read there, unpinned, purged and pinned again. Every call is shown
/// with its arguments and what came back, beside what /proc and the kernel's trace events say of
/// it. Whatever is claimed is checked first: the exit status is 0 only if all of it held.
///
/// Installs and fetches what it needs, as `cargo xtask setup` does.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The kernel to boot
    #[arg(long, default_value = "6.1")]
    kernel: Line,
    /// Leave one of the two out
    #[arg(long, value_name = "WAY")]
    only: Option<Way>,
}

/// A way to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Way {
    /// `ashmem run` on this machine
    Run,
    /// the module, in a virtual machine
    Module,
}

impl Demo {
    /// Plays it; the status says whether everything held.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let colours = std::io::stdout().is_terminal();
        let kernel = [self.kernel.into()];
        host::ensure(if self.only == Some(Way::Run) { &[] } else { &kernel })?;
        let mut held = true;
        if self.only != Some(Way::Module) {
            println!("1. Without a module\n");
            held = run::play(colours)?;
        }
        if self.only != Some(Way::Run) {
            println!("\n2. With the kernel module\n");
            let code = module::play(self.kernel, colours)?;
            return Ok(if held { code } else { ExitCode::FAILURE });
        }
        Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
