// SPDX-License-Identifier: MIT OR Apache-2.0
//! A root directory that stands for a machine with Waydroid.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use ashmem_waydroid::drop_in::PROGRAMS;
use ashmem_waydroid::host::HostFiles;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

pub(crate) const BOOT_ID: &str = "0f7a1c52-9f0b-4b1e-8d1a-6c1f0a3b5d77";
pub(crate) const RELEASE: &str = "6.12.41+deb13-amd64";
pub(crate) const CONFIG: &str = "var/lib/waydroid/lxc/waydroid/config";
pub(crate) const SECCOMP: &str = "var/lib/waydroid/lxc/waydroid/waydroid.seccomp";

/// The machine, removed with this.
pub(crate) struct Machine(tempfile::TempDir);

impl Machine {
    /// Waydroid installed and initialised, systemd, an old enough kernel, and neither module nor
    /// agent.
    pub(crate) fn new() -> Self {
        let machine = Self(tempfile::tempdir().expect("a temporary directory"));
        for (path, text) in [
            ("proc/sys/kernel/random/boot_id", format!("{BOOT_ID}\n")),
            ("proc/sys/kernel/osrelease", format!("{RELEASE}\n")),
            ("usr/lib/systemd/system/waydroid-container.service", "[Service]\n".to_owned()),
            ("usr/lib/waydroid/tools/config/__init__.py", "version = \"1.6.3\"\n".to_owned()),
            (&format!("{PROGRAMS}/lxc-start")[1..], "#!/bin/sh\n".to_owned()),
            ("etc/fstab", String::new()),
        ] {
            machine.put(path, &text);
        }
        machine.folder("run/systemd/system");
        machine.folder("etc/systemd/system");
        machine.upgrade();
        machine
    }

    pub(crate) fn host(&self) -> HostFiles {
        HostFiles::new(self.0.path())
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub(crate) fn put(&self, path: &str, text: &str) {
        fs::create_dir_all(self.at(path).parent().expect("it lies in a folder")).expect("a folder");
        fs::write(self.at(path), text).expect("a file");
    }

    pub(crate) fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).expect(path)
    }

    pub(crate) fn folder(&self, path: &str) {
        fs::create_dir_all(self.at(path)).expect("a folder");
    }

    pub(crate) fn remove(&self, path: &str) {
        let path = self.at(path);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
            .expect("it was there");
    }

    /// Writes Waydroid's files as it does when it is upgraded: anew, by what is there. In the shape
    /// of its own; the real ones are tried in `cargo xtask test`.
    pub(crate) fn upgrade(&self) {
        let has_device = self.at("dev/ashmem").exists();
        self.put("var/lib/waydroid/waydroid.cfg", "[waydroid]\narch = x86_64\n");
        self.folder("var/lib/waydroid/rootfs");
        self.put(
            CONFIG,
            "# Waydroid LXC Config\n\
             \n\
             lxc.rootfs.path = /var/lib/waydroid/rootfs\n\
             lxc.autodev = 0\n\
             lxc.include = /var/lib/waydroid/lxc/waydroid/config_nodes\n\
             lxc.include = /var/lib/waydroid/lxc/waydroid/config_session\n\
             lxc.seccomp.profile = /var/lib/waydroid/lxc/waydroid/waydroid.seccomp\n\
             lxc.init.cmd = /init\n",
        );
        let entry = |source: &str, place: &str| {
            format!("lxc.mount.entry = {source} {place} none bind,create=file,optional 0 0\n")
        };
        let device = if has_device { entry("/dev/ashmem", "dev/ashmem") } else { String::new() };
        let nodes = format!(
            "lxc.mount.entry = tmpfs dev tmpfs nosuid 0 0\n{}{device}",
            entry("/dev/null", "dev/null")
        );
        self.put("var/lib/waydroid/lxc/waydroid/config_nodes", &nodes);
        self.put("var/lib/waydroid/lxc/waydroid/config_session", "");
        self.put(SECCOMP, "2\nblacklist\ninit_module\nreboot\nswapon errno 0");
        let memfd = if has_device { "" } else { "sys.use_memfd=true\n" };
        self.put("var/lib/waydroid/waydroid.prop", &format!("{memfd}ro.adb.secure=1\n"));
    }

    /// The module is loaded: its device is there.
    pub(crate) fn load_module(&self) {
        self.folder("dev");
        symlink("/dev/null", self.at("dev/ashmem")).expect("a character device");
    }

    /// The agent is installed, and listens until what this returns is dropped.
    pub(crate) fn start_agent(&self) -> impl Drop + use<> {
        self.put("usr/lib/systemd/system/ashmem-join.socket", "[Socket]\n");
        self.put("usr/lib/ashmem/ashmem-join", "");
        self.folder("run/ashmem");
        let path = self.at("run/ashmem/join.sock");
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .expect("a socket");
        rustix::net::bind(&socket, &SocketAddrUnix::new(&path).expect("a short path"))
            .expect("a name");
        rustix::net::listen(&socket, 4).expect("a listener");
        Agent { _socket: UnixListener::from(socket), path }
    }

    /// Every file below the root: its mode and its bytes.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let mut found = BTreeMap::new();
        look(self.0.path(), &mut found);
        found
    }
}

struct Agent {
    _socket: UnixListener,
    path: PathBuf,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn look(folder: &Path, found: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let kind = entry.metadata().expect("it is there");
        let bytes = if kind.is_file() { fs::read(&path).expect("its bytes") } else { Vec::new() };
        found.insert(path.clone(), (kind.permissions().mode(), bytes));
        if kind.is_dir() {
            look(&path, found);
        }
    }
}
