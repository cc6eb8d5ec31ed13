// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is said of modules that nobody ports any more: binder's, which do not build or load, and
//! trees of DKMS whose source is gone.

use crate::advice::NextStep::{self, Do};
use crate::message::Message;
use crate::subject::Subject::{BinderModule, Source};

const M: Message = Message::PLAIN;

const BINDER_CAUSE: &str = "an old port of binder's module does not fit this kernel: it uses an \
                            interface that changed or went (vm_fault_t came in 5.1, mmap_sem went \
                            in 5.8, __alloc_fd and __close_fd in 5.11, no_llseek in 6.12), or it \
                            is not for modules. ashmem has no part in it, and kernels that Android \
                            runs on have a binder of their own";

const BINDER_STEPS: &[NextStep] = &[
    Do("grep binder /proc/filesystems   # if it is there, the old module is not needed"),
    NextStep::RemoveBinder,
    Do("# if it is not there, the kernel must bring it:"),
    NextStep::BinderKernel,
];

/// A file of the source of binder's module, before what a compiler says of it.
macro_rules! binder_file {
    () => {
        concat!(
            r"(\bbinder(_alloc|fs|_internal|_netlink|_trace|_ctl)?(\.mod)?\.[cho]\b|",
            r"\bbinder_linux\.(mod|o|ko)\b|\b(anbox|redroid)?[\w-]*binder[\w./~+-]*/deps\.[cho]\b)"
        )
    };
}

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "dkms-source-gone",
        about: &[Source],
        says: concat!(
            r"/dkms/\S+/source(/dkms\.conf)?\W+(does not exist|no such file)|",
            r"missing the module source directory|",
            r"/dkms/\S+/source/?\W+does not appear to have module source|",
            r"^\s*[\w-]*(ashmem|binder)[\w-]*/\S+: broken\b"
        ),
        cause: "DKMS still lists a module whose source is gone: each update of a kernel fails over \
                it, and `dkms remove` too, as it wants the source",
        next: &[
            NextStep::RemoveTrees,
            Do("sudo dpkg --configure -a   # Debian, Ubuntu: what the update left undone"),
            Do("ashmem doctor   # whether a module is needed at all"),
        ],
        ..M
    },
    Message {
        id: "old-binder-module",
        about: &[Source],
        says: r"\x22binder_alloc_\w+\x22 \[\S*binder_linux\.ko\] undefined!",
        cause: "an old port of binder's module: its Makefile leaves binder_alloc.c out, which the \
                driver has had beside binder.c since 4.14. ashmem has no part in it, and kernels \
                that Android runs on have a binder of their own",
        next: BINDER_STEPS,
        ..M
    },
    Message {
        id: "old-binder-module",
        about: &[Source],
        says: concat!(
            binder_file!(),
            r".*(error: |undefined!|no member named|implicit declaration|undeclared|",
            r"incompatible.pointer)|",
            // Compilers of another language keep the names.
            binder_file!(),
            r":\d+:\d+: .*\b(mmap_sem|vm_fault_t|__(alloc|close)_fd|no_llseek|zap_page_range|",
            r"security_binder_\w+|register_shrinker)\b"
        ),
        unless: concat!(
            r":\d+: warning: |no space left|linux-headers|unrecogni|generated/|cannot find|",
            r"drivers/android/|^error! "
        ),
        cause: BINDER_CAUSE,
        next: BINDER_STEPS,
        ..M
    },
    Message {
        id: "old-binder-module",
        about: &[BinderModule],
        says: concat!(
            r"binder_linux: unknown symbol.*(zap_page_range|__(alloc|close)_fd|get_vm_area|",
            r"map_kernel_range|security_binder|can_nice|mmput_async|task_work_add|__fd_install|",
            r"kallsyms|__vfs_read)"
        ),
        cause: BINDER_CAUSE,
        next: BINDER_STEPS,
        ..M
    },
];
