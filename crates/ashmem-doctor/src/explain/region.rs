// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is said where the device is opened, and regions are made, mapped and passed on. The error
//! decides.

use crate::advice::NextStep::{self, Do};
use crate::message::Message;
use crate::subject::Subject::{Ashmem, Binder, Device, Memfd, Region};

const M: Message = Message::PLAIN;

/// How programs say that they could not make or map a region.
const NOT_MADE: &str =
    r"(fail\w*|could ?n[o']t|cannot|can't|unable|error|exception|= -\d|not)\b|returned -";

pub(super) const LOOK: NextStep = Do("ashmem doctor");

pub(super) const DESCRIPTORS: &[NextStep] = &[
    Do("sudo ls /proc/PID/fd | wc -l; grep 'open files' /proc/PID/limits"),
    Do("sudo ashmem list --pid PID   # regions that it holds; --leaks: those that it maps no more"),
    Do("# a cursor or buffer that is never closed leaks one descriptor each: close it; a higher \
        limit (ulimit -n) only delays"),
];

/// Troubles that name the error of a region that could not be made.
pub(super) const NAMED: &[&str] = &[
    "device-missing",
    "device-not-permitted",
    "device-open",
    "device-number",
    "boot-id",
    "too-many-desc",
    "no-memory",
    "cursor-window-leak",
];

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "memfd-without-ashmem-ioctls",
        about: &[],
        says: r"no ashmem-memfd compat support|ASHMEM_GET_SIZE\).*!=.*buf_size",
        cause: "Android 16's libcutils made a memfd and asked it for its size by ashmem's ioctl, \
                which only Google's kernels answer. It now wants /dev/ashmem<boot_id>, or an agent \
                that answers on memfds",
        next: &[
            Do("ashmem doctor --mode module"),
            Do("ashmem doctor --mode agent"),
            Do("# Waydroid: sudo ashmem waydroid enable"),
        ],
        ..M
    },
    Message {
        id: "memfd-by-vndk-harmless",
        about: &[Memfd],
        says: concat!(
            r"memfd: (device VNDK version|ro\.vndk\.version not defined|ro\.treble\.enabled)|",
            r"memfd: device has memfd support",
        ),
        is_harmless: true,
        cause: "harmless: libcutils says whether it takes memfd or the device. It decides by \
                ro.vndk.version (a number of 29 or more; `current` or nothing means the device) \
                and sys.use_memfd. Where it takes the device, the device must be there",
        next: &[Do("ashmem doctor --image ROOTFS   # what an image will ask for")],
        ..M
    },
    Message {
        id: "memfd-without-seal",
        about: &[],
        says: r"F_SEAL_FUTURE_WRITE|fcntl\(F_ADD_SEALS\) failed.*no memfd support",
        cause: "this kernel's memfd has no F_SEAL_FUTURE_WRITE (5.1 and newer have), or a sandbox \
                answers fcntl: libcutils does not take memfd then, and wants the device",
        next: &[Do("uname -r"), Do("ashmem doctor   # `memfd`")],
        ..M
    },
    Message {
        id: "memfd-refused",
        about: &[Memfd],
        says: r"\bmemfd_create\b",
        errno: &[libc::EPERM, libc::EACCES],
        unless: r"\bavc\b|apparmor",
        cause: "memfd_create itself was refused: by the container's seccomp policy, or, for memory \
                that is to be executable, by vm.memfd_noexec (EACCES). The device has no part in \
                it",
        next: &[
            Do("sysctl vm.memfd_noexec   # 2 forbids executable memory"),
            Do("grep Seccomp /proc/PID/status   # 2: a policy is on; engines: --security-opt \
                seccomp=unconfined"),
            Do("ashmem doctor   # `memfd`"),
        ],
        ..M
    },
    Message {
        id: "illegal-descriptor-memfd",
        about: &[],
        says: r"illegal fd=\d+ mode=0?10[0-7]{4}\b",
        cause: "libcutils was handed a regular file (mode 0100...: a memfd or another file) where \
                it wants a region of the device, and aborts. Either sys.use_memfd is on and the \
                program uses raw ashmem calls, or the region of one supervisor (`ashmem run`, the \
                agent) reached a program that it does not serve",
        next: &[
            LOOK,
            Do("# under `ashmem run` and the agent, keep the level `full`: `fast` shows a memfd \
                 to fstat"),
            Do("# programs that pass regions to each other belong under one `ashmem run`, or in \
                 one container of the agent"),
        ],
        ..M
    },
    Message {
        id: "illegal-descriptor",
        about: &[],
        says: concat!(
            r"illegal fd=\d+|ashmem.*(illegal|wrong|invalid) (fd|descriptor|file descriptor)|",
            r"\bnot an? (valid )?ashmem (fd|descriptor|file descriptor|region)"
        ),
        cause: "libcutils compared a descriptor with the device (a character device with the \
                node's number) and it is another: the module was loaded anew since (the number \
                changes), the container has a node with an old number, or something else was \
                passed (a socket, a GPU's buffer)",
        next: &[
            Do("grep -w ashmem /proc/misc; ls -lL /dev/ashmem*   # in the container too: the \
                numbers must be the same"),
            Do("# then start the container anew"),
        ],
        ..M
    },
    Message {
        id: "descriptor-closed-twice",
        about: &[Ashmem, Region, Memfd],
        says: r"attempted to close (file )?descriptor \d+.*\bowned by\b",
        cause: "a program closed a descriptor that was not its own any more, and Android's fdsan \
                noticed: the region that has this number now would have gone",
        next: &[Do("# the crash's backtrace names who closed it: that code closes twice")],
        ..M
    },
    Message {
        id: "mapping-not-executable",
        about: &[Ashmem, Region, Memfd],
        says: r"(\b(mmap(2|64)?|mprotect)\b.*PROT_EXEC|\b(map\w*|mprotect)\b.*executable)",
        errno: &[libc::EPERM, libc::EACCES],
        unless: r"\bavc:|apparmor=",
        cause: "the region may not be mapped as code: SELinux refuses (EACCES: execute, execmod), \
                memfd was made without that right (vm.memfd_noexec), it lies on a mount with \
                `noexec`, or its maker took PROT_EXEC from it (EPERM)",
        next: &[
            Do("sudo ausearch -m AVC -ts recent; dmesg | grep avc:   # SELinux's word"),
            Do("sysctl vm.memfd_noexec; findmnt -T /dev/shm -o OPTIONS"),
            Do("sudo ashmem list   # the column of rights"),
        ],
        ..M
    },
    Message {
        id: "mapping-refused-by-mask",
        about: &[Ashmem, Region, Memfd],
        says: concat!(
            r"\b(mmap(2|64)?|mprotect|mapp?(ing|ed)?|MemoryHeapBase|BpMemoryHeap|",
            r"\w*set_?prot\w*)\b"
        ),
        errno: &[libc::EPERM, libc::EACCES],
        // The call that failed is the one that makes a region.
        unless: r"\bopen|mmap_min_addr|\bmount|create_region",
        cause: "somebody took that right from the region for good (ASharedMemory_setProt, \
                ASHMEM_SET_PROT_MASK) before it was mapped, as makers of regions do before they \
                hand them out",
        next: &[
            Do("# map with fewer rights: PROT_READ where WRITE was taken; or have the maker map \
                first and take the right then"),
            Do("sudo ashmem list   # the column of rights"),
        ],
        ..M
    },
    Message {
        id: "too-many-descriptors",
        about: &[Ashmem, Device, Region, Memfd, Binder],
        says: r"",
        errno: &[libc::EMFILE, libc::ENFILE],
        cause: "the process (EMFILE) or the machine (ENFILE) has no descriptor left: each region, \
                cursor window and buffer takes one. The device is there and has no part in it",
        next: DESCRIPTORS,
        ..M
    },
    Message {
        id: "no-memory-for-region",
        about: &[Ashmem, Device, Region, Memfd],
        says: r"",
        errno: &[libc::ENOMEM],
        unless: r"insert|insmod|modprobe",
        cause: "there was no memory for the region: the container's or the process's limit is \
                reached, its address space is full (32-bit programs), or the size is beyond \
                reason. The device is there",
        next: &[
            Do("free -m; cat /sys/fs/cgroup/memory.max /proc/PID/limits"),
            Do("sudo ashmem list   # who holds how much"),
        ],
        ..M
    },
    Message {
        id: "no-space-for-region",
        about: &[Ashmem, Region, Memfd],
        says: r"",
        errno: &[libc::ENOSPC, libc::EDQUOT],
        unless: r"dkms|/build/|\.ko\b|\bld\b",
        cause: "the memory that regions come from is full: /dev/shm or a tmpfs with a limit, or \
                the container's memory",
        next: &[Do("df -h /dev/shm /tmp; cat /sys/fs/cgroup/memory.max"), Do("sudo ashmem list")],
        ..M
    },
    Message {
        id: "boot-id-name-missing",
        about: &[Ashmem],
        says: concat!(
            r"/dev/ashmem[0-9a-f]{8}-[0-9a-f-]*|/dev/ashmem<boot_id>|",
            r"unable to stat ashmem device"
        ),
        errno: &[libc::ENOENT],
        // Up to Android 15 the other name was tried too, and is not there either.
        unless: r" and /dev/ashmem\W",
        cause: "Android opened /dev/ashmem<boot_id>, its first name for the device (Android 16's \
                only one), and the container has no such node",
        next: &[
            Do("ashmem doctor   # the line `boot id name`"),
            Do("# Waydroid: sudo ashmem waydroid enable; docker and podman: --device \
                android.dev/ashmem=all"),
        ],
        ..M
    },
    Message {
        id: "device-missing",
        says: concat!(
            r"\bcommand '(chmod|chown|symlink|restorecon|setfattr|copy)\b[^']*/dev/ashmem\b.*",
            r"no such file|/sys/(class|devices/virtual)/misc/ashmem\b.*no such file|",
            r"timed out waiting for device \S*/?dev[/-]ashmem|",
            r"\bdev-ashmem\S*\.device\b.*(timed out|time-?out|failed)"
        ),
        cause: "somebody waits for /dev/ashmem, or sets it up, and it is not there: the kernel has \
                had no driver since 5.18, and no module or agent gives it one",
        next: &[LOOK, NextStep::Module],
        ..M
    },
    Message {
        id: "device-missing",
        says: r"could not create shared memory segment: no such file",
        errno: &[libc::ENOENT],
        cause: "no kernel answers so to a program that makes a segment: this is Termux's \
                libandroid-shmem, which makes segments of ashmem and did not find /dev/ashmem",
        next: &[
            LOOK,
            Do("# termux-docker: --device /dev/ashmem, or the agent's profile"),
            NextStep::Module,
        ],
        ..M
    },
    Message {
        id: "device-number-dead",
        about: &[Device, Region],
        says: r"",
        errno: &[libc::ENXIO, libc::ENODEV],
        unless: r"\bmount|binder|gathering",
        cause: "the node is there and no driver answers to its number: the module is not loaded, \
                or the node was made in another boot, when the number was another",
        next: &[
            Do("sudo modprobe ashmem_linux; grep -w ashmem /proc/misc; ls -l /dev/ashmem"),
            Do("# bind the host's node into the container in place of one that was made by mknod"),
        ],
        ..M
    },
    Message {
        id: "device-not-permitted",
        about: &[Device, Region, Ashmem],
        says: r"",
        errno: &[libc::EACCES],
        unless: r"\bavc\b|apparmor|SharedMemory_set|setProt",
        cause: "the node is there and may not be opened: its mode is 0600, it lies on a mount with \
                `nodev`, or SELinux refuses",
        next: &[
            Do("ashmem doctor   # on the host, and in the container: the line `device`"),
            Do("sudo ashmem doctor --root /proc/PID/root   # a container's view, from outside"),
        ],
        ..M
    },
    Message {
        id: "device-open-eperm",
        about: &[Device, Region],
        says: concat!(
            r"open|creat|alloc|stat|access|unavailable|\[errno 1\]|code: 1\b|",
            // A shell's tools name the file, and then the error.
            r"(/dev/ashmem[\w-]*|\bashmem (device|node|driver))\W{1,3}operation not permitted"
        ),
        unless: r"\b(chmod|chown|chcon|rm|ln|mv|ioctl|mmap)\b",
        errno: &[libc::EPERM],
        cause: "opening the node says EPERM: the container's device control group leaves out its \
                number, which changes from boot to boot (rules with 10:55 or the like fit by \
                chance), or the file system is mounted `nodev`",
        next: &[
            Do("ashmem doctor   # in the container: the line `device`"),
            Do("grep -w ashmem /proc/misc   # the number in this boot"),
        ],
        ..M
    },
    Message {
        id: "device-open-eperm",
        about: &[Region],
        says: r"\bcreate_region\b|_create_region\b",
        errno: &[libc::EPERM],
        cause: "a region could not be made, and the error is EPERM: the container's device control \
                group leaves the node's number out, which changes from boot to boot, or the file \
                system is mounted `nodev`",
        next: &[
            Do("ashmem doctor   # in the container: the line `device`"),
            Do("grep -w ashmem /proc/misc   # the number in this boot"),
        ],
        ..M
    },
    Message {
        id: "not-ashmem-ioctl",
        about: &[Ashmem, Region],
        says: r"",
        errno: &[libc::ENOTTY],
        cause: "an ashmem ioctl reached a descriptor that does not know it: a memfd (sys.use_memfd \
                is on, the program uses raw ioctls), or a vendor's driver without these calls",
        next: &[
            Do("ashmem doctor   # the lines `memfd` and `device`"),
            Do("# with the module, and sys.use_memfd off, regions are ashmem's again; under \
                 `ashmem run` or the agent memfds answer too"),
        ],
        ..M
    },
    Message {
        id: "not-ashmem-ioctl",
        about: &[],
        says: concat!(
            r"\b[SG]ET_(NAME|SIZE|PROT_MASK)\b.*(not a typewriter|inappropriate ioctl|ENOTTY|",
            r"error 25)"
        ),
        cause: "an ashmem ioctl reached a descriptor that does not know it: a memfd (sys.use_memfd \
                is on, the program uses raw ioctls), or a vendor's driver without these calls",
        next: &[Do("ashmem doctor   # the lines `memfd` and `device`")],
        ..M
    },
    Message {
        id: "device-missing",
        about: &[Device, Region],
        says: r"",
        errno: &[libc::ENOENT],
        // A file of Android's own; its shell may be who says it.
        unless: concat!(
            r"\.(so|xml|conf|png|ko)\b|/data/|/sdcard|/vendor/|library|mapper|",
            r"/system/([ac-z]|bin/\w{3})"
        ),
        cause: "there is no /dev/ashmem where the program runs: the kernel has had no driver since \
                5.18, and no module or agent gives it one, or the container was made before the \
                module was loaded",
        next: &[
            LOOK,
            Do("# Waydroid: sudo ashmem waydroid enable; redroid up to Android 15: \
                androidboot.use_memfd=1 is another way"),
            NextStep::Module,
        ],
        ..M
    },
    Message {
        id: "ashmem-not-permitted",
        about: &[Ashmem],
        says: r"",
        errno: &[libc::EPERM],
        cause: "the line does not say what was refused. It is one of three: the module may not be \
                loaded (Secure Boot, lockdown, no root), the node may not be opened (a device \
                control group, or a mount with `nodev`), or the region may not be mapped so (its \
                maker took the right)",
        next: &[
            Do("sudo ashmem doctor   # tells the first two apart; inside the container too"),
            Do("# for the third: sudo ashmem trace --fail-only, and run the program again"),
        ],
        ..M
    },
    // The call is named, and so is its error: no more words are wanted.
    Message {
        id: "bad-region-call",
        about: &[Region, Device, Ashmem],
        says: concat!(
            r"ASHMEM_[SGPU][A-Z_]+\b|ASharedMemory_\w+|ashmem_\w+_region\b|\bioctl\(\d|",
            r"\b(mmap(2|64)?|mapping|mprotect|munmap)\b"
        ),
        errno: &[libc::EINVAL, libc::EBADF, libc::EFAULT],
        unless: r"binder",
        cause: "the region refused the call: a size of 0 or one that is already fixed by a \
                mapping, a name that is too long or comes after a mapping, a right that was given \
                away before, a range beyond its end, a descriptor that is closed, or an address \
                that is none of the program's (EFAULT)",
        next: &[Do("ashmem trace --fail-only -- PROGRAM   # which call, with which values")],
        ..M
    },
    Message {
        id: "size-overflow",
        about: &[],
        says: concat!(
            r"ashmem_get_size_region.*(overflow|abort)|(overflow|abort).*ashmem_get_size_region|",
            r"ubsan.*ashmem",
        ),
        unless: r"drivers/",
        cause: "libcutils aborts over a region's size where memfd stands for ashmem (the Dolphin \
                emulator meets it)",
        next: &[Do("ashmem doctor --mode module")],
        ..M
    },
    Message {
        id: "bad-region-call",
        about: &[Ashmem, Region],
        says: NOT_MADE,
        errno: &[libc::EINVAL, libc::EBADF],
        unless: concat!(
            r"binder([^=]|$)|setProperty|insert|insmod|modprobe|gbm|drm|hwc|AllocatorHal|",
            r"mapper"
        ),
        cause: "the region refused the call: a size of 0 or one that is already fixed by a \
                mapping, a name that is too long, a range beyond its end, or a descriptor that is \
                closed",
        next: &[Do("ashmem trace --fail-only -- PROGRAM   # which call, with which values")],
        ..M
    },
    Message {
        id: "device-missing",
        about: &[Device],
        says: concat!(
            r"(unable to|could not|cannot|can't|failed to|couldn't) (open|access|find|stat)|",
            r"(open|opening)\b.* fail|does( not|n't) exist|not (found|present)|\bmissing\b|",
            r"\bcondition\w*\b.*(skipped|not met|failed)|skipped because .*\bcondition"
        ),
        unless: r"\(dkms|modprobe|condition\w+=!",
        errno: &[0],
        cause: "there is no /dev/ashmem where the program runs, or it may not be opened (the line \
                does not name the error): the kernel has had no driver since 5.18, and no module \
                or agent gives it one, or the container was made before the module was loaded",
        next: &[
            LOOK,
            Do("# Waydroid: sudo ashmem waydroid enable; redroid up to Android 15: \
                androidboot.use_memfd=1 is another way"),
        ],
        ..M
    },
    Message {
        id: "region-not-made",
        follows: NAMED,
        about: &[Ashmem, Region],
        says: concat!(
            r"(fail\w*|could ?n[o']t|cannot|can't|unable|error)\b.*(creat|alloc|open|mmap|map|",
            r"region|pin)|",
            r"(creat|alloc|region|mmap|pin)\w*.*(fail|could ?n[o']t|cannot|unable|error|returned -)"
        ),
        errno: &[0],
        unless: concat!(
            r"module|modprobe|\.ko\b|dkms|\.[ch]:\d|overflow|avc:|\bmake\b|\.dev/|kubelet|",
            r"register|shrinker"
        ),
        cause: "a part of Android could not make a region, and does not say why: the device is \
                missing or refuses, or the process has too many descriptors open",
        next: &[LOOK, Do("# descriptors: ls /proc/PID/fd | wc -l, and `ulimit -n`")],
        ..M
    },
    Message {
        id: "region-not-made",
        follows: NAMED,
        about: &[],
        unless: r"MemoryFile\.cpp",
        says: concat!(
            r"(could not|failed to|cannot|unable to) (create|allocate).*(CursorWindow|MemoryFile|",
            r"MemoryHeapBase)|SharedMemory.*(create|nCreate).*fail|fail.*SharedMemory|",
            r"(MemoryFile|CursorWindow|MemoryHeapBase|imageref_ashmem).*(creat|alloc)\w* fail"
        ),
        errno: &[0],
        cause: "a part of Android could not make a region, and does not say why: the device is \
                missing or refuses, or the process has too many descriptors open",
        next: &[LOOK, Do("# descriptors: ls /proc/PID/fd | wc -l, and `ulimit -n`")],
        ..M
    },
];
