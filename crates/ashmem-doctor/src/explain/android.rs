// SPDX-License-Identifier: MIT OR Apache-2.0
//! What Android and its programs say, in logcat and Waydroid's log.

use crate::message::Message;

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "memfd-without-ashmem-ioctls",
        pattern: r"no ashmem-memfd compat support|ASHMEM_GET_SIZE\).*!=.*buf_size",
        cause: "Android 16's libcutils made a memfd and asked it for its size by ashmem's ioctl, \
                which only Google's kernels answer. It now wants /dev/ashmem<boot_id>, or an agent \
                that answers on memfds",
        next: &[
            "ashmem doctor --mode module",
            "ashmem doctor --mode agent",
            "# Waydroid: sudo ashmem waydroid enable",
        ],
    },
    Message {
        id: "boot-id-name-missing",
        pattern: concat!(
            r"/dev/ashmem[0-9a-f]{8}-[0-9a-f-]*.*(ENOENT|no such file)|",
            r"/dev/ashmem<boot_id>.*(ENOENT|no such file)"
        ),
        cause: "Android opened /dev/ashmem<boot_id>, its first name for the device (Android 16's \
                only one), and the container has no such node",
        next: &[
            "ashmem doctor   # the line `boot id name`",
            "# Waydroid: sudo ashmem waydroid enable; docker and podman: --device \
             android.dev/ashmem=all",
        ],
    },
    Message {
        id: "mapping-refused-by-mask",
        pattern: concat!(
            r"(mmap|mprotect|mapping)\b.*ashmem.*(operation not permitted|permission denied|EPERM|",
            r"EACCES)|",
            r"ashmem.*(mmap|mprotect|mapping)\b.*(operation not permitted|permission denied|EPERM|",
            r"EACCES)"
        ),
        cause: "somebody took that right from the region for good (ASharedMemory_setProt, \
                ASHMEM_SET_PROT_MASK) before it was mapped, as makers of regions do before they \
                hand them out",
        next: &[
            "# map with fewer rights: PROT_READ where WRITE was taken; or have the maker map first \
             and take the right then",
            "sudo ashmem list   # the column of rights",
        ],
    },
    Message {
        id: "device-not-permitted",
        pattern: concat!(
            r"(ashmem).*(permission denied|EACCES|error = 13)|",
            r"(permission denied|EACCES).*/dev/ashmem"
        ),
        cause: "the node is there and may not be opened: its mode is 0600, it lies on a mount with \
                `nodev`, a device control group leaves its number out, or SELinux refuses",
        next: &[
            "ashmem doctor   # on the host, and in the container: the line `device`",
            "sudo ashmem doctor --root /proc/PID/root   # a container's view, from outside",
        ],
    },
    Message {
        id: "device-open-eperm",
        pattern: concat!(
            r"(open|unable to open|could not open|opening).*ashmem.*(operation not permitted|",
            r"EPERM)|/dev/ashmem.*(operation not permitted|EPERM)"
        ),
        cause: "opening the node says EPERM: the container's device control group leaves out its \
                number, which changes from boot to boot (rules with 10:55 or the like fit by \
                chance), or the file system is mounted `nodev`",
        next: &[
            "ashmem doctor   # in the container: the line `device`",
            "grep -w ashmem /proc/misc   # the number in this boot",
        ],
    },
    Message {
        id: "device-missing",
        pattern: concat!(
            r"(unable to open|could not open|cannot open|failed to open|opening).*ashmem|",
            r"/dev/ashmem.*(no such file|ENOENT|does not exist|not found)|",
            r"(no such file|ENOENT).*/dev/ashmem|stat.*/dev/ashmem"
        ),
        cause: "there is no /dev/ashmem where the program runs: the kernel has had no driver since \
                5.18, and no module or agent gives it one, or the container was made before the \
                module was loaded",
        next: &[
            "ashmem doctor",
            "# Waydroid: sudo ashmem waydroid enable; redroid up to Android 15: \
             androidboot.use_memfd=1 is another way",
        ],
    },
    Message {
        id: "illegal-descriptor",
        pattern: concat!(
            r"illegal fd|ashmem.*(illegal|wrong|invalid) (fd|descriptor|file descriptor)|",
            r"is not an? ashmem (fd|descriptor)"
        ),
        cause: "libcutils compared a descriptor with the device (a character device with the \
                node's number) and it is none: a memfd was passed where an ashmem region is \
                expected, or the node was made anew since. With mode=0100777 and rdev=0:0 it is a \
                region of `ashmem run` or the agent in a process that another supervisor answers, \
                or none",
        next: &[
            "ashmem doctor",
            "# under `ashmem run` and the agent, keep the level `full`: `fast` shows a memfd to \
             fstat",
            "# programs that pass regions to each other belong under one `ashmem run`, or in one \
             container of the agent",
        ],
    },
    Message {
        id: "ashmem-not-permitted",
        pattern: concat!(
            r"ashmem.*(operation not permitted|\bEPERM\b)|",
            r"(operation not permitted|\bEPERM\b).*ashmem"
        ),
        cause: "the line does not say what was refused. It is one of three: the module may not be \
                loaded (Secure Boot, lockdown, no root), the node may not be opened (a device \
                control group, or a mount with `nodev`), or the region may not be mapped so (its \
                maker took the right)",
        next: &[
            "sudo ashmem doctor   # tells the first two apart; inside the container too",
            "# for the third: sudo ashmem trace --fail-only, and run the program again",
        ],
    },
    Message {
        id: "not-ashmem-ioctl",
        pattern: concat!(
            r"\b[SG]ET_(NAME|SIZE|PROT_MASK)\b.*(not a typewriter|inappropriate ioctl|ENOTTY|",
            r"error 25)|",
            r"(ASHMEM_|ashmem_)[A-Za-z_]*.*(not a typewriter|inappropriate ioctl|ENOTTY|error 25)|",
            r"(not a typewriter|inappropriate ioctl|ENOTTY).*ashmem"
        ),
        cause: "an ashmem ioctl reached a descriptor that does not know it: a memfd (sys.use_memfd \
                is on, the program uses raw ioctls), or a vendor's driver without these calls",
        next: &[
            "ashmem doctor   # the lines `memfd` and `device`",
            "# with the module, and sys.use_memfd off, regions are ashmem's again; under `ashmem \
             run` or the agent memfds answer too",
        ],
    },
    Message {
        id: "apps-may-not",
        pattern: r"avc:\s+denied.*ashmem|avc:.*ashmem_device",
        cause: "SELinux refuses: since Android 10 apps that target API 29 or newer may not open \
                /dev/ashmem, and it may be mapped executable by none",
        next: &["# an app for API 29 and newer uses ASharedMemory; on a host's own SELinux: sudo \
                 ausearch -m avc -ts recent | grep ashmem"],
    },
    Message {
        id: "memfd-killed-by-seccomp",
        pattern: concat!(
            r"type=1326.*syscall=(319|279|385|356)\b|seccomp.*memfd_create|",
            r"memfd_create.*(bad system call|sigsys)|",
            r"(mediaextractor|media\.extractor|mediacodec).*(SIGSYS|bad system call|seccomp)"
        ),
        cause: "a service's seccomp policy kills memfd_create: Android's mediaextractor, in images \
                made before memfd was used",
        next: &[
            "# with the device instead of memfd this call is not made: ashmem doctor --mode module",
        ],
    },
    Message {
        id: "use-memfd-too-late",
        pattern: r"sys\.use_memfd|androidboot\.use_memfd",
        cause: "Android takes memfd only with sys.use_memfd set before its first process, for \
                Android 10 to 15, with a suitable image (ro.vndk.version, ro.treble.enabled); it \
                is off by default, and Android 16 also wants ashmem's ioctls on it",
        next: &[
            "# redroid: append androidboot.use_memfd=1 to the docker run line; Waydroid: sudo \
             ashmem waydroid enable",
            "ashmem doctor   # the line `memfd`",
        ],
    },
    Message {
        id: "cursor-window",
        pattern: concat!(
            r"(CursorWindow|MemoryFile|SharedMemory|MemoryHeapBase|gralloc|",
            r"GraphicBuffer).*(ashmem|allocat|creat).*(fail|error|could not|unable)|",
            r"(fail|could not|unable|error).*(alloc|creat|open).*(CursorWindow|MemoryHeapBase|",
            r"ashmem region|gralloc)|ashmem_create_region.*fail|fail.*ashmem_create_region"
        ),
        cause: "a part of Android could not make a region: the device is missing or refuses, or \
                the process has too many descriptors open",
        next: &["ashmem doctor", "# descriptors: ls /proc/PID/fd | wc -l, and `ulimit -n`"],
    },
    Message {
        id: "gms-on-memfd",
        pattern: concat!(
            r"com\.google\.android\.gms.*(crash|died|has died|fatal)|",
            r"(crash|died|fatal).*com\.google\.android\.gms"
        ),
        cause: "Google Play services crash while an account is added, where memfd stands for \
                ashmem (seen on a PinePhone); with the device it works, and after that memfd does \
                too",
        next: &["ashmem doctor --mode module", "sudo ashmem waydroid enable"],
    },
    Message {
        id: "size-overflow",
        pattern: concat!(
            r"ashmem_get_size_region.*(overflow|abort)|(overflow|abort).*ashmem_get_size_region|",
            r"ubsan.*ashmem"
        ),
        cause: "libcutils aborts over a region's size where memfd stands for ashmem (the Dolphin \
                emulator meets it)",
        next: &["ashmem doctor --mode module"],
    },
    Message {
        id: "sigbus",
        pattern: r"(sigbus|signal 7|bus error)",
        cause: "a mapping was touched beyond the end of what lies behind it: a driver whose mmap \
                does not set the mapping up well (old ports on newer kernels), a region shared \
                before it had its size, or /dev/shm is full",
        next: &[
            "modinfo -F version ashmem_linux   # this project's module says a version",
            "ashmem doctor --mode module",
        ],
    },
    Message {
        id: "surfaceflinger",
        pattern: concat!(
            r"(surfaceflinger|zygote|system_server|servicemanager).*(crash|died|fatal|exited|",
            r"killed|restart|bug|received signal|SIGABRT)|",
            r"(crash|died|fatal|killed|restart\w*).*(surfaceflinger|zygote)"
        ),
        cause: "Android's first processes die in a ring; without shared memory none can live. The \
                cause stands above this line in the log: look for ashmem, memfd or binder there",
        next: &["ashmem doctor", "# the whole log: logcat -d | ashmem doctor explain"],
    },
    Message {
        id: "page-size",
        pattern: concat!(
            r"(page size|pagesize).*(16384|65536|16 ?k|64 ?k|not supported|unsupported|4096|",
            r"4 ?kb)|alignment.*(16384|65536)"
        ),
        cause: "the image is built for pages of 4 KiB and this kernel's are larger; ashmem has no \
                part in it",
        next: &["getconf PAGESIZE", "# boot a kernel with 4 KiB pages"],
    },
];
