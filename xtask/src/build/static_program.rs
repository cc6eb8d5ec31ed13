// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs of this workspace built to run in a guest without any library.

use crate::build::{cross, distributed};
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Result, bail};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// What rustc is told for all of them.
const FLAGS: &str = "-C target-feature=+crt-static -C strip=debuginfo";

/// Builds the program that is called as its package, statically linked and optimised, and returns
/// its path. Fast when nothing changed.
pub(crate) fn build(package: &str) -> Result<PathBuf> {
    build_named(package, package)
}

/// As [`build`], for a program with a name of its own.
pub(crate) fn build_named(package: &str, program: &str) -> Result<PathBuf> {
    build_for(Arch::X86_64, package, program)
}

/// As [`build`], for an architecture, as small as it gets, and to be given away: no folder of this
/// machine is in it.
pub(crate) fn build_small(arch: Arch, package: &str) -> Result<PathBuf> {
    let mut cargo = cargo(arch, "build", package, "library")?;
    cargo.env("RUSTFLAGS", format!("{FLAGS} {}", distributed::without_folders()?));
    build_by(cargo, arch, package, "library")
}

/// As [`build_named`], for an architecture.
pub(crate) fn build_for(arch: Arch, package: &str, program: &str) -> Result<PathBuf> {
    build_as(arch, package, program, "release")
}

/// The package's unit tests as a program of that kind.
pub(crate) fn build_tests(arch: Arch, package: &str) -> Result<PathBuf> {
    let mut cargo = cargo(arch, "test", package, "release")?;
    cargo.args(["--lib", "--no-run", "--message-format", "json"]);
    let (text, status) = process::capture_both(&mut cargo)?;
    let built = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut program =
        built.filter_map(|message| message.get("executable")?.as_str().map(Into::into));
    match program.next_back() {
        Some(program) if status.success() => Ok(program),
        _ => bail!(
            "building the tests of {package} as a static program ended with {}:\n{text}",
            process::describe(status)
        ),
    }
}

fn build_as(arch: Arch, package: &str, program: &str, profile: &str) -> Result<PathBuf> {
    build_by(cargo(arch, "build", package, profile)?, arch, program, profile)
}

fn build_by(mut cargo: Command, arch: Arch, program: &str, profile: &str) -> Result<PathBuf> {
    let (text, status) = process::capture_both(cargo.args(["--bin", program]))?;
    if !status.success() {
        bail!(
            "building {program} as a static program ended with {}:\n{text}",
            process::describe(status)
        );
    }
    Ok(workspace::cache("static")?.join(arch.rust_target()).join(profile).join(program))
}

/// cargo, told to make something static of the package.
fn cargo(arch: Arch, verb: &str, package: &str, profile: &str) -> Result<Command> {
    let target = arch.rust_target();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // --target keeps the static flag from the build's own plug-ins, which must stay loadable.
    cargo.args([verb, "--quiet", "--profile", profile, "--package", package, "--target", &target]);
    cargo.current_dir(workspace::root()).env("CARGO_TARGET_DIR", workspace::cache("static")?);
    cargo.env("RUSTFLAGS", FLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS");
    cross::prepare(&mut cargo, arch)?;
    Ok(cargo)
}
