// SPDX-License-Identifier: MIT OR Apache-2.0
//! What modprobe, the kernel's loader and Secure Boot say.

use crate::message::Message;

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "key-not-available",
        pattern: concat!(
            r"required key not available|key was rejected by service|",
            r"loading of (module with unavailable key|unsigned module) is rejected|EKEYREJECTED|",
            r"ENOKEY"
        ),
        cause: "Secure Boot: the kernel takes modules only with a signature of a key that the \
                firmware knows, and this one has none (on Ubuntu 20.04 ashmem_linux itself was \
                unsigned)",
        next: &[
            "ashmem doctor --mode module   # leads through making and enrolling the key",
            "sudo mokutil --import /var/lib/dkms/mok.pub",
            "# or without a module: ashmem run -- PROGRAM",
        ],
    },
    Message {
        id: "lockdown",
        pattern: concat!(
            r"lockdown:.*(unsigned module|insmod|modprobe|systemd-modules)|",
            r"kernel is locked down"
        ),
        cause: "the kernel is locked down (Secure Boot brings that on) and refuses modules that \
                are not signed with an enrolled key",
        next: &[
            "cat /sys/kernel/security/lockdown",
            "ashmem doctor --mode module   # leads through signing",
        ],
    },
    Message {
        id: "verification-failed-harmless",
        pattern: concat!(
            r"module verification failed: signature and/or required key missing",
            r" - tainting kernel"
        ),
        cause: "harmless: the module is not signed, this kernel notes that and loads it all the \
                same",
        next: &[],
    },
    Message {
        id: "out-of-tree-harmless",
        pattern: r"loading out-of-tree module taints kernel",
        cause: "harmless: the kernel notes that a module did not come with it",
        next: &[],
    },
    Message {
        id: "wrong-kernel",
        pattern: concat!(
            r"exec format error|version magic.*should be|disagrees about version of symbol|",
            r"invalid module format|no symbol version for"
        ),
        cause: "the module was built for another kernel than the one that runs",
        next: &[
            "uname -r; modinfo -F vermagic ashmem_linux",
            "sudo dkms autoinstall -k $(uname -r)",
            "ashmem doctor --mode module",
        ],
    },
    Message {
        id: "already-built-in",
        pattern: concat!(
            r"cannot create duplicate filename.*misc/ashmem|already has an ashmem device|",
            r"ashmem.*(file exists|EEXIST|could not be registered)|",
            r"could not insert 'ashmem_linux'.*(File exists|busy)"
        ),
        cause: "the kernel has a driver of that name already, built in or loaded: a second one is \
                not needed",
        next: &["grep -w ashmem /proc/misc && ls -l /dev/ashmem", "ashmem doctor --mode module"],
    },
    Message {
        id: "module-halves",
        pattern: r"rust object and the C glue are of different builds",
        cause: "the module was put together from two builds",
        next: &["sudo dkms install --force ashmem/$(dkms status | sed -n 's,^ashmem/\\([^, \
                 ]*\\).*,\\1,p' | head -1)"],
    },
    Message {
        id: "module-in-use",
        pattern: concat!(
            r"module ashmem_linux is (in use|builtin)|",
            r"rmmod.*ashmem_linux.*(in use|busy|unavailable)|could not remove 'ashmem_linux'"
        ),
        cause: "regions still live: a descriptor or a mapping of one holds the module until the \
                last is gone; a driver that is built in cannot be removed",
        next: &[
            "sudo grep -l /dev/ashmem /proc/[0-9]*/maps 2>/dev/null",
            "sudo ls -l /proc/[0-9]*/fd 2>/dev/null | grep ashmem",
        ],
    },
    Message {
        id: "module-not-permitted",
        pattern: concat!(
            r"(insert|insmod|modprobe|load|init_module).*(ashmem|binder|",
            r"module)\S*.*(operation not permitted|EPERM)|",
            r"(operation not permitted).*(ashmem_linux|insert)|",
            r"ashmem_linux.*(operation not permitted|permission denied|\bEPERM\b|\bEACCES\b)"
        ),
        cause: "the kernel refuses to load the module: Secure Boot or lockdown wants a signature, \
                this is a container, or the caller is not root",
        next: &[
            "sudo dmesg | grep -iE 'lockdown|signature|ashmem' | tail",
            "ashmem doctor --mode module",
        ],
    },
    Message {
        id: "module-not-found",
        pattern: concat!(
            r"module ashmem_linux not found|modprobe: (FATAL|ERROR).*ashmem|",
            r"ashmem_linux.*not found|could not find module.*ashmem|failed to load ashmem driver|",
            r"ashmem.*modprobe.*(fail|error|not found)|required kernel module.*ashmem"
        ),
        cause: "this kernel has no ashmem driver (mainline dropped it in 5.18) and no module was \
                built for it. Waydroid prints this and goes on with memfd: up to Android 15 that \
                is harmless, and the trouble is elsewhere",
        next: &[
            "ashmem doctor --mode module   # if you want the device",
            "sudo apt install ./ashmem-dkms_*.deb",
        ],
    },
    Message {
        id: "config-ashmem",
        pattern: r"CONFIG_(ANDROID_)?ASHMEM\b|CONFIG_ASHMEM is not",
        cause: "something asks for a kernel option that went with the driver in 5.18; the module \
                needs no option beyond CONFIG_SHMEM and CONFIG_MODULES",
        next: &["ashmem doctor --mode module"],
    },
];
