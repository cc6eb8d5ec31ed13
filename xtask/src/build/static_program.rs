// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs of this workspace built to run in a guest without any library.

use crate::debian::toolchain::Toolchain;
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the program that is called as its package, statically linked and optimised, and returns
/// its path. Fast when nothing changed.
pub(crate) fn build(package: &str) -> Result<PathBuf> {
    build_named(package, package)
}

/// As [`build`], for a program with a name of its own.
pub(crate) fn build_named(package: &str, program: &str) -> Result<PathBuf> {
    build_for(Arch::X86_64, package, program)
}

/// As [`build_named`], for an architecture.
pub(crate) fn build_for(arch: Arch, package: &str, program: &str) -> Result<PathBuf> {
    let target = arch.rust_target();
    let folder = workspace::cache("static")?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // --target keeps the static flag from the build's own plug-ins, which must stay loadable.
    cargo.args([
        "build",
        "--quiet",
        "--release",
        "--package",
        package,
        "--bin",
        program,
        "--target",
        &target,
    ]);
    cargo.current_dir(workspace::root()).env("CARGO_TARGET_DIR", &folder);
    cargo
        .env("RUSTFLAGS", "-C target-feature=+crt-static -C strip=debuginfo")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    if arch != Arch::X86_64 {
        ensure_standard_library(&target)?;
        let name = target.to_uppercase().replace('-', "_");
        let tools = Toolchain::ensure(arch)?;
        cargo.env(format!("CARGO_TARGET_{name}_LINKER"), tools.tool("gcc"));
        tools.serve(&mut cargo);
    }
    let (text, status) = process::capture_both(&mut cargo)?;
    if !status.success() {
        bail!(
            "building {program} as a static program ended with {}:\n{text}",
            process::describe(status)
        );
    }
    Ok(folder.join(target).join("release").join(program))
}

/// Makes sure that the Rust toolchain which builds this workspace has the target's standard
/// library.
fn ensure_standard_library(target: &str) -> Result<()> {
    let in_workspace = |program: &str| {
        let mut command = Command::new(program);
        command.current_dir(workspace::root());
        command
    };
    let place = ["--print", "target-libdir", "--target", target];
    let library = process::capture(in_workspace("rustc").args(place))?;
    if Path::new(library.trim()).exists() {
        return Ok(());
    }
    let _lock = workspace::lock("rust-target")?;
    eprintln!("fetching Rust's standard library for {target}, 30 MB ...");
    process::capture(in_workspace("rustup").args(["target", "add", target])).with_context(
        || format!("this Rust has no standard library for {target}, and rustup did not bring it"),
    )?;
    Ok(())
}
