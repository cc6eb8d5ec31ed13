// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent and the module as services of OpenRC and of runit. Both are installed beside systemd
//! and asked to run the services; neither is the system's first process.

use super::trial::{Trial, install, report};
use anyhow::{Context, Result};
use std::path::PathBuf;

/// What a chroot does: the agent needs no kernel of its own.
const AGENT: &str = include_str!("agent_services.sh");
/// What a machine does that has booted without udev and systemd.
const MODULE: &str = include_str!("module_services.sh");

/// Tries both; what was seen, in one line.
pub(crate) fn run(trial: &Trial) -> Result<String> {
    let machine = trial.machine("supervisors")?;
    let is_wanted = |package: &&PathBuf| {
        let name = package.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("ashmem_") || name.starts_with("ashmem-dkms_")
    };
    let packages: Vec<_> = trial.packages.iter().filter(is_wanted).cloned().collect();
    machine.must(&install(&packages))?;
    machine.must(
        "apt-get -q update\n\
         apt-get -q -o Dpkg::Use-Pty=0 install -y --no-install-recommends openrc runit",
    )?;
    let said = machine.must(AGENT).context("the agent's services")?;
    let agents = said.lines().last().unwrap_or_default();
    let kernel = machine.kernels()?.into_iter().next().context("the machine has no kernel")?;
    let life = machine.boot_bare(&kernel, MODULE)?;
    report(&life).context("the module's services")?;
    Ok(format!("{agents}; the module by both, {kernel} without udev"))
}
