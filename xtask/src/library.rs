// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask library`: the C library, linked and laid out as it is installed.

use crate::build::library::install;
use crate::util::arch::Arch;
use anyhow::{Context, Result};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Build the C library and install it: shared, static, headers, pkg-config, CMake
///
/// Puts libashmem.so.0 (with the link for the linker), libashmem.a, pkgconfig/libashmem.pc,
/// cmake/libashmem, <android/sharedmem.h> and <cutils/ashmem.h> under PREFIX. Together they can be
/// moved elsewhere. Needs cc, ld and objcopy. Prints each file's path.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sudo cargo xtask library --prefix /usr/local\n  \
    cargo xtask library --prefix /usr --libdir lib/x86_64-linux-gnu --destdir debian/tmp")]
pub(crate) struct Library {
    /// The architecture it is for
    #[arg(long, default_value_t)]
    arch: Arch,
    /// Where it will be used from
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    prefix: PathBuf,
    /// Where the libraries go, within the prefix
    #[arg(long, value_name = "DIR", default_value = "lib")]
    libdir: PathBuf,
    /// A folder to put in front of every path written to, for packages
    #[arg(long, value_name = "DIR")]
    destdir: Option<PathBuf>,
}

impl Library {
    /// Builds and installs.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let prefix = std::path::absolute(&self.prefix).context("making the prefix absolute")?;
        for file in install(self.arch, &prefix, &self.libdir, self.destdir.as_deref())? {
            println!("{}", file.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}
