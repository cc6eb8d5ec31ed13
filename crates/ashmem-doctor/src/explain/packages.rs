// SPDX-License-Identifier: MIT OR Apache-2.0
//! What package managers say of headers, module packages and this project's own.

use crate::advice::NextStep::{self, Do};
use crate::message::Message;

const M: Message = Message::PLAIN;

/// How apt, dnf, pacman, zypper and apk word that they have no such package; before the name.
macro_rules! absent {
    ($name:expr) => {
        concat!(
            r"(unable to locate package|couldn't find any package\b.*|no match for argument:",
            r"|unable to find a match:|target not found:|no provider of|no package|",
            r"could not find all required packages:?|nothing provides|package not found:?|",
            r"failed to (resolve|install)\b.*)\s+.?\S*(",
            $name,
            r")|(",
            $name,
            r")\S*\s*(\(no such package\)|.*(has no installation candidate|",
            r"not found in package names|is not available|No match for argument|",
            r"' not found\.))"
        )
    };
}

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "dkms-package-failed",
        about: &[],
        says: concat!(
            r"error processing package (\S*(ashmem|anbox|binder|redroid)\S*)|",
            r"\b(ashmem|anbox|binder)\S* package post-installation script subprocess returned error"
        ),
        cause: "the package's module could not be built for one of the installed kernels; the \
                reason stands in DKMS's make.log",
        next: &[
            Do("cat /var/lib/dkms/*/*/build/make.log | ashmem doctor explain"),
            NextStep::Headers,
            Do("sudo dpkg --configure -a   # once it builds"),
        ],
        ..M
    },
    Message {
        id: "headers-not-in-archive",
        about: &[],
        says: absent!(concat!(
            r"linux-headers|linux-\S*-headers|kernel-(uek-)?devel|kernel-\w+-devel|",
            r"(proxmox|pve|kernel)-headers|raspberrypi-kernel-headers|linux-(lts|virt|edge)-dev"
        )),
        unless: r"installed|installing",
        cause: "the archive has no headers for this kernel: usually the kernel that runs is older \
                than the archive's (it was updated and not rebooted, or the archive moved on), or \
                it comes from elsewhere and so do its headers",
        next: &[
            Do("uname -r   # the kernel that runs"),
            Do("# update the kernel and reboot, then:"),
            NextStep::Headers,
            NextStep::Rebuild,
        ],
        ..M
    },
    Message {
        id: "modules-extra-not-in-archive",
        about: &[],
        says: absent!(r"linux-modules-extra"),
        cause: "Ubuntu keeps binder in linux-modules-extra, and the archive has none for this \
                kernel: it is not Ubuntu's, or older than the archive",
        next: &[
            Do("uname -r; sudo apt update"),
            Do("# cloud kernels: linux-modules-extra-aws, -azure, -gcp, -oracle; else update and \
                reboot"),
            Do(
                "# a kernel that Ubuntu did not build (a board's, an appliance's, Debian's) has no \
                such package: its maker decides on binder",
            ),
        ],
        ..M
    },
    Message {
        id: "old-module-package-missing",
        about: &[],
        says: absent!(
            r"anbox-modules|anbox-(ashmem|binder)|ashmem_linux|ashmem-linux|redroid-modules"
        ),
        cause: "nobody packages the old modules any more (anbox-modules and its like)",
        next: &[NextStep::Module, Do("ashmem doctor   # whether a module is needed at all")],
        ..M
    },
    Message {
        id: "binder-package-missing",
        about: &[],
        says: absent!(r"binder_linux|binder-linux|binder-dkms"),
        cause: "no package of that name: where a distribution's kernel has binder, none is needed",
        next: &[Do("grep binder /proc/filesystems"), NextStep::Binder],
        ..M
    },
    Message {
        id: "our-package-missing",
        about: &[],
        says: absent!(r"\bashmem(-dkms)?\b|libashmem"),
        cause: "no archive has this project's packages: they are built from its source, and \
                installed as files",
        next: &[
            NextStep::Module,
            Do("# the program alone: cargo build --release; docs/install.md"),
        ],
        ..M
    },
];
