// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program `ashmem` as it is given away: no path of the machine that built it is in it, so that
//! it comes out the same elsewhere.

use crate::build::{cross, module};
use crate::debian::toolchain::Toolchain;
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What it is linked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linkage {
    /// Nothing: it runs on any distribution.
    Static,
    /// The C library of a distribution's package.
    Dynamic,
}

/// Builds the program.
pub(crate) fn build(arch: Arch, linkage: Linkage) -> Result<PathBuf> {
    let folder = workspace::cache(match linkage {
        Linkage::Static => "distributed/static",
        Linkage::Dynamic => "distributed/dynamic",
    })?;
    let target = arch.rust_target();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--release", "--locked"]);
    cargo.args(["--package", "ashmem-cli", "--bin", "ashmem", "--target", &target]);
    cargo.current_dir(workspace::root()).env("CARGO_TARGET_DIR", &folder);
    cargo.env("RUSTFLAGS", flags(linkage)?).env_remove("CARGO_ENCODED_RUSTFLAGS");
    // `ashmem module install` carries the module's Rust half.
    let objects = workspace::cache("distributed/module")?.join("rust");
    module::lay_objects(&objects)?;
    cargo.env("ASHMEM_MODULE_OBJECTS", &objects);
    cross::prepare(&mut cargo, arch)?;
    let (text, status) = process::capture_both(&mut cargo)?;
    if !status.success() {
        bail!("{} ended with {}:\n{text}", process::line(&cargo), process::describe(status));
    }
    Ok(folder.join(target).join("release/ashmem"))
}

/// Parts a program from what debuggers read: the program at `place`, the rest beside it with
/// `.debug` at its name's end.
pub(crate) fn part(arch: Arch, program: &Path, place: &Path) -> Result<()> {
    let tools = Toolchain::ensure(arch)?;
    let objcopy = |arguments: &[&str], from: &Path, to: &Path| {
        let mut command = Command::new(tools.tool("objcopy"));
        tools.serve(&mut command);
        process::capture(command.args(arguments).arg(from).arg(to)).map(drop)
    };
    let name = place.file_name().context("a program has a name")?.to_string_lossy();
    let debug = place.with_file_name(format!("{name}.debug"));
    objcopy(&["--only-keep-debug"], program, &debug)?;
    objcopy(&["--strip-all", &format!("--add-gnu-debuglink={}", debug.display())], program, place)?;
    let length = fs::metadata(place).with_context(|| format!("reading {}", place.display()))?.len();
    if length > MOST {
        bail!("{} has {length} bytes, of {MOST} at most", place.display());
    }
    Ok(())
}

/// How long a program may be, that people fetch over a slow line.
const MOST: u64 = 12_000_000;

/// What rustc is told for this linkage.
fn flags(linkage: Linkage) -> Result<String> {
    let mut flags = without_folders()?;
    if linkage == Linkage::Static {
        flags.push_str(" -Ctarget-feature=+crt-static");
    }
    Ok(flags)
}

/// What rustc is told so that no name of a folder that differs from machine to machine is in what
/// it makes.
pub(crate) fn without_folders() -> Result<String> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let home = home.context("neither CARGO_HOME nor HOME says where cargo keeps its sources")?;
    let folders = [(workspace::root(), "/ashmem-linux"), (&home, "/cargo")];
    let mut flags = Vec::new();
    for (folder, name) in folders {
        let folder = folder.to_str().filter(|folder| !folder.contains(char::is_whitespace));
        let folder = folder.context("cargo takes no flags with spaces in a folder's name")?;
        flags.push(format!("--remap-path-prefix={folder}={name}"));
    }
    Ok(flags.join(" "))
}
