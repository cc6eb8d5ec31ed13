// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C compiler and the binary tools for an architecture.
//!
//! Those for another architecture than this machine's are Debian's own, unpacked into the cache and
//! never installed: a package that a machine may have for 32-bit x86, gcc-multilib, and every
//! installed cross compiler exclude each other. gcc finds its parts from where it lies.

use crate::debian::archive::{Archive, DEBIAN};
use crate::util::arch::Arch;
use crate::util::workspace;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Changes whenever an unpacked compiler would come out differently.
const RECIPE: u32 = 2;

/// What a compiler for arm64 on Debian 12 is made of, with what static programs are linked from.
const ARM64: [&str; 9] = [
    "binutils-aarch64-linux-gnu",
    "cpp-12-aarch64-linux-gnu",
    "gcc-12-aarch64-linux-gnu",
    "gcc-aarch64-linux-gnu",
    "libc6-arm64-cross",
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
    /// Where tools that are not installed lie, as under /usr.
    unpacked: Option<PathBuf>,
}

impl Toolchain {
    /// The tools for an architecture, fetched where they are not there yet.
    pub(crate) fn ensure(arch: Arch) -> Result<Self> {
        Ok(match arch {
            Arch::X86_64 => Self { prefix: String::new(), unpacked: None },
            Arch::Arm64 => Self { unpacked: Some(unpacked(arch)?), ..Self::installed(arch) },
        })
    }

    /// The tools for another architecture where they are installed.
    pub(crate) fn installed(arch: Arch) -> Self {
        Self { prefix: format!("{}-linux-gnu-", arch.machine()), unpacked: None }
    }

    /// Lets a command find the tools by their names, for some headers of kernels take no path.
    pub(crate) fn serve(&self, command: &mut Command) {
        let Some(unpacked) = &self.unpacked else { return };
        let set = command.get_envs().find(|(name, _)| *name == "PATH");
        let path = set.and_then(|(_, path)| path.map(ToOwned::to_owned));
        let mut all = unpacked.join("bin").into_os_string();
        all.push(":");
        all.push(path.or_else(|| std::env::var_os("PATH")).unwrap_or_default());
        command.env("PATH", all).env("LD_LIBRARY_PATH", unpacked.join("lib/x86_64-linux-gnu"));
    }

    /// What kbuild is told of them.
    pub(crate) fn make_variables(&self, arch: Arch) -> [String; 3] {
        [
            format!("ARCH={}", arch.kernel()),
            format!("CROSS_COMPILE={}", self.prefix),
            format!("CC={}", self.tool("gcc")),
        ]
    }

    /// Where the C library that programs are linked against lies, unless it is this machine's own.
    pub(crate) fn libraries(&self) -> Option<PathBuf> {
        let triple = self.prefix.trim_end_matches('-');
        self.unpacked.as_ref().map(|unpacked| unpacked.join(triple).join("lib"))
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
        workspace::make_whole(&root, |part| {
            archive.unpack(&packages, part)?;
            settle(&part.join("usr").join(format!("{}-linux-gnu/lib", arch.machine())))
        })?;
    }
    Ok(root.join("usr"))
}

/// The C library's script for the linker names its parts by where a package would have installed
/// them; by their bare names the linker finds them beside it.
fn settle(libraries: &Path) -> Result<()> {
    let script = libraries.join("libc.so");
    let text =
        fs::read_to_string(&script).with_context(|| format!("reading {}", script.display()))?;
    let words = text.split_inclusive(char::is_whitespace);
    let bare = words.map(|word| match word.rsplit_once('/') {
        Some((folder, name)) if folder.starts_with("/usr/") => name,
        _ => word,
    });
    fs::write(&script, bare.collect::<String>())
        .with_context(|| format!("writing {}", script.display()))
}
