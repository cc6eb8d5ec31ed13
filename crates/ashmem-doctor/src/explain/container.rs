// SPDX-License-Identifier: MIT OR Apache-2.0
//! What container engines, runtimes, LXC and this project's supervisors say.

use crate::advice::NextStep::{self, Do};
use crate::log_source::LogSource;
use crate::message::{Fact, Message};
use crate::subject::Subject::{Ashmem, Binder, Device, Memfd, Neighbour, Ours};

const M: Message = Message::PLAIN;

/// How engines say that they look for a device that a container asked for.
const GATHERING: &str = concat!(
    r"gathering device info|(adding|custom|add) (custom )?device|failed to (stat|create) device|",
    r"((^|: |\x22)l?stat|\bstating|\bstatting|\bcrun\b.* stat) \S*/dev/|",
    r"host device.*(does not exist|not found)|invalid (argument|device)\b.*--device|",
    r"not a device node|failed to inspect device|bad format for device"
);

const AGENT: &[NextStep] =
    &[Do("sudo systemctl enable --now ashmem-agent.socket"), Do("ashmem doctor --mode agent")];

const MOUNT_SOURCE: &str = "the container's configuration binds a node of the host that is not \
                            there: it was made while the module was loaded, or by a rule for \
                            another host";

const FIND_SOURCE: &[NextStep] = &[
    Do("ls -l /dev/ashmem* /dev/*binder* /dev/binderfs   # on the host"),
    Do("ashmem doctor   # the lines `device` and `binder`"),
    Do("# LXC: `optional` in lxc.mount.entry lets the container start without it; Waydroid: sudo \
        waydroid upgrade -o writes its list anew"),
];

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "listener-path-missing",
        says: r"listenerPath.* is not set|listenerPath.*\b(empty|required)\b",
        cause: "the runtime knows notifications, and the profile that reached it asks for them \
                without naming the agent's socket: the profile has no listenerPath, or the engine \
                did not pass it on (Docker before 23.0)",
        next: &[
            Do("grep listenerPath PROFILE.json   # \"listenerPath\": \"/run/ashmem/agent.sock\""),
            Do("ashmem agent profile --oci > PROFILE.json   # one that has it"),
            Do("docker version --format '{{.Server.Version}}'   # or containerd, podman"),
        ],
        ..M
    },
    Message {
        id: "agent-not-reached",
        about: &[],
        says: concat!(
            r"(seccomp agent|listenerPath|listener path|seccomp\.notify\.proxy|notify (proxy|",
            r"socket)|",
            r"ashmem/(agent|lxc)\.sock).*(connect|refused|no such file|fail)|",
            r"(connect|refused|fail\w*).*(seccomp agent|notify proxy|ashmem/(agent|lxc)\.sock)"
        ),
        cause: "the container's seccomp policy names an agent, and nobody listens at its socket; \
                runtimes then refuse to start the container",
        next: AGENT,
        ..M
    },
    Message {
        id: "runtime-without-notify",
        about: &[],
        says: concat!(
            r"SCMP_ACT_NOTIFY|SECCOMP_ACT_NOTIFY|seccomp.?notify\b.*(not supported|unsupported)|",
            r"listenerPath.*(unknown|unsupported)|",
            r"unknown seccomp action|seccomp\.notify\.proxy.*(unsupported|unknown|not)"
        ),
        cause: "the runtime cannot hand seccomp's notifications over: that takes runc 1.1 or crun \
                0.19 with libseccomp 2.5, or LXC 4",
        next: &[
            Do("runc --version; crun --version; lxc-start --version"),
            Do("ashmem doctor   # the lines `OCI runtimes` and `LXC`"),
        ],
        ..M
    },
    Message {
        id: "already-supervised",
        about: &[],
        says: concat!(
            r"seccomp says EBUSY|another (supervisor|listener)\b|",
            r"SECCOMP_FILTER_FLAG_NEW_LISTENER.*busy|seccomp.*listener.*(busy|already)"
        ),
        cause: "the kernel allows one seccomp listener in a line of processes, and there is one \
                already: a container with a notify profile, or `ashmem run` inside `ashmem run`",
        next: &[
            Do("ashmem doctor --mode run"),
            Do("# use /dev/ashmem as that supervisor offers it, or start from outside"),
        ],
        ..M
    },
    Message {
        id: "runtime-without-seccomp",
        says: concat!(
            r"(container|docker|containerd|podman|crun|runc)\b.*seccomp\b.*(is )?not ",
            r"(supported|enabled|available)|seccomp profiles? (is|are) not supported on this"
        ),
        unless: r"notify|listener",
        cause: "a container is to have a seccomp profile, and the runtime was built without \
                libseccomp, or the kernel without CONFIG_SECCOMP_FILTER",
        next: &[
            Do("runc --version | grep -i seccomp; grep SECCOMP /boot/config-$(uname -r)"),
            Do("# without a profile: seccompProfile: {type: Unconfined}; docker: --security-opt \
                seccomp=unconfined. The agent needs one; the module needs none"),
        ],
        ..M
    },
    Message {
        id: "not-supervised",
        about: &[],
        says: r"ashmem: the program was not started|seccomp refuses a user-notification filter",
        cause: "`ashmem run` could not supervise the program and so did not start it",
        next: &[Do("ashmem doctor --mode run")],
        ..M
    },
    Message {
        id: "fixed-device-number",
        about: &[Ashmem],
        says: r"mknod.*ashmem.*\bc\s+10\s+\d+|devices\.(allow|deny).*c 10:\d+",
        unless: r"not permitted|EPERM",
        cause: "a script makes or allows the device by a fixed number; the misc device's minor \
                number is given out anew at each load (10:55, 10:58, 10:123 and others were seen)",
        next: &[
            Do("grep -w ashmem /proc/misc   # the number in this boot"),
            Do("# bind the host's node instead: lxc.mount.entry = /dev/ashmem dev/ashmem none \
                bind,create=file 0 0"),
        ],
        ..M
    },
    Message {
        id: "fixed-device-number",
        // No driver owns one of these numbers: each is given out anew.
        says: r"lxc\.cgroup2?\.devices\.allow\s*[:=]\s*c 10:(1[6-9]|[2-9]\d|1[01]\d|12[0-7])\b",
        unless: r"not (permitted|supported)|\bfail",
        cause: "a container's configuration allows a device by a number that the kernel gives out \
                anew at each load, as it does for ashmem: in another boot the number is another \
                device's",
        next: &[
            Do("grep -w ashmem /proc/misc   # its number in this boot; the rule must have it"),
            Do("# or an agent, which needs no number: docs/containers.md, the row of LXC"),
        ],
        ..M
    },
    Message {
        id: "lxd-device-invalid",
        about: &[Ashmem, Binder],
        says: r"(invalid devices|device validation failed|failed add validation for device)\b",
        unless: r"missing source",
        cause: "LXD or Incus does not take the device as the container's configuration has it: a \
                unix-char device wants the source on the host and the path in the container",
        next: &[Do("incus config device add NAME ashmem unix-char source=/dev/ashmem \
                    path=/dev/ashmem mode=0666   # lxc, for LXD")],
        ..M
    },
    Message {
        id: "mknod-not-permitted",
        about: &[Device, Ashmem, Binder, Neighbour],
        says: r"mknod|(creat\w*|mak(e|ing)) .*node|(creat\w*|mak(e|ing)) (the |an? )?device\b",
        errno: &[libc::EPERM, libc::EACCES],
        cause: "a device's node may not be made here: that takes CAP_MKNOD, never works in a user \
                namespace (rootless containers, unprivileged LXC), and a device control group may \
                forbid it. Nobody refused to open the device",
        next: &[
            Do("# bind the host's node instead: docker and podman --device /dev/ashmem; LXC: \
                lxc.mount.entry = /dev/ashmem dev/ashmem none bind,create=file 0 0"),
            Do("ashmem doctor --mode agent   # needs no node of the host"),
        ],
        ..M
    },
    Message {
        id: "device-path-is-a-directory",
        about: &[Device, Ashmem],
        says: concat!(
            r"not a (character )?device( node)?|is a directory|not a (character|directory)\b|",
            r"trying to mount a directory onto a file"
        ),
        cause: "what lies at /dev/ashmem is no device: an engine that was told to bind (-v) a path \
                that does not exist makes a directory there",
        next: &[
            Do("ls -ld /dev/ashmem && sudo rmdir /dev/ashmem"),
            Do("# then load the module, and use --device in place of -v"),
            NextStep::Module,
        ],
        ..M
    },
    Message {
        id: "device-option",
        about: &[Device, Ashmem, Binder, Neighbour],
        says: concat!(
            r"invalid argument .*--device|bad format for device|(invalid|bad) device (mode|cgroup ",
            r"rule|specification)|invalid mode for device"
        ),
        cause: "the engine does not take the value of --device or of a rule: a device is \
                HOST[:CONTAINER][:rwm], a rule is `c MAJOR:MINOR rwm`",
        next: &[Do("# --device /dev/ashmem, or --device /dev/ashmem:/dev/ashmem:rw")],
        ..M
    },
    Message {
        id: "device-not-gathered",
        about: &[Device],
        says: GATHERING,
        errno: &[libc::ENOENT, libc::ENXIO, libc::ENODEV, 0],
        unless: r"\bmount",
        cause: "the container asks for a device that the host does not have",
        next: &[
            Do("ashmem doctor --mode module   # on the host"),
            Do("# without the module: the agent's profile and --device /dev/null:/dev/ashmem; \
                docs/containers.md"),
        ],
        ..M
    },
    Message {
        id: "binder-not-gathered",
        about: &[Binder],
        says: GATHERING,
        unless: r"not a device node",
        cause: "the container asks for a node of binder that the host does not have: binder is not \
                loaded, binderfs is not mounted on the host, or the node has another name there",
        next: &[
            Do("ls -l /dev/*binder* /dev/binderfs; grep binder /proc/filesystems"),
            NextStep::Binder,
        ],
        ..M
    },
    Message {
        id: "neighbour-not-gathered",
        about: &[Neighbour],
        says: GATHERING,
        cause: "the container asks for a device that the host does not have (a GPU, FUSE, a heap, \
                a tunnel): ashmem has no part in it",
        next: &[
            Do("ls -l /dev/dri /dev/fuse /dev/net/tun /dev/dma_heap   # on the host"),
            Do("sudo modprobe fuse; sudo modprobe tun"),
        ],
        ..M
    },
    Message {
        id: "mount-source-missing",
        about: &[Device, Binder, Neighbour],
        says: r"\b(re)?mount(ed|ing|s)?\b|\bbind(ing)?\b",
        errno: &[libc::ENOENT],
        unless: r"binder.*no such device|seccomp|gathering|mounting binder\w* on",
        cause: MOUNT_SOURCE,
        next: FIND_SOURCE,
        ..M
    },
    Message {
        id: "mount-source-missing",
        about: &[Device, Ashmem, Binder, Neighbour],
        says: concat!(
            r"bind source path does( not|n't) exist|creating mount source path|",
            r"required (device|source) path does( not|n't) exist|",
            // LXD's and Incus'.
            r"missing source (path )?.?/dev/|source path \S+ does( not|n't) exist|",
            r"special device /dev/\S+ does( not|n't) exist"
        ),
        cause: MOUNT_SOURCE,
        next: FIND_SOURCE,
        ..M
    },
    Message {
        id: "mount-not-permitted",
        about: &[Device],
        says: r"\b(re)?mount(ed|ing|s)?\b|\bbind(ing)?\b",
        errno: &[libc::EPERM, libc::EACCES],
        unless: r"\bopen",
        cause: "the node may not be bound into the container: a rootless engine or an AppArmor \
                profile forbids the mount",
        next: &[
            Do("sudo dmesg | grep -i denied | tail   # AppArmor's and SELinux's word"),
            Do("ashmem doctor --mode agent   # needs no node of the host"),
        ],
        ..M
    },
    Message {
        id: "emulated-call",
        about: &[],
        says: concat!(
            r"qemu\S*:? .*(unsupported|unknown|unhandled) (ioctl|syscall).*(0x0*77[0-9a-f]{2}|",
            r"0x[48c]0[0-9a-f]{2}77[0-9a-f]{2}|memfd|ashmem)|",
            r"(qemu|box64|box86|fex)\S*.*(ashmem|memfd).*(not implemented|ENOSYS|unsupported)|",
            r"(ashmem|memfd).*(not implemented|ENOSYS).*(qemu|box64|box86|fex)"
        ),
        cause: "qemu-user, or another translator of processors, answers this call by itself: it \
                does not know ashmem's ioctls and passes none of them on, so no module and no \
                supervisor sees them. The agent did not die",
        next: &[
            Do("# run an image of this machine's own processor; or a whole virtual machine \
                (qemu-system) with the module in it"),
            Do("# docs/sandboxes.md says what works under qemu-user"),
        ],
        ..M
    },
    Message {
        id: "memfd-not-implemented",
        about: &[Memfd],
        says: r"memfd_create",
        errno: &[libc::ENOSYS],
        cause: "nothing here knows memfd_create: a kernel before 3.17, a translator of processors \
                (qemu-user), or a sandbox that says so of all that it does not allow",
        next: &[Do("uname -r; grep Seccomp /proc/self/status"), Do("ashmem doctor   # `memfd`")],
        ..M
    },
    Message {
        id: "agent-died",
        about: &[Ashmem],
        says: r"",
        errno: &[libc::ENOSYS],
        unless: r"qemu|insmod|modprobe|insert|init_module",
        cause: "the supervisor of this program or container is gone: calls that its filter \
                notifies fail with ENOSYS from then on, and no new one can be attached. Where no \
                supervisor was, a translator such as qemu-user says ENOSYS by itself",
        next: &[
            Do("# start the container or the program anew"),
            Do("systemctl status ashmem-agent   # why it ended"),
            Do("uname -m; file /proc/self/exe   # another architecture: qemu-user, see \
                docs/sandboxes.md"),
        ],
        ..M
    },
    Message {
        id: "image-other-architecture",
        about: &[],
        says: concat!(
            r"(exec|execve|exec user process|standard_init\w*|entrypoint|",
            r"start\w* (the )?container|",
            r"/init|/bin/\w+|init process|spawn).*exec format error|",
            r"exec format error.*(exec|/init|container|rootfs|entrypoint)|",
            r"image.*platform.*does not match the detected host platform"
        ),
        unless: concat!(
            r"insmod|modprobe|\.ko\b|insert|fixdep|modpost|objtool|scripts/|",
            // Who says this runs, and is of the image.
            r"cannot execve?\('[^']*[^4']'\)|",
            // None of Android's programs.
            r"\bexec(ve)?:? [\x22'`]?(/usr/|/s?bin/([^s]|s[^h]|sh\w)|/opt/|/app|/home/|/srv/|",
            r"\./)[^:]*: ",
            r"exec format|",
            r"/(docker-)?entrypoint\S*: exec format"
        ),
        taken_back_by: &[Fact::NothingOfOurs],
        cause: "the image is for another processor than this machine's (an arm64 image on x86-64, \
                or the other way round): its programs cannot be executed",
        next: &[
            Do("uname -m; docker image inspect IMAGE --format '{{.Architecture}}'"),
            Do("# take the image for this processor (--platform linux/amd64 or linux/arm64)"),
        ],
        ..M
    },
    Message {
        id: "image-without-init",
        says: r"\bexec:? \x22?/init\x22?:.*no such file|\bstat /init: no such file",
        cause: "the image has no /init, or the loader that it asks for is not there: it is not an \
                image of Android's root, something was mounted over it, or it was unpacked in \
                part. Shared memory has no part in it",
        next: &[
            Do("docker run --rm --entrypoint /system/bin/sh IMAGE -c 'ls -l /init'"),
            Do("docker image inspect IMAGE --format '{{.Architecture}} {{.Size}}'"),
        ],
        ..M
    },
    Message {
        id: "redroid-image-missing",
        says: concat!(
            r"manifest for redroid/redroid:\S+ not found|redroid/redroid:\S+: not found|",
            r"pull access denied for redroid\S*,? ?"
        ),
        cause: "there is no image of redroid of that name: the tag is wrong, or the image is one's \
                own and was not built here. Shared memory has no part in it",
        next: &[
            Do("# tags: https://hub.docker.com/r/redroid/redroid/tags, such as 13.0.0-latest and \
                12.0.0_64only-latest"),
            Do("docker images | grep redroid"),
        ],
        ..M
    },
    Message {
        id: "device-cgroup-none-harmless",
        says: r"cgroup2? device controller is not supported",
        from: &[LogSource::Lxc],
        is_harmless: true,
        cause: "harmless where the container starts: LXC may not set rules for devices here (an \
                unprivileged container, or a kernel without CONFIG_CGROUP_BPF), and leaves them \
                out. Which nodes open, the modes of the nodes decide",
        ..M
    },
    Message {
        id: "device-cgroup",
        says: concat!(
            r"failed to (load|attach|create|query|replace|set ?up) .*\b(bpf|device)\b.*",
            r"\b(program|cgroup|controller)"
        ),
        from: &[LogSource::Lxc],
        errno: &[libc::EPERM, libc::EACCES, libc::EINVAL, libc::ENOENT],
        cause: "the rules for devices could not be set in the container's control group: that \
                takes root of the host, and a kernel with CONFIG_CGROUP_BPF",
        next: &[
            Do("# an unprivileged container cannot set such rules: bind the node, and leave the \
                lines lxc.cgroup2.devices out"),
            Do("grep -w CONFIG_CGROUP_BPF /boot/config-$(uname -r)"),
        ],
        ..M
    },
    Message {
        id: "device-cgroup",
        says: r"failed to set \x22?devices\.(allow|deny)\x22? to",
        from: &[LogSource::Lxc],
        errno: &[libc::EPERM, libc::EACCES, libc::EINVAL, libc::ENOENT],
        cause: "the rule for the device could not be set in the container's control group",
        next: &[
            Do("# cgroup v2: lxc.cgroup2.devices.allow, not lxc.cgroup.devices.allow"),
            Do("# an unprivileged container cannot set such rules: bind the node, and leave the \
                rule out"),
        ],
        ..M
    },
    Message {
        id: "device-cgroup",
        about: &[Device, Ashmem, Ours],
        says: concat!(
            r"devices?\.(allow|deny)|device cgroup|cgroup.*device|\bdevice\b.*\bcgroup|",
            r"bpf_prog_query"
        ),
        errno: &[libc::EPERM, libc::EACCES, libc::EINVAL, libc::ENOENT],
        cause: "the rule for the device could not be set in the container's control group",
        next: &[
            Do("# cgroup v2: lxc.cgroup2.devices.allow, not lxc.cgroup.devices.allow"),
            Do("grep -w ashmem /proc/misc   # the number in this boot"),
        ],
        ..M
    },
];
