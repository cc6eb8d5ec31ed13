// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files of modules that are gone, were never built, or cannot be written.

use crate::advice::NextStep::{self, Do};
use crate::message::{Fact, Message};
use crate::subject::Subject::{BinderModule, Module, Source};

const M: Message = Message::PLAIN;

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "module-file-gone",
        about: &[Module, BinderModule],
        says: r"could not get modinfo from|\bcould not insert '",
        errno: &[libc::ENOENT],
        cause: "modules.dep lists the module, and its file is gone or may not be read: a build of \
                DKMS that was removed, or a list that is older than the files. The kernel is not \
                what lacks it",
        next: &[
            Do("sudo depmod -a; dkms status"),
            Do("ls -l /lib/modules/$(uname -r)/updates/dkms   # or where `filename:` points"),
            NextStep::Rebuild,
        ],
        ..M
    },
    // busybox names the place that modules.dep has.
    Message {
        id: "module-file-gone",
        about: &[Module, BinderModule],
        says: r"can't load module \S+ \((kernel|updates|extra|misc|weak-updates)/",
        errno: &[libc::ENOENT],
        cause: "modules.dep lists the module, and its file is gone: an update of the kernel's \
                package took the running kernel's modules away, or a build of DKMS was removed",
        next: &[
            Do("sudo reboot   # after an update: into the kernel whose modules are there"),
            Do("ls /lib/modules; uname -r   # the running one must be among them"),
            Do("sudo depmod -a"),
        ],
        ..M
    },
    Message {
        id: "modules-read-only",
        about: &[Module, BinderModule, Source],
        says: r"",
        errno: &[libc::EROFS],
        cause: "the module's file was to be written where the system is read-only: SteamOS and \
                other systems whose root is an image lock it",
        next: &[
            Do("sudo steamos-readonly disable   # SteamOS; then the same command once more"),
            Do("# Fedora's atomic systems: rpm-ostree brings modules, nothing else writes there"),
            Do("# or without a module: ashmem run -- PROGRAM; ashmem doctor --mode agent"),
        ],
        ..M
    },
    Message {
        id: "installer-without-module",
        about: &[Module, BinderModule],
        says: r"(^|[\s'\x22/])(binder|ashmem)/\d+\.\d+[\w.+-]*/(binder|ashmem)_linux\.ko",
        errno: &[libc::ENOENT],
        unless: r"dkms/|/build/|/usr/src/",
        cause: "an installer brings modules that were built before, and has none for the kernel \
                that the path names: the kernel is newer than the installer",
        next: &[
            Do("# take a newer version of the installer (git pull), or ask its maker for this \
                kernel"),
            Do("# SteamOS: newer installers build the module; that takes the headers of the \
                running kernel (linux-neptune-...-headers)"),
            Do("uname -r; grep binder /proc/filesystems"),
        ],
        ..M
    },
    Message {
        id: "kernel-modules-gone",
        says: concat!(
            r"^depmod: (error|fatal): could not (open|search) (directory|modules)\b.*",
            r"/lib/modules/|",
            r"could not open moddep file '?(/usr)?/lib/modules/|",
            r"^(modprobe|depmod): can't change directory to '?(/lib/modules\S*|\d+\.\d\S*): ",
            r"no such file or directory$|",
            r"\bmissing \S+ kernel modules tree for module \S*(ashmem|anbox|binder|redroid)"
        ),
        taken_back_by: &[Fact::OthersModule, Fact::NothingOfOurs],
        cause: "the modules of the kernel that the line names are not there: an update took them \
                away while that kernel runs, or this is a container",
        next: &[
            Do("ls /lib/modules; uname -r   # the running one must be among them"),
            Do("sudo reboot   # after an update: into the kernel whose modules are there"),
        ],
        ..M
    },
    Message {
        id: "akmods-build-failed",
        says: concat!(
            r"\b\w*(ashmem|anbox|binder)\w*-kmod\b.*\bfail|",
            r"\bakmods/\w*(ashmem|anbox|binder)\S*\.failed\.log|",
            r"kmods .*failed to build.*(ashmem|anbox|binder)"
        ),
        cause: "akmods, Fedora's way to build modules for each kernel, could not build one; the \
                reason stands in its log",
        next: &[
            Do("cat /var/cache/akmods/*/*.failed.log | ashmem doctor explain"),
            NextStep::Headers,
            Do("sudo akmods --force"),
        ],
        ..M
    },
    Message {
        id: "module-not-built",
        about: &[Source],
        says: r"(ashmem|binder)_linux\.ko\S* .*(no such file|not found|does not exist)",
        cause: "the module's file is not there: its build failed, or has not run",
        next: &[Do("dkms status"), NextStep::Headers, NextStep::Rebuild],
        ..M
    },
];
