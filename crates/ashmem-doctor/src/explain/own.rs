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
];
