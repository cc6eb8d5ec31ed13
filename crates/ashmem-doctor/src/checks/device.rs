// SPDX-License-Identifier: MIT OR Apache-2.0
//! The device's node.

use ashmem_proc::mountinfo;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::module;
use crate::Host;
use crate::check::Check;
use crate::finding::Finding;
use crate::trial::{self, AnsweredBy, Failure};
use crate::way::Way;

const PATH: &str = "/dev/ashmem";

/// There, a character device, the driver's, for everybody, not on a nodev mount; then really used.
pub(super) struct DeviceCheck;

impl Check for DeviceCheck {
    fn name(&self) -> &'static str {
        "device"
    }

    fn looks_at(&self) -> &'static str {
        "/dev/ashmem: there, a character device, the driver's number, its mode, nodev mounts; then \
         a region is made and used"
    }

    fn ways(&self) -> &'static [Way] {
        &[Way::Module]
    }

    fn examine(&self, host: &Host) -> Finding {
        let stat = match host.stat(PATH) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return missing(host),
            Err(errno) => {
                return Finding::fault(format!(
                    "{PATH} cannot be looked at: {}",
                    trial::name(errno)
                ))
                .why("a folder on the way to it keeps this user out")
                .next("ls -ld / /dev");
            }
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !kind.is_char_device() {
            return Finding::fault(format!("{PATH} is {}, not a character device", describe(kind)))
                .why(
                    "a program opened it for writing before there was a driver, or a mount made a \
                     file of that name",
                )
                .next(format!("sudo rm -r {PATH}"))
                .next(format!(
                    "sudo modprobe -r {}; sudo modprobe {}",
                    crate::module_file::NAME,
                    crate::module_file::NAME
                ));
        }
        let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        match trial::device(host, PATH) {
            Ok(AnsweredBy::Kernel) => works(host, stat.st_mode),
            Ok(AnsweredBy::Supervisor) => Finding::fault(
                "works, but by a supervisor: `ashmem run` or `ashmem agent`, not by the kernel",
            )
            .why("what a supervisor cannot do, docs/module-less.md tells"),
            Err(failure) => broken(host, failure, (major, minor), stat.st_mode),
        }
    }
}

fn works(host: &Host, mode: u32) -> Finding {
    let mode = mode & 0o777;
    let finding = format!("{PATH} works, mode {mode:04o}");
    if mode & 0o006 == 0o006 || !host.is_here() {
        return Finding::ok(finding);
    }
    Finding::warning(finding)
        .why(
            "programs of other users cannot open it: something narrowed the mode that the driver \
             gives (0666)",
        )
        .next(format!("sudo chmod 0666 {PATH}"))
        .next(
            "# for good: grep -rn ashmem /etc/udev/rules.d /usr/lib/udev/rules.d, and take the \
             rule out",
        )
}

fn missing(host: &Host) -> Finding {
    let Some(minor) = module::misc_minor(host) else {
        return Finding::fault(format!("no {PATH}, for there is no driver"));
    };
    let finding = Finding::fault(format!("no {PATH}, though the driver is there"));
    if host.container().is_some() || !host.is_here() {
        return finding
            .why(
                "the container was not given the device; a container that was made before the \
                 module was loaded never sees it",
            )
            .next(
                "# make the container anew with it: docker run --device android.dev/ashmem=all …, \
                 docs/troubles.md for others",
            );
    }
    finding
        .why("udev or devtmpfs did not make the node")
        .next(format!("sudo mknod -m 0666 {PATH} c 10 {minor}"))
}

fn broken(host: &Host, failure: Failure, (major, minor): (u32, u32), mode: u32) -> Finding {
    let finding = |summary: &str| Finding::fault(format!("{PATH}: {failure}: {summary}"));
    if (major, minor) == (1, 3) {
        return finding("it is the null device, a placeholder")
            .why(
                "it stands there for `ashmem agent`; this process's calls are not passed to an \
                 agent",
            )
            .next("ashmem doctor --mode agent");
    }
    match (failure.step, failure.errno) {
        ("open", Some(Errno::ACCESS)) => {
            let mountinfo = host.text("/proc/self/mountinfo").unwrap_or_default();
            let path = host.root().join("dev/ashmem");
            let here = mountinfo::covering(&mountinfo, &path.to_string_lossy());
            if let Some(mount) = here.filter(mountinfo::Mount::is_nodev) {
                return finding(&format!("it lies on a nodev mount, {}", mount.point))
                    .why("device nodes cannot be opened on a file system that is mounted nodev")
                    .next(format!("sudo mount -o remount,bind,dev {}", mount.point));
            }
            if mode & 0o006 != 0o006 {
                return finding(&format!("its mode is {:04o}", mode & 0o777))
                    .why("only its owner may open it; drivers in old kernels make it so (0600)")
                    .next(format!("sudo chmod 0666 {PATH}"))
                    .next(
                        "echo 'KERNEL==\"ashmem\", MODE=\"0666\"' | sudo tee \
                         /etc/udev/rules.d/61-ashmem-mode.rules   # for good",
                    );
            }
            finding("the node is open to all, so something else refuses")
                .why(
                    "a security module (SELinux, AppArmor) does, or the device is opened from a \
                     user namespace",
                )
                .next("sudo dmesg | ashmem doctor explain")
        }
        ("open", Some(Errno::PERM)) => finding("a device control group refuses")
            .why("the container may not use this device's number, which changes from boot to boot")
            .next(format!("# LXC: lxc.cgroup2.devices.allow = c {major}:{minor} rwm"))
            .next("# docker, podman: make the container with --device android.dev/ashmem=all"),
        ("open", Some(Errno::NXIO | Errno::NODEV)) => {
            let found = format!("number {major}:{minor} has no driver");
            match module::misc_minor(host) {
                Some(actual) => finding(&format!(
                    "{found}; the device's is 10:{actual} in this boot"
                ))
                .why(
                    "somebody made the node by hand with a fixed number, which changes from boot \
                     to boot",
                )
                .next(format!("sudo rm {PATH}"))
                .next(format!("sudo mknod -m 0666 {PATH} c 10 {actual}")),
                None => finding(&found).why("the driver is not loaded; see the module's line"),
            }
        }
        _ => finding("it is another driver's, or one that was not ported well")
            .why(
                "a driver that compiles does not always work: redroid-modules on 6.17 fails at \
                 mmap",
            )
            .next(format!("modinfo {} | head -4", crate::module_file::NAME))
            .next("sudo dmesg | ashmem doctor explain"),
    }
}

fn describe(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "an ordinary file",
        FileType::Directory => "a directory",
        FileType::BlockDevice => "a block device",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        _ => "something else",
    }
}
