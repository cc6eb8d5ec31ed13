// SPDX-License-Identifier: MIT OR Apache-2.0
//! What Android's first processes say when they die, and where pages are too large.

use crate::advice::NextStep::{self, Do};
use crate::log_source::LogSource;
use crate::message::{Fact, Message};
use crate::subject::Subject::{Ashmem, CoreService, Memfd, Region};

const M: Message = Message::PLAIN;

const INIT_ABORTED: &str = "Android's first program gave up, most often over a mount, before \
    anything else ran. An image for phones or for the emulator does so in a container, where much \
    is mounted already: images of redroid and Waydroid carry changes for that. Shared memory has \
    no part in it";

const PRESSURE_MISSING: &str = "Android's lmkd found no way to be told that memory runs short, and \
    ends, over and over, until Android starts anew: the kernel shows no pressure stall \
    information. ashmem has no part in it";

const SHOW_PRESSURE: &[NextStep] = &[
    Do("cat /proc/pressure/memory   # on the host: it must be there, and readable"),
    Do("grep CONFIG_PSI /boot/config-$(uname -r)   # =y is needed; with \
        CONFIG_PSI_DEFAULT_DISABLED=y add psi=1 to the kernel's command line"),
    Do("# redroid, reported to help without it: ro.lmk.use_psi=false"),
];

const WHY_INIT_ABORTED: &[NextStep] = &[
    Do("# the lines of `init:` above it name the mount that it failed over: dmesg | grep init:"),
    Do("# an image of one's own: with redroid's patches, or Waydroid's; docker: --privileged"),
];

const ABORTED_BY: &[&str] = &["k8s-", "binder", "device-", "selinux", "no-32-bit", "image-"];

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "k8s-token-mount",
        says: r"unable to move mount at '/(var/)?run/secrets/kubernetes\.io",
        cause: "Kubernetes mounted its token below /var/run, which Android's init cannot carry \
                over into its own root, and stops. Shared memory has no part in it",
        next: &[Do("# in the pod's spec: automountServiceAccountToken: false")],
        ..M
    },
    Message {
        id: "init-first-stage",
        says: r"^(init: )?init encountered errors starting first stage",
        follows: ABORTED_BY,
        cause: INIT_ABORTED,
        next: WHY_INIT_ABORTED,
        ..M
    },
    Message {
        id: "init-first-stage",
        says: r"^(init: )?InitFatalReboot: signal",
        follows: ABORTED_BY,
        // A container's init has nothing to restart, and ends like this after each shutdown.
        taken_back_by: &[Fact::AndroidEnded],
        cause: INIT_ABORTED,
        next: WHY_INIT_ABORTED,
        ..M
    },
    Message {
        id: "image-program-refused",
        says: r"cannot execv?e?\('/(system|vendor|odm|product|apex)/\S*'\)",
        errno: &[libc::EACCES, libc::EPERM],
        cause: "Android's init may not execute programs of its own image: files that were put into \
                the image or its overlay lost the right to be executed or their label (SELinux), \
                or the root is mounted noexec. Shared memory has no part in it",
        next: &[
            Do("findmnt -R /var/lib/waydroid/rootfs | grep noexec"),
            Do("sudo ausearch -m AVC -ts recent   # SELinux's word"),
            Do("sudo ls -lZR /var/lib/waydroid/overlay /var/lib/waydroid/overlay_rw | less   # \
                what was added: programs want mode 0755"),
            Do("# without what was added: waydroid session stop; move those two folders' content \
                away; start anew"),
        ],
        ..M
    },
    Message {
        id: "image-program-refused",
        says: r"\bexec:? \x22?/init\x22?:.*permission denied",
        cause: "the image's /init may not be executed: the image was unpacked by a tool that drops \
                the right to execute, or its root lies on a mount with `noexec`. Shared memory has \
                no part in it",
        next: &[
            Do("docker run --rm --entrypoint /system/bin/sh IMAGE -c 'ls -l /init'   # mode 0750"),
            Do("findmnt -T $(docker info -f '{{.DockerRootDir}}') -o OPTIONS"),
        ],
        ..M
    },
    Message {
        id: "image-program-missing",
        says: concat!(
            r"\bcould not (re)?start (service )?'[^']*'.*: ",
            r"cannot find '/(system|vendor|odm|product|apex)/|",
            // Many an image names services that it has not; none lives without these.
            r"cannot find '/system/bin/((hw)?servicemanager|surfaceflinger|app_process\d*)'"
        ),
        cause: "Android's init is to start a program that is not in its image: the image is not \
                whole, or something that was put into it (a tool's overlay) took or renamed files. \
                Shared memory has no part in it",
        next: &[
            Do("sudo find /var/lib/waydroid/overlay /var/lib/waydroid/overlay_rw | less   # what \
                was added"),
            Do("# without what was added: waydroid session stop; move those two folders' content \
                away; start anew"),
            Do("sudo waydroid upgrade   # tool and image of one time"),
        ],
        ..M
    },
    Message {
        id: "image-program-not-linked",
        says: r#"^CANNOT LINK EXECUTABLE "?/(system|vendor|apex)/"#,
        unless: r"page size",
        cause: "a program of the image found another library than its own: LD_PRELOAD or \
                LD_LIBRARY_PATH of the host's shell came along into the container, or an overlay \
                put libraries of another width or version there. Shared memory has no part in it",
        next: &[
            Do("env | grep ^LD_   # then: sudo env -u LD_PRELOAD -u LD_LIBRARY_PATH waydroid ..."),
            Do("sudo find /var/lib/waydroid/overlay /var/lib/waydroid/overlay_rw -name 'lib*.so'"),
            Do("sudo waydroid upgrade   # tool and image of one time"),
        ],
        ..M
    },
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
        says: concat!(
            r"fatal exception in system process|Exit zygote because system server|",
            r"\binit: panic: rebooting to "
        ),
        cause: "Android's system server dies, and with it all others: Android starts over and \
                over. This line is what follows; the cause stands beside it in the log",
        next: &[Do("ashmem doctor"), Do("# the whole log: logcat -d | ashmem doctor explain")],
        ..M
    },
    Message {
        id: "pressure-stall-missing",
        says: concat!(
            r"no kernel memory\.pressure_level support|",
            r"kernel does not support memory pressure events|",
            r"\b(init|lmkd|lowmemorykiller)\b.*/proc/pressure/memory\b|",
            r"\bno kernel psi monitor support|",
            r"\bpsi (monitor )?(init|initiali[sz]ation) failed|failed to (init\w*|register) psi"
        ),
        cause: PRESSURE_MISSING,
        next: SHOW_PRESSURE,
        ..M
    },
    Message {
        id: "pressure-stall-missing",
        from: &[LogSource::Logcat],
        says: r"/proc/pressure/memory\b|memory\.pressure_level\b",
        errno: &[libc::ENOENT, libc::EOPNOTSUPP, libc::EACCES],
        unless: "avc:",
        cause: PRESSURE_MISSING,
        next: SHOW_PRESSURE,
        ..M
    },
    Message {
        id: "no-32-bit",
        says: r"cannot execve?\('[^']*/app_process(32)?'\).*exec format error",
        cause: "Android's 64-bit programs run (init is one), and 32-bit ones cannot: this \
                processor or kernel has no 32-bit mode (Apple's, newer ARM servers; on x86-64 a \
                kernel without CONFIG_IA32_EMULATION). Shared memory has no part in it",
        next: &[
            Do("# an image without 32-bit programs: redroid/redroid:12.0.0_64only-latest, or a \
                later one with _64only"),
            Do("grep IA32_EMULATION /boot/config-$(uname -r)   # x86-64"),
        ],
        ..M
    },
    Message {
        id: "no-32-bit-service-harmless",
        says: r"cannot execve?\('[^']*[^4']'\).*exec format error",
        is_harmless: true,
        cause: "harmless in an image of 64 bits (_64only): a 32-bit service cannot be run on this \
                processor, and Android goes on without it. Where app_process32 fails the same way, \
                take such an image",
        ..M
    },
    Message {
        id: "hal-waited-for-harmless",
        says: concat!(
            r"waited one second for \S+(@[\d.]+::\S+|/\S+)|",
            r"waited for (hw)?servicemanager\.ready for a second"
        ),
        is_harmless: true,
        cause: "harmless once or twice: a process waits for a service that starts. If it never \
                ends, that service died: its crash stands above",
        ..M
    },
    Message {
        id: "process-groups-harmless",
        says: r"createProcessGroup\(.*failed|failed to make and chown /acct",
        errno: &[libc::EROFS, libc::ENOENT, libc::EACCES, libc::EPERM],
        is_harmless: true,
        cause: "harmless: Android would count its processes in a control group that the container \
                shows read-only or not at all; they start all the same",
        ..M
    },
    Message {
        id: "scheduling-groups",
        says: r"set_sched_policy\(\d+, \w+\) failed",
        cause: "an old Android (7 to 9) wants the `cpu` control group of version 1, and this host \
                gives it none; its zygote ends over that. Shared memory has no part in it",
        next: &[
            Do("stat -fc %T /sys/fs/cgroup   # cgroup2fs: version 2 alone"),
            Do("# a newer image (Android 10 and later); or boot the host with \
                systemd.unified_cgroup_hierarchy=0, where its systemd still knows that"),
        ],
        ..M
    },
    Message {
        id: "android-ended-harmless",
        says: r"(^|\binit: )reboot ending, jumping to kernel",
        is_harmless: true,
        cause: "harmless where the container was stopped: Android's init has ended, and with it \
                the container. Where nobody stopped it, one of the first services could not start: \
                the reason stands above, in logcat or in dmesg",
        ..M
    },
    Message {
        id: "android-restarts",
        says: r"\bredroid\S* exited with code 129\b|\bredroid\b.*\bexited \(129\)",
        follows: &[""],
        cause: "Android's init asked the kernel for a restart, which ends a container with status \
                129 (128 and SIGHUP): one of its first services cannot start",
        next: &[
            Do("sudo dmesg | ashmem doctor explain   # init of containers writes there"),
            Do("docker logs CONTAINER 2>&1 | ashmem doctor explain; ashmem doctor"),
        ],
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
