// SPDX-License-Identifier: MIT OR Apache-2.0
//! What Android's first processes say when they die, and where pages are too large.

use crate::advice::NextStep::Do;
use crate::message::Message;
use crate::subject::Subject::{Ashmem, CoreService, Memfd, Region};

const M: Message = Message::PLAIN;

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "jit-cache",
        about: &[],
        says: concat!(
            r"(fail\w*|could not|unable|error|cannot).*(jit|code cache).*(memfd|ashmem|mmap|fd\b)|",
            r"(jit|code cache).*(memfd_create|ashmem|memfd).*(fail|error|unable|could not)|",
            r"failed to initialize dual view jit|(could not|failed to) create (\w+ )*(jit|",
            r"code) cache"
        ),
        cause: "ART could not make the memory that its compiler writes to: memfd or the device is \
                refused, or a policy forbids mapping it executable. Apps run interpreted then, \
                slowly, or the zygote ends",
        next: &[
            Do("ashmem doctor   # `memfd` and `device`"),
            Do("mount | grep -E '/dev/shm|noexec'; sysctl vm.memfd_noexec   # 2 forbids it"),
        ],
        ..M
    },
    Message {
        id: "sigbus-on-region",
        about: &[Ashmem, Memfd, Region, CoreService],
        says: r"\bSIGBUS\b|\bsignal 7\b|\bbus error\b",
        cause: "a mapping was touched beyond the end of what lies behind it: a driver whose mmap \
                does not set the mapping up well (old ports on newer kernels), a region shared \
                before it had its size, or /dev/shm is full",
        next: &[
            Do("modinfo -F version ashmem_linux   # this project's module says a version"),
            Do("df -h /dev/shm; ashmem doctor --mode module"),
        ],
        ..M
    },
    Message {
        id: "sigbus",
        about: &[],
        says: r"signal 7 \(SIGBUS\)|\(BUS_ADRERR\)",
        cause: "a program touched a mapping beyond the end of the file or region behind it: a file \
                that was cut short, a full /dev/shm, or an old ashmem driver on a newer kernel. \
                The lines after it (backtrace, fault addr) say which mapping",
        next: &[
            Do("df -h /dev/shm /data"),
            Do("modinfo -F version ashmem_linux   # this project's module says a version"),
        ],
        ..M
    },
    Message {
        id: "core-service-dies",
        about: &[CoreService],
        says: concat!(
            r"service '[^']*' \(pid \d+\) (received signal (4|5|6|7|8|11|31)\b|",
            r"exited with status [1-9])|",
            r"(critical|updatable)\S* (process|component)s? .*exited \d+ times|",
            r"process '\S+' exited \d+ times|exited \d+ times (in|before)|",
            r"fatal signal (4|5|6|7|8|11|31)\b|",
            r"exit zygote because system server|system server .*has terminated|",
            r">>> \S*(surfaceflinger|zygote\w*|system_server|servicemanager)\S* <<<"
        ),
        cause: "one of Android's first processes dies, and with it all others: Android starts over \
                and over. This line is what follows; the cause stands above it in the log: look \
                for ashmem, memfd, binder or gralloc there",
        next: &[Do("ashmem doctor"), Do("# the whole log: logcat -d | ashmem doctor explain")],
        ..M
    },
    Message {
        id: "core-service-dies",
        about: &[],
        says: r"fatal exception in system process|Exit zygote because system server",
        cause: "Android's system server dies, and with it all others: Android starts over and \
                over. This line is what follows; the cause stands beside it in the log",
        next: &[Do("ashmem doctor"), Do("# the whole log: logcat -d | ashmem doctor explain")],
        ..M
    },
    Message {
        id: "page-size",
        about: &[],
        says: concat!(
            r"program alignment \(\d+\) cannot be smaller than system page size|",
            r"(page size|pagesize)\b.*(16384|65536|16 ?k|64 ?k).*(not supported|unsupported|",
            r"mismatch)|",
            r"(requires?|only|built for|needs?|supports?)\b.* (4 ?k(i?b)?|4096)\W.*pages?\b.*(16|",
            r"64)|",
            r"load segment.*alignment.*(16384|65536)|not 16 ?kb aligned"
        ),
        cause: "the image is built for pages of 4 KiB and this kernel's are larger; ashmem has no \
                part in it",
        next: &[Do("getconf PAGESIZE"), Do("# boot a kernel with 4 KiB pages")],
        ..M
    },
];
