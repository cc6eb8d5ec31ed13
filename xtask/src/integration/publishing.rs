// SPDX-License-Identifier: MIT OR Apache-2.0
//! What cargo's users get: the library crates as crates.io would take them, and the program by
//! `cargo install`.

use crate::util::steps::{Step, StepResult};
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use std::fs;
use std::process::Command;

/// The crates that are for crates.io, each after those that it stands on. All others say
/// `publish = false`.
const CRATES: [&str; 3] = ["ashmem-core", "ashmem-linux", "libashmem"];

/// Both, as one step.
pub(crate) fn step() -> Step {
    Step::new("crates packed for crates.io, program installed by cargo", || {
        publish()?;
        let version = install()?;
        Ok(StepResult::Passed(format!(
            "{} packed and built from that; {version}",
            CRATES.join(", ")
        )))
    })
}

/// Packs the crates and builds each from what was packed; nothing is uploaded.
fn publish() -> Result<()> {
    let mut command = cargo(&["publish", "--dry-run", "--quiet", "--locked", "--allow-dirty"]);
    for name in CRATES {
        command.args(["--package", name]);
    }
    process::capture(&mut command).map(drop)
}

/// Installs the program below a folder, and asks it for its version.
fn install() -> Result<String> {
    let place = workspace::cache("installed-by-cargo")?.join(std::process::id().to_string());
    let mut command = cargo(&["install", "--quiet", "--locked", "--path", "crates/ashmem-cli"]);
    process::capture(command.arg("--root").arg(&place))?;
    let said = process::capture(Command::new(place.join("bin/ashmem")).arg("--version"))?;
    fs::remove_dir_all(&place).with_context(|| format!("removing {}", place.display()))?;
    let version = said.trim();
    if version != format!("ashmem {}", env!("CARGO_PKG_VERSION")) {
        bail!("the program that cargo installed says {version:?}");
    }
    Ok(version.to_owned())
}

fn cargo(words: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(words).current_dir(workspace::root());
    cargo
}
