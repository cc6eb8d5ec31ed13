// SPDX-License-Identifier: MIT OR Apache-2.0
//! The OCI image of the agent, loaded by podman and run as Kubernetes' manifests run it: without a
//! capability, its file system read-only.

use crate::build::{oci_image, static_program};
use crate::util::arch::Arch;
use crate::util::process;
use crate::util::steps::{Step, StepResult};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

const VERSION: &str = "0.0.0-tried";

/// One container of the image.
pub(crate) fn step() -> Step {
    Step::new("OCI image of the agent", || {
        if !rustix::process::geteuid().is_root() {
            return Ok(StepResult::Skipped(
                "podman's containers are started for root alone here".to_owned(),
            ));
        }
        if Command::new("podman").arg("--version").output().is_err() {
            return Ok(StepResult::Skipped("there is no podman on this host".to_owned()));
        }
        let folder = std::env::temp_dir().join(format!("ashmem-image-{}", std::process::id()));
        fs::create_dir_all(&folder).context("making a folder for an image")?;
        let result = attempt(&folder).map(StepResult::Passed);
        let _ = fs::remove_dir_all(&folder);
        result
    })
}

fn attempt(folder: &Path) -> Result<String> {
    let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
    let archive = folder.join("image.tar");
    oci_image::write(Arch::X86_64, &ashmem, VERSION, &archive)?;
    let bytes = fs::read(&archive).context("reading the image")?;
    // Of the same program at another place and time.
    let (copy, again) = (folder.join("copy"), folder.join("again.tar"));
    fs::copy(&ashmem, &copy).context("copying the program")?;
    oci_image::write(Arch::X86_64, &copy, VERSION, &again)?;
    ensure!(bytes == fs::read(&again).context("reading the image")?, "made twice, they differ");
    let podman = |words: &[&str]| {
        let mut command = Command::new("podman");
        command.arg("--root").arg(folder.join("store")).arg("--runroot").arg(folder.join("run"));
        command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
        command.args(["--runtime", "runc"]).args(words);
        command
    };
    process::capture(podman(&["load", "--input"]).arg(&archive))?;
    let image = format!("{}:{VERSION}", oci_image::NAME);
    let run = |words: &[&str]| {
        let mut command = podman(&["run", "--rm", "--network", "none", "--read-only"]);
        command.args(["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]);
        command.args(["--ulimit", "nofile=512:512", "--ulimit", "nproc=512:512", &image]);
        process::capture(command.args(words))
    };
    // What the init container of deploy/kubernetes/agent writes.
    let profile: Value = serde_json::from_str(&run(&["agent", "profile", "--oci"])?)
        .context("the profile that a container of the image prints")?;
    ensure!(profile["listenerPath"].is_string(), "the profile names no agent: {profile}");
    let version = run(&["--version"])?;
    Ok(format!(
        "{} of {} KiB, loaded and run by podman; made twice, the same to the byte",
        version.trim(),
        bytes.len() / 1024
    ))
}
