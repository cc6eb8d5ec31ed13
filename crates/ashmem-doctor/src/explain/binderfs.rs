// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is said where binder's file system is mounted, and nodes are made in it.

use crate::advice::NextStep::{self, Do};
use crate::log_source::LogSource;
use crate::message::{Fact, Message};
use crate::subject::Subject::Binder;

const M: Message = Message::PLAIN;

/// How runtimes say that they bind one node.
const ONE_NODE: &str = r"\bto rootfs\b|bind[- ]mount|failed to mount \x22[^\x22]*binder\x22 on";

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "binderfs-without-type",
        says: concat!(
            r"^mount\S*: .*special device binder\w* does( not|n't) exist|",
            r"^binder(fs)?: can't lookup blockdev|",
            r"^mount\S*: \S*binderfs\S* can't find in \S*fstab"
        ),
        cause: "mount was not told the type: it took `binder` for a disk, or looked the folder up \
                in fstab",
        next: &[Do("sudo mount -t binder binder /dev/binderfs")],
        ..M
    },
    Message {
        id: "binder-control-refused",
        about: &[Binder],
        says: r"binder-control|BINDER_CTL_ADD",
        errno: &[libc::EPERM, libc::EACCES],
        unless: r"\bavc\b|apparmor|\bls\b",
        cause: "binderfs is mounted, and its binder-control, by which nodes are made, may not be \
                opened: this ran without root, SELinux refuses, or it is another user namespace \
                than the one that mounted it",
        next: &[
            Do("sudo ausearch -m AVC -ts recent   # SELinux's word, if it is on"),
            Do("getenforce; ls -lZ /dev/binderfs"),
            Do("# Fedora: sudo dnf upgrade waydroid-selinux; in a container: a binderfs mount of \
                its own"),
        ],
        ..M
    },
    Message {
        id: "binderfs-full",
        says: concat!(
            r"(BINDER_CTL_ADD|binder device|binderfs|binder-control|allocate minor)\b.*no space ",
            r"left|no space left.*(BINDER_CTL_ADD|binderfs|binder-control)"
        ),
        errno: &[libc::ENOSPC],
        cause: "no more nodes may be made in this binderfs: it was mounted with a limit (`max=`), \
                or the kernel's numbers for binder are used up by other mounts of it",
        next: &[Do("findmnt -t binder -o TARGET,OPTIONS   # mounts that nobody needs: umount")],
        ..M
    },
    Message {
        id: "binder-node-exists-harmless",
        about: &[Binder],
        says: r"BINDER_CTL_ADD|binder device|symbolic link|\bsymlink\b",
        errno: &[libc::EEXIST],
        is_harmless: true,
        cause: "harmless: the node is there already. If it is a link that leads nowhere, binderfs \
                is not mounted where it points: ls -lL shows that",
        ..M
    },
    Message {
        id: "binder-in-use",
        about: &[Binder],
        says: concat!(
            r"\bumount\b.*\bbusy\b|(remove|unlink|delete)\b.*\bbusy\b|",
            r"\btarget is busy"
        ),
        unless: r"context.?m|\bmmap\b",
        cause: "a container has binder open, or a binderfs lies on that path: a folder or file on \
                which something is mounted cannot be removed",
        next: &[
            Do("findmnt -t binder; sudo fuser -vm /dev/binderfs   # who has it"),
            Do("# stop the containers, then: sudo umount PATH"),
        ],
        ..M
    },
    Message {
        id: "binderfs-empty",
        says: concat!(
            r"^c[rwxsStT-]{9}[.+@]?\s.*[\s/]binder-control$|",
            r"^(binder_logs\s+)?binder-control(\s+(binder_logs|features))*$"
        ),
        taken_back_by: &[Fact::BinderNode],
        cause: "binderfs is mounted, and binder-control is all that the log shows in it: the \
                driver's list of devices is empty. Waydroid makes its nodes there itself: for it \
                all is well. Others look for binder, hwbinder and vndbinder",
        next: &[
            Do("ls -l /dev/binder /dev/binderfs   # on the host, and in the container"),
            Do("# redroid makes the nodes itself too, if nothing of the host lies in the way: \
                sudo umount /dev/binder on the host; no -v /dev/binder"),
            Do(
                "# for good: binder.devices=binder,hwbinder,vndbinder on the kernel's command line \
                (built in), or, as a module: sudo modprobe binder_linux \
                devices=binder,hwbinder,vndbinder",
            ),
        ],
        ..M
    },
    Message {
        id: "binderfs-option",
        about: &[Binder],
        says: concat!(
            r"^mount\S* .*\bwrong fs type, bad option|",
            r"\bmount\(.*\bbinder\b.*(invalid argument|EINVAL)|",
            r"\bcommand 'mount binder\b.*(invalid argument|EINVAL)|",
            r"^binder: (unknown parameter|bad value for) '?(stats|max)\b"
        ),
        unless: r"/rootfs\b|\bfuse",
        cause: "binderfs was not mounted: this kernel's does not know an option that it was given \
                (older ones have no `stats`, which redroid 12 and later ask for), or is another \
                than the one that mount was told",
        next: &[
            Do("sudo dmesg | tail; grep binder /proc/filesystems"),
            Do("mount -t binder binder /dev/binderfs   # in the container, no -o stats=global"),
            Do("# redroid then makes the nodes by: /vendor/bin/binder_alloc \
                /dev/binderfs/binder-control binder hwbinder vndbinder"),
            Do("# or take a newer kernel"),
        ],
        ..M
    },
    Message {
        id: "binderfs-no-mount-point",
        about: &[Binder],
        says: r"mount point .*does not exist|mounting binder\w* on \S+ failed: no such file",
        cause: "the directory that binderfs is to be mounted on is not there: /dev is made anew at \
                each boot",
        next: &[Do("sudo mkdir -p /dev/binderfs && sudo mount -t binder binder /dev/binderfs")],
        ..M
    },
    Message {
        id: "binderfs-unit-failed",
        about: &[Binder],
        says: concat!(
            r"binder\S*\.mount: (mount process exited|failed with result)|",
            r"failed to mount (/dev/binderfs|\S*binder\S*\.mount|android binder)"
        ),
        from: &[LogSource::Journal, LogSource::Plain, LogSource::Kernel],
        follows: &["binderfs-", "binder-module-not-found"],
        cause: "systemd could not mount binderfs: binder's module was not loaded yet, or the \
                kernel has no binderfs",
        next: &[
            Do("sudo modprobe binder_linux; grep binder /proc/filesystems   # `nodev binder`: it \
                has binderfs"),
            Do("echo binder_linux | sudo tee /etc/modules-load.d/binder.conf   # a module"),
            Do("# in the unit: After=systemd-modules-load.service; in fstab: nofail; without \
                binderfs remove the unit"),
        ],
        ..M
    },
    Message {
        id: "binderfs-missing",
        about: &[Binder],
        says: concat!(
            r"unknown filesystem type .?binder|binder.*(unknown filesystem|no such device\b)|",
            r"no such device\b.*mount.*binder|",
            r"(fstype|filesystem|file system).*binder.*(not supported|unsupported|unknown|",
            r"unavailable)"
        ),
        unless: r"or address|not mounted yet|(open\w*|access|stat|unavailable|errno \w+)\W",
        cause: "this kernel has no binderfs (CONFIG_ANDROID_BINDERFS), or binder is a module that \
                is not loaded yet",
        next: &[Do("sudo modprobe binder_linux; grep binder /proc/filesystems"), NextStep::Binder],
        ..M
    },
    Message {
        id: "binderfs-missing",
        about: &[Binder],
        says: r"\bmount\w*\b.*\bbinder(fs)?\b",
        errno: &[libc::ENODEV],
        unless: r"\bopen",
        cause: "this kernel has no binderfs (CONFIG_ANDROID_BINDERFS), or binder is a module that \
                is not loaded yet",
        next: &[Do("sudo modprobe binder_linux; grep binder /proc/filesystems"), NextStep::Binder],
        ..M
    },
    Message {
        id: "binderfs-not-permitted",
        about: &[Binder],
        says: r"\bmount\S* .*(must be superuser to|only root can)",
        cause: "binderfs was to be mounted without root",
        next: &[Do("sudo mount -t binder binder /dev/binderfs")],
        ..M
    },
    Message {
        id: "binderfs-not-permitted",
        about: &[Binder],
        says: r"\bmount",
        unless: ONE_NODE,
        errno: &[libc::EPERM, libc::EACCES],
        cause: "binderfs may not be mounted here: that takes CAP_SYS_ADMIN in the user namespace, \
                and an AppArmor profile that allows it",
        next: &[
            Do("# docker: --privileged, as redroid wants it; LXC: lxc.apparmor.profile = \
                unconfined"),
            Do("# or mount it on the host, and bind the nodes into the container"),
        ],
        ..M
    },
    Message {
        id: "mount-not-permitted",
        about: &[Binder],
        says: ONE_NODE,
        errno: &[libc::EPERM, libc::EACCES],
        cause: "binder's node may not be bound into the container: a rootless engine, a user \
                namespace or an AppArmor profile forbids the mount",
        next: &[
            Do("sudo dmesg | grep -i denied | tail   # AppArmor's and SELinux's word"),
            Do("# docker: --privileged, as redroid wants it, and its own binderfs inside"),
        ],
        ..M
    },
];
