// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C compiler and the binary tools for an architecture.
//!
//! Those for another architecture than this machine's are Debian's own, unpacked into the cache and
//! never installed: a package that a machine may have for 32-bit x86, gcc-multilib, and every
//! installed cross compiler exclude each other. gcc finds its parts from where it lies.

use crate::debian::archive::{Archive, DEBIAN};
use crate::util::arch::Arch;
use crate::util::workspace;
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

/// Changes whenever an unpacked compiler would come out differently.
const RECIPE: u32 = 1;

/// What a compiler for arm64 on Debian 12 is made of, with what static programs are linked from.
const ARM64: [&str; 8] = [
    "binutils-aarch64-linux-gnu",
    "cpp-12-aarch64-linux-gnu",
    "gcc-12-aarch64-linux-gnu",
    "gcc-aarch64-linux-gnu",
    "libc6-dev-arm64-cross",
    "libgcc-12-dev-arm64-cross",
    "libgcc-s1-arm64-cross",
    "linux-libc-dev-arm64-cross",
];

/// A compiler with its tools.
#[derive(Debug, Clone)]
pub(crate) struct Toolchain {
    /// What stands before each tool's name: nothing for this machine's own.
    pub(crate) prefix: String,
    /// Where tools that are not installed have their libraries.
    libraries: Option<PathBuf>,
}

impl Toolchain {
    /// The tools for an architecture, fetched where they are not there yet.
    pub(crate) fn ensure(arch: Arch) -> Result<Self> {
        Ok(match arch {
            Arch::X86_64 => Self { prefix: String::new(), libraries: None },
            Arch::Arm64 => {
                let root = unpacked(arch)?;
                let names = root.join("usr/bin").join(Self::foreign(arch).prefix);
                let libraries = Some(root.join("usr/lib/x86_64-linux-gnu"));
                Self { prefix: names.display().to_string(), libraries }
            }
        })
    }

    /// The tools for an architecture as they are called where they are installed.
    pub(crate) fn foreign(arch: Arch) -> Self {
        Self { prefix: format!("{}-linux-gnu-", arch.machine()), libraries: None }
    }

    /// Lets a command run the tools.
    pub(crate) fn serve(&self, command: &mut Command) {
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
    }

    /// A tool of this name.
    pub(crate) fn tool(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Where the cache has the tools for a foreign architecture.
fn unpacked(arch: Arch) -> Result<PathBuf> {
    let root = workspace::cache("toolchains")?.join(format!("{}{RECIPE}", arch.prefix()));
    let _lock = workspace::lock(&format!("toolchain-{arch}"))?;
    if !root.exists() {
        let archive = Archive::update("toolchain", &[(DEBIAN, "bookworm")], Arch::X86_64)?;
        let packages: Vec<_> =
            ARM64.iter().map(|name| archive.look_up(name)).collect::<Result<_>>()?;
        eprintln!(
            "fetching the compiler for {arch}, {} MB ...",
            crate::debian::archive::megabytes(&packages)
        );
        workspace::make_whole(&root, |part| archive.unpack(&packages, part))?;
    }
    Ok(root)
}
