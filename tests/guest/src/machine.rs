// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine as a program expects to find it: file systems, ports, loopback, binder's nodes.

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount};
use rustix::termios::{self, OptionalActions};
use std::ffi::CString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// A file system to mount: type, place, options, and whether the machine is useless without it.
struct Mount {
    kind: &'static str,
    place: &'static str,
    options: &'static str,
    required: bool,
}

const MOUNTS: &[Mount] = &[
    Mount { kind: "proc", place: "/proc", options: "", required: true },
    Mount { kind: "sysfs", place: "/sys", options: "", required: true },
    Mount { kind: "tmpfs", place: "/dev/shm", options: "mode=1777", required: true },
    Mount { kind: "devpts", place: "/dev/pts", options: "mode=620,ptmxmode=666", required: true },
    Mount { kind: "debugfs", place: "/sys/kernel/debug", options: "", required: false },
    Mount { kind: "tracefs", place: "/sys/kernel/tracing", options: "", required: false },
    Mount { kind: "securityfs", place: "/sys/kernel/security", options: "", required: false },
    Mount { kind: "cgroup2", place: "/sys/fs/cgroup", options: "", required: false },
];

/// Mounts `/dev`, without which there is no port to speak through.
pub(crate) fn mount_devices() -> Result<()> {
    attach(&Mount { kind: "devtmpfs", place: "/dev", options: "mode=755", required: true })
}

/// Mounts the rest, names the host, raises loopback, and lets the console show everything from here
/// on.
pub(crate) fn prepare() -> Result<()> {
    for entry in MOUNTS {
        let done = attach(entry);
        if entry.required {
            done?;
        }
    }
    // The root is in memory already; what the host put into /tmp must stay seen.
    fs::set_permissions("/tmp", Permissions::from_mode(0o1777))
        .context("opening /tmp to everybody")?;
    for (link, target) in [
        ("fd", "self/fd"),
        ("stdin", "self/fd/0"),
        ("stdout", "self/fd/1"),
        ("stderr", "self/fd/2"),
    ] {
        symlink(format!("/proc/{target}"), format!("/dev/{link}"))
            .with_context(|| format!("making /dev/{link}"))?;
    }
    rustix::system::sethostname(b"ashmem-guest").context("naming the host")?;
    // The boot is quiet because a serial console is slow; what our modules say is what the console
    // is kept for.
    fs::write("/proc/sys/kernel/printk", "8").context("opening the console's level")?;
    if Path::new("/sys/class/net/lo/flags").exists() {
        const UP_LOOPBACK: &str = "0x9";
        fs::write("/sys/class/net/lo/flags", UP_LOOPBACK)
            .context("raising the loopback interface")?;
    }
    Ok(())
}

/// Gives `/dev/binder` and its siblings their nodes where the kernel makes them in binderfs; says
/// whether binder is there.
pub(crate) fn provide_binder() -> Result<bool> {
    let known = fs::read_to_string("/proc/filesystems").context("reading /proc/filesystems")?;
    if known.lines().any(|line| line.split_whitespace().last() == Some("binder")) {
        attach(&Mount { kind: "binder", place: "/dev/binderfs", options: "", required: true })?;
        for node in ["binder", "hwbinder", "vndbinder"] {
            let (made, wanted) = (format!("/dev/binderfs/{node}"), format!("/dev/{node}"));
            if Path::new(&made).exists() && !Path::new(&wanted).exists() {
                symlink(&made, &wanted).with_context(|| format!("linking {wanted}"))?;
            }
        }
    }
    Ok(Path::new("/dev/binder").exists())
}

/// Opens a serial port that carries bytes as they are: no echo, no newline translation.
pub(crate) fn open_port(path: &str) -> Result<File> {
    let port = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .with_context(|| format!("opening {path}"))?;
    let mut settings =
        termios::tcgetattr(&port).with_context(|| format!("reading the settings of {path}"))?;
    settings.make_raw();
    termios::tcsetattr(&port, OptionalActions::Now, &settings)
        .with_context(|| format!("making {path} raw"))?;
    Ok(port)
}

/// Waits until the port has sent everything. A failure can only lose bytes that nobody could be
/// told about.
pub(crate) fn drain(port: &File) {
    let _ = termios::tcdrain(port);
}

fn attach(entry: &Mount) -> Result<()> {
    let Mount { kind, place, options, .. } = entry;
    // The kernel makes some of these places itself, where a directory cannot be made by hand.
    if !Path::new(place).exists() {
        fs::create_dir_all(place).with_context(|| format!("making {place}"))?;
        fs::set_permissions(place, Permissions::from_mode(0o755))
            .with_context(|| format!("opening up {place}"))?;
    }
    let options = CString::new(*options)?;
    mount(*kind, *place, *kind, MountFlags::empty(), options.as_c_str())
        .with_context(|| format!("mounting {kind} on {place}"))
}
