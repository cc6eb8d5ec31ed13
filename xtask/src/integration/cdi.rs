// SPDX-License-Identifier: MIT OR Apache-2.0
//! The CDI specification, given to a real engine: podman makes a container that asks for
//! android.dev/ashmem=all.
//!
//! This host may have no module, and then no device that could be given away. So another character
//! device lies at its place for the engine: what counts is which nodes it makes of the
//! specification.

use crate::build::static_program;
use crate::util::process;
use crate::util::steps::{Step, StepResult};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs in a mount namespace of its own: $1 is `ashmem`, $2 a folder for podman. The number of
/// /dev/zero is 1:5.
const SCRIPT: &str = r#"set -e
mount --bind /dev/zero /dev/ashmem
mkdir -p /run/cdi && mount -t tmpfs tmpfs /run/cdi
"$1" cdi --output /run/cdi/ashmem.json
exec podman --root "$2/store" --runroot "$2/run" --storage-driver vfs \
    --cgroup-manager cgroupfs --runtime runc run --rm \
    --ulimit nofile=512:512 --ulimit nproc=512:512 --network none --device android.dev/ashmem=all \
    --rootfs "$2/rootfs" /bin/busybox sh -c 'cd /dev && busybox stat -c "%n %F %t:%T %a" ashmem*'"#;

/// One container.
pub(crate) fn step() -> Step {
    Step::new("podman with the CDI specification", || {
        if !rustix::process::geteuid().is_root() {
            return Ok(StepResult::Skipped(
                "podman's containers are started for root alone here".to_owned(),
            ));
        }
        if Command::new("podman").arg("--version").output().is_err() {
            return Ok(StepResult::Skipped("there is no podman on this host".to_owned()));
        }
        let folder = std::env::temp_dir().join(format!("ashmem-cdi-{}", std::process::id()));
        let result = container(&folder).map(StepResult::Passed);
        let _ = fs::remove_dir_all(&folder);
        result
    })
}

fn container(folder: &Path) -> Result<String> {
    let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
    let bin = folder.join("rootfs/bin");
    fs::create_dir_all(&bin).context("making a root file system")?;
    fs::copy("/bin/busybox", bin.join("busybox")).context("copying busybox")?;
    // It brings a /dev of its own with both names; what is mounted from there on stays in the inner
    // namespace.
    let mut command = Command::new(&ashmem);
    command.args([
        "run",
        "--fidelity",
        "fast",
        "--",
        "unshare",
        "--mount",
        "--propagation",
        "private",
    ]);
    command.args(["sh", "-c", SCRIPT, "sh"]).arg(&ashmem).arg(folder);
    let said = process::capture(&mut command)?;
    let id =
        fs::read_to_string("/proc/sys/kernel/random/boot_id").context("reading the boot id")?;
    let node = |name: &str| format!("{name} character special file 1:5 666");
    let wanted = [node("ashmem"), node(&format!("ashmem{}", id.trim()))];
    ensure!(
        said.lines().eq(wanted.iter().map(String::as_str)),
        "the container has these nodes:\n{said}wanted: {wanted:?}"
    );
    ensure!(!Path::new("/run/cdi/ashmem.json").exists(), "the host's /run/cdi was written to");
    Ok("both names in the container".to_owned())
}
