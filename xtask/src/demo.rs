//! `cargo xtask demo`: the main job on real input, told step by step.

mod module;

use crate::kernel::Line;
use crate::setup;
use anyhow::Result;
use clap::Args;
use std::io::IsTerminal;
use std::process::ExitCode;

/// Watch an Android-style program use /dev/ashmem, call by call
///
/// Boots a stock Debian kernel, which has no ashmem, loads this project's module into it and runs a small program there:
/// a named region is made as Android's NDK makes it, written, handed to a second process over a socket and over binder,
/// read there, unpinned, purged and pinned again. Every call is shown with its arguments and what came back, beside what
/// /proc and the kernel's trace events say of it. Whatever is claimed is checked first: the exit status is 0 only if all
/// of it held and the kernel had nothing to complain about.
///
/// Installs and fetches what it needs, as `cargo xtask setup` does.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The kernel to boot
    #[arg(long, default_value = "6.1")]
    kernel: Line,
}

impl Demo {
    /// Plays it; the status says whether everything held.
    pub(crate) fn run(self) -> Result<ExitCode> {
        setup::ensure(&[self.kernel])?;
        module::play(self.kernel, std::io::stdout().is_terminal())
    }
}
