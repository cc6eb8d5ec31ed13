// SPDX-License-Identifier: MIT OR Apache-2.0
//! Real containers under the agent: a busybox root file system that runc, crun, podman, containerd,
//! Docker and LXC start, and in it a program that shares regions as an Android container's programs
//! do, and the suite.
//!
//! Wants root, and a host whose control groups these runtimes understand.

pub(crate) mod arm64;
pub(crate) mod booted;
mod docker;
mod engines;
mod joined;
mod seen;
mod world;

use crate::util::process;
use crate::util::steps::{Step, StepResult};
use anyhow::{Context, Result};
use docker::Docker;
use std::fs;
use std::path::Path;
use std::process::Command;
use world::{Container, SUITE_LIMIT, User, World, first_line, id_of, share_join_keep};

/// The steps that start containers.
pub(crate) fn steps() -> Vec<Step> {
    vec![
        step("runc containers, everything else allowed", "runc", User::Root, |world| {
            runc(world, false)
        }),
        step("runc containers, everything else denied", "runc", User::Service, |world| {
            runc(world, true)
        }),
        step("suite in a runc container", "runc", User::Service, suite),
        step("crun containers", "crun", User::Root, engines::crun),
        step("podman containers", "podman", User::Root, engines::podman),
        step("containerd containers", "ctr", User::Root, engines::containerd),
        step("LXC containers", "lxc-execute", User::Root, lxc),
        step("runc containers that join", "runc", User::Root, joined::runc),
        step("podman containers that join", "podman", User::Service, joined::podman),
        step("LXC containers that join", "lxc-start", User::Service, joined::lxc),
        step("Docker containers that join", "runc", User::Root, docker),
    ]
}

fn step(
    name: &'static str,
    runtime: &'static str,
    user: User,
    attempt: fn(&World) -> Result<String>,
) -> Step {
    Step::new(name, move || {
        if !rustix::process::geteuid().is_root() {
            return Ok(StepResult::Skipped(format!(
                "{runtime} starts containers for root alone here"
            )));
        }
        if Command::new(runtime).arg("--version").output().is_err() {
            return Ok(StepResult::Skipped(format!("there is no {runtime} on this host")));
        }
        if !Path::new("/sys/fs/cgroup").read_dir().is_ok_and(|mut entries| entries.next().is_some())
        {
            return Ok(StepResult::Skipped(
                "no control groups are mounted on this host".to_owned(),
            ));
        }
        attempt(&World::make(user)?).map(StepResult::Passed)
    })
}

/// Under a daemon that is started for it, and under this host's own where one answers.
fn docker(world: &World) -> Result<String> {
    let said = joined::docker(world, &Docker::start(&world.folder)?)?;
    let Some(host) = Docker::of_host() else { return Ok(said) };
    Ok(format!("{said}; this host's own: {}", joined::docker(world, &host)?))
}

fn runc(world: &World, strict: bool) -> Result<String> {
    let exec = |name: &str, words: &[&str]| {
        let mut command = Command::new("runc");
        command.arg("exec").arg(id_of(name)).args(words);
        command
    };
    let start = |name: &str, words: &[&str]| world.runc(name, words, strict);
    share_join_keep(world, start, exec)?;
    seen::seen(world, start, |name| Ok(id_of(name)))?;
    let version = process::capture(Command::new("runc").arg("--version"))?;
    Ok(format!(
        "shared in one container, joined by an exec, kept from another, seen from outside; {}",
        first_line(&version)
    ))
}

fn suite(world: &World) -> Result<String> {
    let said = world
        .runc("suite", &["/bin/conformance", "--provider", "run"], false)?
        .finish(SUITE_LIMIT)?;
    Ok(said.trim_end().lines().last().unwrap_or_default().to_owned())
}

/// The same under LXC, with the policy that Debian ships.
fn lxc(world: &World) -> Result<String> {
    let (policy, socket) = (world.path("policy"), format!("unix:{}", world.path("lxc.sock")));
    let theirs = "/usr/share/lxc/config/common.seccomp";
    world.profile(&["--lxc", theirs, "--output", &policy, "--socket", &socket])?;
    let attach = |name: &str, words: &[&str]| {
        let mut command = Command::new("lxc-attach");
        command.args(["--name", name, "--lxcpath", &world.path("lxc"), "--"]).args(words);
        command
    };
    let start = |name: &str, words: &[&str]| lxc_execute(world, name, words);
    share_join_keep(world, start, attach)?;
    seen::seen(world, start, |name| Ok(name.to_owned()))?;
    let version = process::capture(Command::new("lxc-execute").arg("--version"))?;
    Ok(format!(
        "shared in one container, joined by an attach, kept from another, seen from outside; LXC \
         {}",
        first_line(&version)
    ))
}

fn lxc_execute(world: &World, name: &str, words: &[&str]) -> Result<Container> {
    let path = world.path("lxc");
    fs::create_dir_all(&path).context("making a folder for LXC")?;
    let file = world.path(&format!("{name}.conf"));
    let configuration = format!(
        "lxc.uts.name = {name}\n\
         lxc.rootfs.path = dir:{}\n\
         lxc.apparmor.profile = unconfined\n\
         lxc.mount.auto = proc:mixed\n\
         lxc.seccomp.profile = {}\n\
         lxc.seccomp.notify.proxy = unix:{}\n\
         lxc.seccomp.notify.cookie = {name}\n\
         lxc.mount.entry = /dev/null dev/ashmem none bind,create=file 0 0\n",
        world.path("rootfs"),
        world.path("policy"),
        world.path("lxc.sock"),
    );
    fs::write(&file, configuration).context("writing LXC's configuration")?;
    let mut command = Command::new("lxc-execute");
    command.args(["--name", name, "--rcfile", &file, "--lxcpath", &path, "--"]).args(words);
    let words = ["lxc-stop", "--kill", "--name", name, "--lxcpath", &path];
    Container::start(command, words.map(str::to_owned).to_vec())
}
