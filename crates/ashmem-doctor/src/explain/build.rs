// SPDX-License-Identifier: MIT OR Apache-2.0
//! What builds of the old modules say (anbox-modules, redroid-modules), and DKMS of any.

use crate::message::Message;

const OURS: &[&str] = &[
    "sudo apt install ./ashmem-dkms_*.deb   # builds on 5.10 to 7.x",
    "# remove the old one first: dkms status; sudo dkms remove anbox-ashmem/1 --all",
];

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "old-module-shrinker",
        pattern: concat!(
            r"register_shrinker|shrinker_alloc|shrinker_register|",
            r"ashmem_shrinker|struct shrinker"
        ),
        cause: "an old module's source does not fit this kernel: registering a shrinker took a \
                second argument in 6.0 and another call in 6.7",
        next: OURS,
    },
    Message {
        id: "old-module-symbol-lookup",
        pattern: r"kallsyms_lookup_name|kallsyms_on_each_symbol",
        cause: "an old module looks up kernel functions that are not for modules; the kernel \
                stopped offering that look-up in 5.7",
        next: OURS,
    },
    Message {
        id: "old-module-vm-flags",
        pattern: concat!(
            r"(assignment of )?read-only member.*vm_flags|vm_flags.*(read-only|__vm_flags)|",
            r"__vm_flags"
        ),
        cause: "an old module's source writes a mapping's flags itself, which the kernel forbids \
                since 6.3",
        next: OURS,
    },
    Message {
        id: "old-module-get-unmapped-area",
        pattern: r"get_unmapped_area|vfs_mmap|shmem_mmap_prepare|mmap_prepare",
        cause: "an old module's source uses a mapping interface that newer kernels changed or took \
                away (mm's get_unmapped_area; mmap went to mmap_prepare from 6.17 on)",
        next: OURS,
    },
    Message {
        id: "old-module-unexported-symbol",
        pattern: concat!(
            r"(unknown symbol|undefined!?|modpost).*(__vfs_read|shmem_zero_setup|zap_page_range|",
            r"__close_fd|get_vm_area|map_kernel_range|security_binder|can_nice|mmput_async|",
            r"task_work_add)|(__vfs_read|shmem_zero_setup).*(undefined|unknown symbol)"
        ),
        cause: "a module wants a kernel function that is not, or no longer, for modules \
                (__vfs_read went in 4.19, shmem_zero_setup was never offered)",
        next: OURS,
    },
    Message {
        id: "dkms-package-missing",
        pattern: concat!(
            r"binary package for \S+:? ?\S* not found|",
            r"Error!.*(Could not locate|Could not find).*dkms\.conf|",
            r"anbox-(ashmem|binder).*(not found|fail)"
        ),
        cause: "DKMS has no built module to install because the build before it failed, or its \
                sources are gone; anbox's modules build on no kernel of today",
        next: OURS,
    },
    Message {
        id: "headers-missing",
        pattern: concat!(
            r"kernel headers.*(cannot be found|could not be found|not found|missing)|",
            r"linux-headers-\S+.*(not found|unable to locate)|",
            r"/lib/modules/\S+/build.*no such file|unable to locate package linux-headers"
        ),
        cause: "DKMS has no headers for the kernel it builds for",
        next: &[
            "sudo apt install linux-headers-$(uname -r)",
            "# if there are none any more, the running kernel is older than the archive: sudo apt \
             full-upgrade, reboot",
            "sudo dkms autoinstall",
        ],
    },
    Message {
        id: "wrong-compiler",
        pattern: concat!(
            r"compiler differs from the one used to build the kernel|",
            r"gcc-\d+: (command )?not found|unrecognized command.line option|cc: not found|",
            r"gcc: not found"
        ),
        cause: "the compiler is missing, or another than the one that the kernel was built with",
        next: &[
            "sudo apt install gcc make",
            "cat /proc/version   # names the compiler that the kernel was built with",
        ],
    },
    Message {
        id: "no-space",
        pattern: r"no space left on device|disk quota exceeded",
        cause: "the disk filled up: a build that stops there leaves no module",
        next: &[
            "df -h /var /lib/modules /tmp /boot",
            "sudo dkms autoinstall   # once there is room",
        ],
    },
    Message {
        id: "dkms-build-failed",
        pattern: concat!(
            r"bad exit status:? *\d+|bad return status for module build|",
            r"Error! Build of \S+ failed|make.*(ashmem|dkms).*Error \d+"
        ),
        cause: "a DKMS build failed; the reason stands in its make.log",
        next: &[
            "ashmem doctor explain < /var/lib/dkms/ashmem/*/build/make.log",
            "ashmem doctor --mode module",
        ],
    },
];
