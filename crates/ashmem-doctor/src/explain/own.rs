// SPDX-License-Identifier: MIT OR Apache-2.0
//! What this project's own module and programs say, where no other message takes their words.

use crate::advice::NextStep::{self, Do};
use crate::message::Message;

const M: Message = Message::PLAIN;

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "module-kernel-unfit",
        says: r"this kernel's shmem (is mapped in a way|files cannot be read or given back)",
        cause: "this project's module found the kernel's shared memory other than it knows it, and \
                did not load, to break nothing: the kernel is newer than the module, or built \
                without CONFIG_TMPFS",
        next: &[
            Do("grep -w CONFIG_TMPFS /boot/config-$(uname -r); uname -r"),
            Do("# a newer release of this project may know that kernel; a message worth a report"),
            Do("ashmem run -- PROGRAM   # or `ashmem agent`: neither needs the module"),
        ],
        ..M
    },
    Message {
        id: "library-not-preloaded",
        says: r"object '\S*(ashmem|android-shmem)\S*' from LD_PRELOAD cannot be preloaded",
        cause: "the loader left the library out, and says why in brackets: a wrong ELF class is a \
                64-bit library before a 32-bit program or the other way round; a file that cannot \
                be opened is not there, or not where the program runs (a container, a chroot). The \
                program runs without it",
        next: &[
            Do("file LIBRARY PROGRAM   # the same class and machine"),
            Do("# `ashmem run -- PROGRAM` needs no library; it serves both classes"),
        ],
        ..M
    },
    Message {
        id: "agent-kernel-too-old",
        says: r"the agent needs Linux 5\.14 or newer",
        cause: "the agent puts its descriptors into programs by a call that came with Linux 5.14, \
                and this kernel is older: the module serves it",
        next: &[NextStep::Module, Do("sudo ashmem waydroid enable --mode module")],
        ..M
    },
    Message {
        id: "lxc-sends-no-listener",
        says: r"this LXC does not send its listener",
        cause: "this LXC tells the agent of calls and does not hand the listener over, by which \
                descriptors come into a container: its containers cannot open regions",
        next: &[
            Do("lxc-start --version; ashmem doctor   # the line `LXC`"),
            Do("# a newer LXC, or the module's node in the container: docs/containers.md"),
        ],
        ..M
    },
    Message {
        id: "library-missing",
        says: concat!(
            r"\blibashmem\.(so|a)\b.*(not found|cannot open|no such file)|cannot find -lashmem\b|",
            r"(package|dependency) '?(lib)?ashmem'?.* (was )?not found.*pkg-config|",
            r"could not find a package configuration file provided by \x22libashmem|",
            r"fatal error: (cutils/ashmem|android/sharedmem)\.h|",
            r"undefined (reference|symbol)\b.*\b(ashmem_\w+|ASharedMemory_\w+)"
        ),
        cause: "a program is to be built or run with the functions of Android's shared memory, and \
                the library that has them on Linux (libashmem) is not installed, is not linked, or \
                lies where it is not looked for",
        next: &[
            Do("pkg-config --cflags --libs libashmem   # what a build must say"),
            Do("# no such package: docs/library.md; a prefix: PKG_CONFIG_PATH, sudo ldconfig"),
        ],
        ..M
    },
    Message {
        id: "old-header-missing",
        says: concat!(
            r"fatal error: (linux|uapi/linux|staging/android)/ashmem\.h|",
            r"(undeclared|not declared)\b.*\bASHMEM_[A-Z_]+|'?ASHMEM_[A-Z_]+'? (was )?(undeclared|",
            r"not declared)"
        ),
        cause: "the kernel's header of ashmem's calls is not there: it went with the driver in \
                5.18, and was never among the headers of most distributions",
        next: &[
            Do("# <cutils/ashmem.h> of libashmem has functions for all of these calls: \
                docs/library.md"),
            Do("# or the program's own copy of the header: the numbers stay what they were"),
        ],
        ..M
    },
];
