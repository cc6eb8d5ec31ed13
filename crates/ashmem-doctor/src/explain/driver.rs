// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel says when a driver goes wrong.

use crate::message::Message;

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "missing-endbr",
        pattern: r"missing ENDBR|control protection exception|CET.*kernel|#CP\b",
        cause: "an old module jumped to a kernel function that it had looked up by itself, and the \
                processor's branch tracking (IBT, from Intel's 11th generation on) stopped it",
        next: &[
            "# remove that module: sudo dkms remove anbox-binder/1 --all; sudo dkms remove \
             anbox-ashmem/1 --all",
            "sudo apt install ./ashmem-dkms_*.deb   # looks nothing up",
            "# binder comes with the kernel: sudo modprobe binder_linux",
        ],
    },
    Message {
        id: "old-driver-oops",
        pattern: concat!(
            r"(RIP|pc|call trace|BUG|oops|kernel paging|PC is at).*(ashmem_\w+)|",
            r"ashmem_(read|mmap|shrink|release|ioctl)\w*\+0x|\b(oops|bug):.*ashmem"
        ),
        cause: "the kernel crashed in an ashmem driver. Old ones copy to a program's memory by \
                force (ashmem_read, on 4.17 and later) or race in their shrinker",
        next: &[
            "modinfo ashmem_linux | head -5   # whose is it? this project's says `Android shared \
             memory (/dev/ashmem)`",
            "sudo modprobe -r ashmem_linux; sudo apt install ./ashmem-dkms_*.deb",
            "# if it is this project's: report it with the whole text",
        ],
    },
    Message {
        id: "fops-patched",
        pattern: concat!(
            r"(CR0|write.?protect|WP bit).*(pinned|changed)|memfd.?ashmem.?shim|pinning.*CR0|",
            r"CR0 WP bit went missing"
        ),
        cause: "a module patches the kernel's own tables to answer ashmem's ioctls on memfds \
                (memfd-ashmem-shim out of tree); newer kernels catch that",
        next: &[
            "# remove it; the agent answers the same ioctls without touching the kernel: ashmem \
             doctor --mode agent",
        ],
    },
];
