// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask module`: the kernel module, built for one kernel.

use crate::build::module::{Flavour, build_flavour};
use crate::debian::host;
use crate::debian::kernel::{Kernel, Line, Platform};
use crate::util::arch::Arch;
use anyhow::Result;
use std::process::ExitCode;

/// Build ashmem_linux.ko for a kernel
///
/// Builds the Rust half once, compiles the C half against the kernel's headers, and refuses a
/// module that any tool warned about, that holds a panic path, or whose compile probes came out
/// otherwise than module/probes/expected.json says. The last line printed is the module's path.
#[derive(clap::Args)]
pub(crate) struct Module {
    /// The kernel to build for
    #[arg(long, value_name = "KERNEL")]
    kernel: Line,
    /// The architecture to build for
    #[arg(long, default_value_t)]
    arch: Arch,
    /// Build with the parameter fail_every, which makes every n-th allocation fail: for tests only
    #[arg(long)]
    faults: bool,
    /// Build without tracepoints, to measure what they cost
    #[arg(long, conflicts_with = "faults")]
    untraced: bool,
}

impl Module {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let platform = Platform { arch: self.arch, line: self.kernel };
        host::ensure(&[platform])?;
        let kernel = Kernel::fetch(platform)?;
        let flavour = match (self.faults, self.untraced) {
            (true, _) => Flavour::Faults,
            (_, true) => Flavour::Untraced,
            _ => Flavour::Plain,
        };
        println!("{}", build_flavour(&kernel, flavour)?.display());
        Ok(ExitCode::SUCCESS)
    }
}
