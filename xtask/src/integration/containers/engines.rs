// SPDX-License-Identifier: MIT OR Apache-2.0
//! The other engines that take an OCI profile: crun by itself, podman, containerd.

use super::seen;
use super::world::{Container, World, first_line, id_of, share_join_keep, wait_for};
use crate::util::process;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What a container needs of these engines beside the profile.
const NODE: &str = "/dev/null:/dev/ashmem";

/// crun, for its own bundles. Debian 12's understands control groups of version 2 alone, and not
/// beside those of version 1: it runs in a mount namespace that shows it the former, and puts its
/// containers into none.
pub(super) fn crun(world: &World) -> Result<String> {
    let crun = |words: &[&str]| {
        let mut command = Command::new("unshare");
        let script =
            "mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec crun --cgroup-manager=disabled \"$@\"";
        command.args(["--mount", "sh", "-c", script, "crun"]).args(words);
        command
    };
    let start = |name: &str, words: &[&str]| {
        let (bundle, id) = (world.bundle(name, words, false)?, id_of(name));
        let removal = ["crun", "--cgroup-manager=disabled", "delete", "--force", &id]
            .map(str::to_owned)
            .to_vec();
        Container::start(crun(&["run", "--bundle", &bundle.display().to_string(), &id]), removal)
    };
    share_join_keep(world, start, |name, words| {
        let id = id_of(name);
        let mut all = vec!["exec", id.as_str()];
        all.extend(words);
        crun(&all)
    })?;
    let version = process::capture(Command::new("crun").arg("--version"))?;
    Ok(format!(
        "shared in one container, joined by an exec, kept from another; {}",
        first_line(&version)
    ))
}

/// The agent's profile, as `docker run --security-opt` and its like take it.
fn profile(world: &World) -> Result<String> {
    let (file, socket) = (world.path("ashmem.json"), format!("unix:{}", world.path("oci.sock")));
    world.profile(&["--oci", "--output", &file, "--socket", &socket])?;
    Ok(file)
}

/// podman with runc, in a store of its own.
pub(super) fn podman(world: &World) -> Result<String> {
    let seccomp = format!("seccomp={}", profile(world)?);
    let options = ["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--runtime", "runc"];
    let podman = |verb: &str| {
        let mut command = Command::new("podman");
        command
            .args(["--root", &world.path("store"), "--runroot", &world.path("state")])
            .args(options)
            .arg(verb);
        command
    };
    let start = |name: &str, words: &[&str]| {
        let mut command = podman("run");
        command.args([
            "--rm",
            "--network",
            "none",
            "--ulimit",
            "nofile=512:512",
            "--ulimit",
            "nproc=512:512",
        ]);
        command.args([
            "--security-opt",
            &seccomp,
            "--device",
            NODE,
            "--name",
            &id_of(name),
            "--rootfs",
        ]);
        command.arg(world.path("rootfs")).args(words);
        let removal = podman("rm");
        let words = std::iter::once(removal.get_program()).chain(removal.get_args());
        let mut removal: Vec<String> =
            words.map(|word| word.to_string_lossy().into_owned()).collect();
        removal.extend(["--force".to_owned(), id_of(name)]);
        Container::start(command, removal)
    };
    share_join_keep(world, start, |name, words| {
        let mut command = podman("exec");
        command.arg(id_of(name)).args(words);
        command
    })?;
    seen::seen(world, start, |name| {
        let said =
            process::capture(podman("inspect").args(["--format", "{{.Id}}"]).arg(id_of(name)))?;
        Ok(said.trim().to_owned())
    })?;
    let version = process::capture(Command::new("podman").arg("--version"))?;
    Ok(format!(
        "shared in one container, joined by an exec, kept from another, seen from outside; {}",
        first_line(&version)
    ))
}

/// A containerd, ended when this is dropped.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// containerd with its own client, `ctr`: a daemon of the step's own.
pub(super) fn containerd(world: &World) -> Result<String> {
    let (profile, socket, file) =
        (profile(world)?, world.path("containerd.sock"), world.path("containerd.toml"));
    let configuration = format!(
        "version = 2\nroot = {:?}\nstate = {:?}\n\
         disabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.internal.v1.opt\"]\n\
         [grpc]\naddress = {socket:?}\n",
        world.path("root"),
        world.path("run"),
    );
    fs::write(&file, configuration).context("writing containerd's configuration")?;
    let log = fs::File::create(world.path("containerd.log")).context("making containerd's log")?;
    let mut command = Command::new("containerd");
    command.args(["--config", &file]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let _daemon = Daemon(command.spawn().context("starting containerd")?);
    wait_for("containerd's socket", || Path::new(&socket).exists())?;
    let ctr = |words: &[&str]| {
        let mut command = Command::new("ctr");
        command.args(["--address", &socket]).args(words);
        command
    };
    let start = |name: &str, words: &[&str]| {
        let mut command =
            ctr(&["run", "--rm", "--rootfs", "--seccomp", "--seccomp-profile", &profile]);
        let (node, inside) = NODE.split_once(':').context("a path on each side")?;
        command.args(["--mount", &format!("type=bind,src={node},dst={inside},options=bind:rw")]);
        command.arg(world.path("rootfs")).arg(id_of(name)).args(words);
        Container::start(command, Vec::new())
    };
    share_join_keep(world, start, |name, words| {
        let mut command = ctr(&["tasks", "exec", "--exec-id", "joins"]);
        command.arg(id_of(name)).args(words);
        command
    })?;
    let version = process::capture(Command::new("containerd").arg("--version"))?;
    Ok(format!(
        "shared in one container, joined by an exec, kept from another; {}",
        first_line(&version)
    ))
}
