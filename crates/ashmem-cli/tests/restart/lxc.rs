// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client in a container of the LXC that this host has.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::running_client::{CLIENT, Client};

/// Debian's policy for containers.
const POLICY: &str = "/usr/share/lxc/config/common.seccomp";

/// # Errors
/// Why no container of LXC can be started here.
pub(crate) fn is_here() -> Result<(), &'static str> {
    if !rustix::process::geteuid().is_root() {
        return Err("LXC starts containers for root alone here");
    }
    if Command::new("lxc-execute").arg("--version").output().is_err() || !Path::new(POLICY).exists()
    {
        return Err("there is no LXC on this host");
    }
    if !Path::new("/sys/fs/cgroup").read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err("no control groups are mounted on this host");
    }
    Ok(())
}

/// Starts a client whose monitor asks at `lxc.sock` in this folder.
pub(crate) fn start(folder: &Path, number: u32, time: Duration) -> Client {
    let file = |name: &str| folder.join(name).display().to_string();
    let (policy, proxy) = (file("policy"), format!("unix:{}", file("lxc.sock")));
    let profile = Command::new(env!("CARGO_BIN_EXE_ashmem"))
        .args(["agent", "profile", "--lxc", POLICY, "--output", &policy, "--socket", &proxy])
        .output();
    assert!(profile.expect("the program runs").status.success());
    let (root, path) = (folder.join("root"), file("lxc"));
    for name in ["dev", "proc", "tmp", "usr"] {
        std::fs::create_dir_all(root.join(name)).expect("a root file system");
    }
    std::fs::create_dir_all(&path).expect("a folder for LXC");
    // The host's libraries and LXC's init, as the host has them.
    let mut mounts = "lxc.mount.entry = /usr usr none bind,ro 0 0\n".to_owned();
    for name in ["lib", "lib32", "lib64", "sbin", "bin"] {
        let host = Path::new("/").join(name);
        match std::fs::read_link(&host) {
            Ok(target) => drop(std::os::unix::fs::symlink(target, root.join(name))),
            Err(_) if host.is_dir() => {
                mounts += &format!("lxc.mount.entry = /{name} {name} none bind,ro,create=dir 0 0\n")
            }
            Err(_) => {}
        }
    }
    let name = format!("restart-{}-{number}", std::process::id());
    let client = std::env::current_exe().expect("this program");
    let configuration = format!(
        "lxc.uts.name = client\n\
         lxc.rootfs.path = dir:{}\n\
         lxc.apparmor.profile = unconfined\n\
         lxc.mount.auto = proc:mixed\n\
         lxc.seccomp.profile = {policy}\n\
         lxc.seccomp.notify.proxy = {proxy}\n\
         lxc.seccomp.notify.cookie = {name}\n\
         lxc.environment = {CLIENT}={}\n\
         {mounts}\
         lxc.mount.entry = {} client none bind,create=file 0 0\n\
         lxc.mount.entry = /dev/null dev/ashmem none bind,create=file 0 0\n",
        root.display(),
        time.as_millis(),
        client.display(),
    );
    let file = file(&format!("{number}.conf"));
    std::fs::write(&file, configuration).expect("LXC's configuration");
    let mut command = Command::new("lxc-execute");
    command.args(["--name", &name, "--rcfile", &file, "--lxcpath", &path, "--"]);
    command.args(["/client", "--exact", "the_client", "--nocapture"]);
    Client::ready(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("LXC starts"))
}
