// SPDX-License-Identifier: MIT OR Apache-2.0
//! What cargo is told where it builds for another architecture than this machine's.

use crate::debian::toolchain::Toolchain;
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// Lets cargo find what links for the architecture, and sees to its standard library. Nothing for
/// this machine's own.
pub(crate) fn prepare(cargo: &mut Command, arch: Arch) -> Result<()> {
    if arch == Arch::X86_64 {
        return Ok(());
    }
    let target = arch.rust_target();
    ensure_standard_library(&target)?;
    let name = target.to_uppercase().replace('-', "_");
    let tools = Toolchain::ensure(arch)?;
    cargo.env(format!("CARGO_TARGET_{name}_LINKER"), tools.tool("gcc"));
    tools.serve(cargo);
    Ok(())
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
