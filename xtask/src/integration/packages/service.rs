// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent as systemd runs it: started by its socket, killed in the midst of its containers'
//! calls, started anew with what systemd kept for it.

use super::trial::{Trial, install, report};
use crate::util::{process, workspace};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// The test that brings containers to the service and kills it, where it is called so.
const PROGRAM: &str = "restart";
const TEST: &str = "a_killed_services_containers_go_on_with_the_next";

/// Tries it on the release's own kernel, without the module; what was seen, in one line.
pub(crate) fn run(trial: &Trial) -> Result<String> {
    let machine = trial.machine("service")?;
    machine.give(&program()?)?;
    let is_agents = |package: &&PathBuf| {
        package.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ashmem_"))
    };
    let packages: Vec<_> = trial.packages.iter().filter(is_agents).cloned().collect();
    machine.must(&install(&packages))?;
    let kernel = machine.kernels()?.into_iter().next().context("the machine has no kernel")?;
    let script = format!(
        "set -e\n\
         systemd-analyze verify --man=no ashmem-agent.service ashmem-agent.socket \
         ashmem-join.socket 2>&1\n\
         systemctl start ashmem-agent.socket\n\
         /trial/$(cd /trial; ls -d {PROGRAM}-*) --ignored --exact {TEST} --nocapture 2>&1 || {{ \
         systemctl status ashmem-agent.service ashmem-agent.socket; journalctl --no-pager --unit \
         ashmem-agent.service | tail -n 40; exit 1; }}"
    );
    let life = machine.boot(&kernel, &script)?;
    let said = report(&life)?;
    let seen = said
        .lines()
        .find(|line| line.contains("agents killed"))
        .context("the test did not say what it saw")?;
    Ok(format!("{seen}, {kernel}"))
}

/// The test's program.
fn program() -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([
        "test",
        "--quiet",
        "--release",
        "--package",
        "ashmem-cli",
        "--test",
        PROGRAM,
        "--no-run",
    ]);
    cargo.arg("--message-format=json").current_dir(workspace::root());
    let text = process::capture(&mut cargo)?;
    let mut messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let built = messages.find_map(|message| {
        let is_it = message.get("target")?.get("name")? == PROGRAM;
        message.get("executable")?.as_str().filter(|_| is_it).map(PathBuf::from)
    });
    built.with_context(|| format!("cargo did not say where it put the test {PROGRAM}"))
}
