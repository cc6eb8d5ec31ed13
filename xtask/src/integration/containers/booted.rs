// SPDX-License-Identifier: MIT OR Apache-2.0
//! The same agent and the same runc in a machine of their own, on a kernel that this host does not
//! run.

use super::world::configuration;
use crate::build::static_program;
use crate::debian::host;
use crate::debian::kernel::Line;
use crate::machine::{self, Options, Provider, VmRequest};
use crate::util::steps::{Step, StepResult};
use crate::util::{process, tools, workspace};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What the machine's shell does.
const SCRIPT: &str = include_str!("booted.sh");

/// Two processes of a container share a region, on this kernel.
pub(crate) fn step(kernel: Line) -> Step {
    Step::new(format!("runc container, kernel {kernel}"), move || {
        host::ensure(&[kernel.into()])?;
        attempt(kernel)
    })
}

fn attempt(kernel: Line) -> Result<StepResult> {
    let folder = workspace::cache("containers")?.join(format!("booted-{kernel}"));
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
    let script = folder.join("trial.sh");
    fs::write(&script, SCRIPT).context("writing the machine's script")?;
    let mut file = vec![
        format!("{}:/bin/ashmem", ashmem.display()),
        format!("{}:/trial.sh", script.display()),
    ];
    file.extend(container(&folder, &ashmem, "unix:/run/oci.sock")?);
    let options =
        Options { provider: Provider::None, smp: 2, file, memory: 1024, ..Options::default() };
    let arguments = vec!["sh".to_owned(), "/trial.sh".to_owned()];
    let request = VmRequest {
        kernel: kernel.into(),
        options,
        program: "/bin/busybox".into(),
        arguments,
        live: false,
    };
    machine::run(&request).map(|outcome| outcome.step_result())
}

/// What a machine needs to run a container of runc's whose calls go to the agent at this socket, as
/// files for it: runc, the program, and the bundle in `/bundle`, which is made in a folder.
pub(crate) fn container(folder: &Path, ashmem: &Path, socket: &str) -> Result<Vec<String>> {
    let config = folder.join("config.json");
    let words = ["/bin/client", "share"];
    fs::write(&config, configuration(folder, Path::new("rootfs"), &words)?.to_string())
        .context("writing the bundle")?;
    process::capture(
        Command::new(ashmem)
            .args(["agent", "profile", "--socket", socket, "--oci"])
            .arg(&config)
            .arg("--output")
            .arg(&config),
    )?;
    let client = static_program::build("ashmem-container-client")?;
    let mut files = tools::programs(&["runc"])?;
    files.extend([
        format!("{}:/bundle/config.json", config.display()),
        format!("{}:/bundle/rootfs/bin/client", client.display()),
    ]);
    Ok(files)
}
