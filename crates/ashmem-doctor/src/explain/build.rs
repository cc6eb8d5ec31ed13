// SPDX-License-Identifier: MIT OR Apache-2.0
//! What builds of modules say: the old ones (anbox-modules, redroid-modules), and DKMS of any of
//! ours. A line that names another module's file is not ours.

use crate::advice::NextStep::{self, Do};
use crate::message::Message;
use crate::subject::Subject::{Build, Source};

const M: Message = Message::PLAIN;

const OURS: &[NextStep] = &[
    NextStep::Module,
    Do("# it builds on 5.10 to 7.x. Remove the old one first: dkms status; sudo dkms remove \
        anbox-ashmem/1 --all"),
    Do("# for binder take the kernel's own: ashmem doctor, the line `binder`"),
];

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "old-module-shrinker",
        about: &[Source],
        says: r"register_shrinker|shrinker_alloc|shrinker_register|ashmem_shrinker|struct shrinker",
        cause: "an old module's source does not fit this kernel: registering a shrinker took a \
                second argument in 6.0 and another call in 6.7",
        next: OURS,
        ..M
    },
    Message {
        id: "old-module-symbol-lookup",
        about: &[Source],
        says: r"kallsyms_lookup_name|kallsyms_on_each_symbol",
        cause: "an old module looks up kernel functions that are not for modules; the kernel \
                stopped offering that look-up in 5.7",
        next: OURS,
        ..M
    },
    Message {
        id: "old-module-vm-flags",
        about: &[Source],
        says: concat!(
            r"(read-only|const-qualified|non-static|cannot assign).*(vm_flags)|",
            r"vm_flags.*(read-only|const-qualified|__vm_flags)|__vm_flags"
        ),
        cause: "an old module's source writes a mapping's flags itself, which the kernel forbids \
                since 6.3",
        next: OURS,
        ..M
    },
    Message {
        id: "old-module-get-unmapped-area",
        about: &[Source],
        says: r"get_unmapped_area|vfs_mmap|shmem_mmap_prepare|mmap_prepare",
        cause: "an old module's source uses a mapping interface that newer kernels changed or took \
                away (mm's get_unmapped_area; mmap went to mmap_prepare from 6.17 on)",
        next: OURS,
        ..M
    },
    Message {
        id: "old-module-unexported-symbol",
        about: &[Source],
        says: concat!(
            r"(undefined|modpost: |unresolved|unknown symbol)\b.*(__vfs_read|shmem_zero_setup|",
            r"zap_page_range|__close_fd|get_vm_area|map_kernel_range|security_binder|can_nice|",
            r"mmput_async|task_work_add|__fd_install|vm_insert_page)|",
            r"(modpost|^ERROR): .*undefined!|^WARNING: \x22\w+\x22 \[.*undefined!|",
            r"(__vfs_read|shmem_zero_setup).*undefined"
        ),
        cause: "a module wants a kernel function that is not, or no longer, for modules \
                (__vfs_read went in 4.19, shmem_zero_setup was never offered)",
        next: OURS,
        ..M
    },
    Message {
        id: "old-module-source",
        about: &[Source],
        says: concat!(
            r"\.[ch]:\d+(:\d+)?: (fatal )?error: |implicit declaration|no member named|undeclared|",
            r"incompatible.pointer"
        ),
        unless: concat!(
            r"warning: |No space left|cannot find|linux-headers|unrecogni|generated/|^error! |",
            r"fatal error: .?linux/(module|mm|mm_types|kernel|init|slab|shrinker|shmem_fs|",
            r"miscdevice|moduleparam|kallsyms|export|kconfig|compiler_types)\.h"
        ),
        cause: "the module's source does not fit this kernel: it uses an interface that the kernel \
                changed or took away. Old modules (anbox-modules, redroid-modules) are not ported \
                any more",
        next: OURS,
        ..M
    },
    Message {
        id: "module-licence",
        about: &[Source],
        says: concat!(
            r"modpost: (missing MODULE_LICENSE|GPL-incompatible module)|",
            r"module \S+ uses GPL-only symbol"
        ),
        cause: "the module's source names no licence, or one that is not the kernel's, and uses \
                functions that the kernel offers to GPL modules alone: a file of the source is \
                missing or was changed (the line MODULE_LICENSE stands in it)",
        next: &[
            Do("grep -rn MODULE_LICENSE SOURCE   # the module's folder: it must say GPL"),
            NextStep::Module,
        ],
        ..M
    },
    Message {
        id: "btf-skipped-harmless",
        about: &[Source, Build],
        says: r"Skipping BTF generation",
        is_harmless: true,
        cause: "harmless: the module gets no BTF (type information for tracers), as the kernel's \
                vmlinux is not there; it is built and works all the same",
        ..M
    },
    Message {
        id: "build-notes-harmless",
        about: &[Source],
        says: concat!(
            r"modules_sign_key|modules won't be signed|deprecated feature: |",
            r"warning: modpost: missing MODULE_DESCRIPTION|",
            r"Module\.symvers.*(is missing|missing\b)"
        ),
        is_harmless: true,
        cause: "harmless in itself: the build goes on. A module that is not signed does not load \
                under Secure Boot",
        ..M
    },
    Message {
        id: "build-notes-harmless",
        // DKMS says so of any module, and names none.
        says: concat!(
            r"^binary \S*/(kmodsign|sign-file) not found, modules won't be signed|",
            r"sign-file: \S*signing_key\.pem: no such file|",
            r"^(at main\.c:\d+:\s*)?-? ?SSL error:.*(no such file|no start line)"
        ),
        is_harmless: true,
        cause: "harmless in itself: no program or key to sign with was found (Ubuntu: sudo apt \
                install sbsigntool), and the module is installed without a signature. A module \
                that is not signed does not load under Secure Boot",
        ..M
    },
    Message {
        id: "depmod-skipped-harmless",
        says: r"missing 'System\.map' file\.? skipping depmod",
        is_harmless: true,
        cause: "harmless in itself: the module is installed, and the list that modprobe reads was \
                not made anew: sudo depmod -a",
        ..M
    },
    Message {
        id: "build-exclusive",
        about: &[],
        says: r"BUILD_EXCLUSIVE",
        unless: r"(nvidia|virtualbox|vbox|zfs|wl|broadcom|v4l2loopback)",
        cause: "DKMS did not build the module, as its dkms.conf says that it is not for this \
                kernel, architecture or configuration; nothing failed",
        next: &[
            Do("grep BUILD_EXCLUSIVE /usr/src/*/dkms.conf   # what it is for"),
            Do("uname -r   # this project's module is for 5.10 to 7.x"),
            Do("ashmem doctor --mode agent   # needs no module"),
        ],
        ..M
    },
    Message {
        id: "our-source-gone",
        says: r"/usr/src/ashmem-\d[\w.]* (does not exist|not found)",
        cause: "DKMS is to build this project's module, and the folder with its source is not \
                there: the package ashmem-dkms was removed, or the folder was",
        next: &[
            NextStep::Module,
            Do("dkms status   # what is left of it: sudo dkms remove ashmem/VERSION --all"),
        ],
        ..M
    },
    Message {
        id: "dkms-package-missing",
        about: &[Source],
        says: concat!(
            r"binary package for \S+:? ?\S* not found|",
            r"(could not (locate|find)|unable to (locate|find)).*(dkms\.conf|source)|",
            r"(dkms\.conf|/usr/src/\S+) (does not exist|not found)|",
            r"/dkms/\S+/build/Makefile\W+no such file|",
            r"module\b.*(is not located|not|located) in the DKMS tree|",
            r"does not represent a valid dkms\.conf|no instances of module|",
            r"no rule to make target .*\b(ashmem|binder|deps)\w*\.[och]\b"
        ),
        unless: r"kernel source",
        cause: "DKMS has no built module to install because the build before it failed, or its \
                sources are gone; anbox's modules build on no kernel of today",
        next: OURS,
        ..M
    },
    Message {
        id: "module-not-newer",
        about: &[Source],
        says: r"is not newer than what is already found in kernel",
        cause: "DKMS did not put its module in, as there is one of that name of the same version \
                or a later one already: the kernel's own, or one that was built before",
        next: &[
            Do("modinfo -F filename ashmem_linux   # the one that is there"),
            Do("sudo dkms install --force NAME/VERSION   # to put this one in its place"),
        ],
        ..M
    },
    Message {
        id: "dkms-already-added",
        about: &[Source],
        says: r"DKMS tree already contains|already (added|installed)",
        is_harmless: true,
        cause: "harmless: DKMS has this version already. To build it anew: sudo dkms install \
                --force NAME/VERSION",
        ..M
    },
    Message {
        id: "headers-missing",
        about: &[Build, Source],
        says: concat!(
            r"kernel headers.*(cannot be found|could not be found|not found|missing)|",
            r"(install the|requires?|missing) (linux-headers|kernel-devel)\S*|",
            r"linux-headers-\S+ package or use|kernelsourcedir|",
            r"/lib/modules/\S+/(build|source)\W+(is missing|no such file|does not exist|",
            r"not found)|",
            r"/usr/src/(linux-headers|kernels/)\S*\W+no such file|",
            r"can't cd to /lib/modules/\S+/(build|source)\b|",
            r"no kernel (headers|source)|kernel (headers|source) (were|was|are|is)? ?not found|",
            r"headers\b.*\b(do|does)( not|n't) match .*\bkernel|",
            r"kernel sources? (directory|tree) .*(does( not|n't) exist|not found|is missing)|",
            r"unable to find (kernel sources? at|(the )?kernel headers)|",
            // On one line, or broken before `kernel`.
            r"kernel (headers|sources?) for this kernel do(es)? not seem to be installed|",
            r"files needed to compile modules for|",
            r"missing .*kernel headers|kernel package .*headers.*not (installed|found)|",
            // Headers of the kernel itself, not those that programs are built with.
            r"fatal error: .?(linux/(module|mm|mm_types|kernel|init|slab|shrinker|shmem_fs|",
            r"miscdevice|moduleparam|kallsyms|export|kconfig|compiler_types)\.h|generated/)"
        ),
        unless: r"(nvidia|vbox|zfs)|autoconf\.h",
        cause: "the headers of the kernel that the module is built for are not installed",
        next: &[
            NextStep::Headers,
            Do("# if there are none any more, the running kernel is older than the archive: \
                 update, reboot"),
            NextStep::Rebuild,
        ],
        ..M
    },
    Message {
        id: "no-space",
        about: &[Build, Source],
        says: r"",
        errno: &[libc::ENOSPC, libc::EDQUOT],
        // A node that is called anbox-binder is no build.
        unless: r"\bioctl\b|BINDER_\w|binderfs|/dev/|\bmkdir",
        cause: "the disk filled up: a build that stops there leaves no module, and an initramfs \
                that stops there may not boot",
        next: &[Do("df -h /var /lib/modules /tmp /boot"), NextStep::Rebuild],
        ..M
    },
];

/// What follows from a build's failure, and says no more: asked after all that names a reason.
pub(super) static FAILED: &[Message] = &[
    // By hand: there is no make.log.
    Message {
        id: "dkms-build-failed",
        says: r"make(\[\d+\])?: \*\*\* .*(ashmem|anbox|binder|redroid).*Error \d+",
        unless: r"/dkms/",
        follows: CAUSES,
        cause: "a module's build failed, by hand or by an installer; the reason stands in the \
                lines above this one",
        next: &[
            Do("# give the whole output to `ashmem doctor explain`"),
            Do("ashmem doctor --mode module"),
        ],
        ..M
    },
    Message {
        id: "dkms-build-failed",
        follows: CAUSES,
        says: concat!(
            r"bad exit status:? *\d+|bad return status for module build|",
            r"application of patch \S+ failed|",
            r"Build of \S+ failed|",
            r"make(\[\d+\])?: \*\*\* .*(ashmem|anbox|binder|redroid).*Error \d+|",
            r"dkms autoinstall on \S+ failed for (ashmem|anbox|binder|redroid)|",
            r"dkms install\b.*(ashmem|anbox|binder|redroid).* exited \d+|",
            r"/(ashmem|anbox|binder|redroid)\S*\.k?o\] Error \d+|",
            r"autoinstall (for|on) .*failed for module\S* .*(ashmem|anbox|binder|redroid)|",
            r"consult /var/lib/dkms/\S*(ashmem|anbox|binder|redroid)\S*make\.log"
        ),
        cause: "a DKMS build failed; the reason stands in its make.log",
        next: &[
            Do("cat /var/lib/dkms/*/*/build/make.log | ashmem doctor explain"),
            Do("ashmem doctor --mode module"),
        ],
        ..M
    },
];

/// What a build fails for.
const CAUSES: &[&str] = &[
    "old-",
    "headers-",
    "compiler-missing",
    "compiler-too-old",
    "compiler-no-memory",
    "build-",
    "module-licence",
    "kernel-built",
    "clang-",
    "no-space",
    "dkms-missing",
    "dkms-source",
];
