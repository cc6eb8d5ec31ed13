// SPDX-License-Identifier: MIT OR Apache-2.0
//! The device without a module: `ashmem run` on this host.

use crate::build::static_program;
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// Plays the program on this host; in colours if wanted. Answers whether everything held.
pub(super) fn play(colours: bool) -> Result<bool> {
    let ashmem = build()?;
    let program = static_program::build("ashmem-demo")?;
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    println!(
        "This machine, as it is (Linux {release}): no module, no virtual machine, no privilege \
         needed."
    );
    let mut command = Command::new(&ashmem);
    command.args(["run", "--"]).arg(&program).arg("--module-less");
    if colours {
        command.arg("--colours");
    }
    println!("$ {}", process::line(&command));
    std::io::stdout().flush().context("writing to stdout")?;
    let status =
        command.status().with_context(|| format!("starting {}", process::line(&command)))?;
    println!();
    if status.success() {
        println!("Everything shown was checked and held.");
    } else {
        println!("The demonstration did not hold: {}", process::describe(status));
    }
    Ok(status.success())
}

/// The program as `cargo build --release` leaves it.
fn build() -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--release", "--package", "ashmem-cli"])
        .current_dir(workspace::root());
    eprintln!("building target/release/ashmem ...");
    let (text, status) = process::capture_both(&mut cargo)?;
    if !status.success() {
        bail!("{} ended with {}:\n{text}", process::line(&cargo), process::describe(status));
    }
    Ok(workspace::built().join("release/ashmem"))
}
