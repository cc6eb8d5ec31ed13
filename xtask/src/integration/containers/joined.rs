// SPDX-License-Identifier: MIT OR Apache-2.0
//! Containers whose first program joins the agent by itself: their engines know nothing of it, have
//! no profile and no proxy of ours, and pid 1 stays pid 1.

use super::docker::Docker;
use super::world::{Container, SUITE_LIMIT, World, first_line, id_of, share_join_keep};
use crate::util::process;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What the command of a container begins with.
const JOIN: [&str; 4] = ["/bin/ashmem-join", "--agent", "/agent/join.sock", "--"];
/// What its first program does before it becomes the one that is asked for.
const FIRST: [&str; 4] = [
    "/bin/sh",
    "-c",
    "[ $$ = 1 ] || { echo \"this is process $$, not the first one\"; exit 9; }; exec \"$@\"",
    "first",
];

fn joined<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&JOIN, words].concat()
}

fn first<'a>(words: &[&'a str]) -> Vec<&'a str> {
    joined(&[&FIRST, words].concat())
}

/// runc, with the configuration that it makes itself: no seccomp profile, and no node at the path.
pub(super) fn runc(world: &World) -> Result<String> {
    let start = |name: &str, words: &[&str]| {
        let (bundle, id) = (world.bare_bundle(name, &first(words))?, id_of(name));
        let mut command = Command::new("runc");
        command.args(["run", "--bundle"]).arg(bundle).arg(&id);
        Container::start(command, ["runc", "delete", "--force", &id].map(str::to_owned).to_vec())
    };
    share_join_keep(world, start, |name, words| {
        let mut command = Command::new("runc");
        command.arg("exec").arg(id_of(name)).args(joined(words));
        command
    })?;
    let version = process::capture(Command::new("runc").arg("--version"))?;
    Ok(format!("{SHARED}; {}", first_line(&version)))
}

/// What [`share_join_keep`] has shown.
const SHARED: &str = "shared in one container, joined by an exec, kept from another";

/// podman, with its own default profile: no CAP_SYS_ADMIN in the container.
pub(super) fn podman(world: &World) -> Result<String> {
    let podman = |verb: &str| {
        let mut command = Command::new("podman");
        command
            .args(["--root", &world.path("store"), "--runroot", &world.path("state")])
            .args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--runtime", "runc"])
            .arg(verb);
        command
    };
    let start = |name: &str, words: &[&str]| {
        let mut command = podman("run");
        command.args(["--rm", "--network", "none", "--ulimit", "nofile=512:512"]);
        command.args(["--ulimit", "nproc=512:512", "--device", "/dev/full:/dev/ashmem"]);
        command.args(["--name", &id_of(name), "--rootfs"]).arg(world.path("rootfs"));
        command.args(first(words));
        let removal = podman("rm");
        let words = std::iter::once(removal.get_program()).chain(removal.get_args());
        let mut removal: Vec<String> =
            words.map(|word| word.to_string_lossy().into_owned()).collect();
        removal.extend(["--force".to_owned(), id_of(name)]);
        Container::start(command, removal)
    };
    share_join_keep(world, start, |name, words| {
        let mut command = podman("exec");
        command.arg(id_of(name)).args(joined(words));
        command
    })?;
    let version = process::capture(Command::new("podman").arg("--version"))?;
    Ok(format!("{SHARED}, under podman's own profile; {}", first_line(&version)))
}

/// Docker, with its own default profile: an image of the root file system, and its containers.
pub(super) fn docker(world: &World, docker: &Docker) -> Result<String> {
    let image = id_of("image");
    let pack = "root=$1; image=$2; shift 2; \
                tar -C \"$root\" --exclude=./agent/join.sock -c . | \"$@\" - \"$image\"";
    let import = docker.words(&["import"]);
    let mut command = Command::new("sh");
    command.args(["-c", pack, "pack", &world.path("rootfs"), &image]).args(import);
    process::capture(&mut command)?;
    let (shared, agent) = (
        format!("{}:/tmp", world.path("rootfs/tmp")),
        format!("{}:/agent", world.path("rootfs/agent")),
    );
    let start = |name: &str, words: &[&str]| {
        let mut command = docker.command("run");
        command.args(["--rm", "--network", "none", "--volume", &shared, "--volume", &agent]);
        command.args(["--device", "/dev/full:/dev/ashmem", "--name", &id_of(name), &image]);
        command.args(first(words));
        Container::start(command, docker.words(&["rm", "--force", &id_of(name)]))
    };
    let done = share_join_keep(world, start, |name, words| {
        let mut command = docker.command("exec");
        command.arg(id_of(name)).args(joined(words));
        command
    });
    process::capture(docker.command("rmi").args(["--force", &image]))?;
    done?;
    Ok(format!("{SHARED}, under Docker's own profile; Docker {}", docker.version()?))
}

/// LXC, with its own policy and no proxy; then the whole suite as a container's first program.
pub(super) fn lxc(world: &World) -> Result<String> {
    let start = |name: &str, words: &[&str]| lxc_start(world, name, &first(words));
    share_join_keep(world, start, |name, words| {
        let mut command = Command::new("lxc-attach");
        command.args(["--name", name, "--lxcpath", &world.path("lxc"), "--"]);
        command.args(joined(words));
        command
    })?;
    let words = joined(&["/bin/conformance", "--provider", "run"]);
    lxc_start(world, "suite", &words)?.finish(SUITE_LIMIT)?;
    let said = console(world, "suite")?;
    let last = said.trim_end().lines().last().unwrap_or_default().trim().to_owned();
    ensure!(
        last.contains(" passed, 0 failed"),
        "the suite ends with {last:?}:\n{}",
        said.lines().filter(|line| line.contains("failed")).collect::<Vec<_>>().join("\n")
    );
    let version = process::capture(Command::new("lxc-start").arg("--version"))?;
    Ok(format!("{SHARED}; the suite: {last}; LXC {}", first_line(&version)))
}

/// LXC ends well however the container's program ended: the console tells. $1 is its file, then the
/// command.
const TELLING: &str = r#"file=$1; shift; "$@"; cat "$file"; grep -qE ': held|passed' "$file""#;

/// A container that is LXC's as a whole system is: its program is pid 1.
fn lxc_start(world: &World, name: &str, words: &[&str]) -> Result<Container> {
    let path = world.path("lxc");
    fs::create_dir_all(&path).context("making a folder for LXC")?;
    let program = world.folder.join("rootfs/bin").join(name);
    // LXC takes the command as a line, and splits it by rules of its own.
    let quoted: Vec<String> =
        words.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
    fs::write(&program, format!("#!/bin/sh\nexec {}\n", quoted.join(" ")))
        .context("writing a container's first program")?;
    make_executable(&program)?;
    let file = world.path(&format!("{name}.joined.conf"));
    let configuration = format!(
        "lxc.uts.name = {name}\n\
         lxc.rootfs.path = dir:{}\n\
         lxc.apparmor.profile = unconfined\n\
         lxc.seccomp.profile = /usr/share/lxc/config/common.seccomp\n\
         lxc.mount.auto = proc:mixed\n\
         lxc.console.logfile = {}\n\
         lxc.mount.entry = /dev/full dev/ashmem none bind,create=file 0 0\n\
         lxc.init.cmd = /bin/{name}\n",
        world.path("rootfs"),
        world.path(&format!("{name}.console")),
    );
    fs::write(&file, configuration).context("writing LXC's configuration")?;
    let mut command = Command::new("sh");
    command.args(["-c", TELLING, "tell"]).arg(world.path(&format!("{name}.console")));
    command.args(["lxc-start", "--foreground", "--name", name, "--rcfile", &file]);
    command.args(["--lxcpath", &path]);
    let words = ["lxc-stop", "--kill", "--name", name, "--lxcpath", &path];
    Container::start(command, words.map(str::to_owned).to_vec())
}

fn console(world: &World, name: &str) -> Result<String> {
    fs::read_to_string(world.path(&format!("{name}.console"))).context("reading LXC's console")
}

fn make_executable(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("making {} executable", file.display()))
}
