// SPDX-License-Identifier: MIT OR Apache-2.0
//! What LXC says while it sets a container up, where the devices are not what is missing.

use crate::advice::NextStep::Do;
use crate::log_source::LogSource;
use crate::message::{Fact, Message};
use crate::subject::Subject::Device;

const M: Message = Message::PLAIN;

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "ashmem-mount-skipped-harmless",
        about: &[Device],
        says: r#"failed to mount "?/dev/ashmem\S* onto "#,
        errno: &[libc::ENOENT],
        from: &[LogSource::Lxc],
        follows: &["mount-source-missing"],
        is_harmless: true,
        cause: "harmless up to Android 15: the container's list names /dev/ashmem as `optional`, \
                as Waydroid's did until 2023, and LXC goes on without it (where it is not \
                optional, a line with `on` in place of `onto` follows). Android takes memfd then. \
                Images of Android 16, and programs that open the device, need it",
        next: &[Do("sudo ashmem waydroid enable   # if you want the device all the same")],
        ..M
    },
    Message {
        id: "lxc-mount-skipped-harmless",
        says: r#"(no such file or directory|not a directory) - failed to mount "/dev/[^"]*" onto"#,
        unless: r"binder|ashmem",
        from: &[LogSource::Lxc],
        is_harmless: true,
        cause: "harmless where the container's list names the node as `optional`, as Waydroid's \
                does: LXC goes on without it (where it is not optional, a line with `on` in place \
                of `onto` follows)",
        ..M
    },
    Message {
        id: "lxc-pidfd-harmless",
        says: r"^kernel does not support pidfds",
        from: &[LogSource::Lxc],
        is_harmless: true,
        cause: "harmless: LXC would hold processes by descriptors, which older kernels do not \
                have; it goes on without",
        ..M
    },
    Message {
        id: "lxc-post-stop-harmless",
        says: concat!(
            r#"^failed to run lxc\.hook\.post-stop for container "?waydroid\b|"#,
            r"^script exited with status 126\b"
        ),
        from: &[LogSource::Lxc],
        taken_back_by: &[Fact::OthersHook],
        is_harmless: true,
        cause: "harmless in Waydroid's container, at each stop: its hook post-stop is /dev/null, \
                which is no program (status 126). Why the container stopped stands above. Another \
                hook, or another container's, is named by the line after the status",
        ..M
    },
    Message {
        id: "lxc-rootfs",
        says: r"^failed to setup rootfs\b",
        from: &[LogSource::Lxc],
        follows: &[
            "lxc-",
            "waydroid-image",
            "waydroid-no-overlay",
            "mount-",
            "selinux",
            "apparmor",
        ],
        cause: "LXC could not set the container's root up: it is missing or not mounted, or the \
                container's user namespace may not reach it. Shared memory has no part in it",
        next: &[
            Do("findmnt /var/lib/waydroid/rootfs; sudo ls /var/lib/waydroid/rootfs   # Waydroid: \
                Android's root must be there"),
            Do("sudo lxc-start -n NAME -F -l DEBUG -o /tmp/lxc.log; ashmem doctor explain < \
                /tmp/lxc.log   # Waydroid: -P /var/lib/waydroid/lxc -n waydroid"),
        ],
        ..M
    },
    Message {
        id: "lxc-setup-failed",
        says: concat!(
            r"^failed to (setup (container|mount entries)|initialize (the )?container|",
            r"spawn container|configure container|create network device|",
            r"create the configured network)\b|",
            r"- failed to create network device$|",
            r"^an error occurred in another process|^received container state|",
            r"^the container failed to start|^additional information can be obtained"
        ),
        from: &[LogSource::Lxc],
        follows: &[""],
        cause: "LXC could not set the container up; its lines above this one say why",
        next: &[Do("sudo lxc-start -n NAME -F -l DEBUG -o /tmp/lxc.log; ashmem doctor explain < \
                    /tmp/lxc.log   # Waydroid: -P /var/lib/waydroid/lxc -n waydroid")],
        ..M
    },
    Message {
        id: "lxc-setup-failed",
        says: concat!(
            r"\blxc@\S*(android|waydroid|redroid)\S*\.service: (failed with result|main process ",
            r"exited, code=(exited, status=[1-9]|killed|dumped))"
        ),
        follows: &[""],
        cause: "systemd started the container of Android, and it ended; lxc-start's lines above \
                this one say why",
        next: &[Do(
            "sudo lxc-start -n android -F -l DEBUG -o /tmp/lxc.log; ashmem doctor explain \
                    < /tmp/lxc.log",
        )],
        ..M
    },
    Message {
        id: "lxc-seccomp",
        says: r"failed loading (seccomp (policy|rules)|rule for)|^error loading the seccomp policy",
        from: &[LogSource::Lxc],
        cause: "LXC could not load the container's list of system calls: the list names a call \
                that this libseccomp does not know (`_sysctl`, which is gone), or the kernel has \
                no seccomp. Shared memory has no part in it",
        next: &[
            Do("grep -n SYSCALL /var/lib/waydroid/lxc/waydroid/waydroid.seccomp   # SYSCALL: the \
                name after `rule for`; take that line out"),
            Do("# then update libseccomp and LXC; sudo systemctl restart waydroid-container"),
            Do("grep SECCOMP /boot/config-$(uname -r)"),
        ],
        ..M
    },
    Message {
        id: "lxc-config-not-loaded",
        says: concat!(
            r"^failed to (load config|create lock) for waydroid\b|",
            r"failure to retrieve information on \S*:waydroid\b"
        ),
        follows: &["lxc-", "selinux", "apparmor"],
        cause: "LXC could not read the configuration of Waydroid's container: it is not there \
                (`waydroid init` did not end), has a line that this LXC does not take, or SELinux \
                keeps LXC from it. Shared memory has no part in it",
        next: &[
            Do("sudo lxc-info -P /var/lib/waydroid/lxc -n waydroid   # as root: names the line"),
            Do("sudo ls -lZ /var/lib/waydroid/lxc/waydroid; sudo ausearch -m AVC -ts recent"),
            Do("sudo waydroid upgrade -o   # writes it anew; sudo waydroid init -f, if it is not \
                there"),
            Do("sudo restorecon -R /var/lib/waydroid   # where SELinux refused"),
        ],
        ..M
    },
    Message {
        id: "lxc-lock-refused",
        says: r"failed to create directory .?/run/lxc/lock",
        errno: &[libc::EACCES],
        cause: "LXC may not write below /run/lxc: the host's SELinux refuses it (the service runs \
                as root, whom modes do not stop). Shared memory has no part in it",
        next: &[
            Do("sudo ausearch -m AVC -ts recent   # what is refused to whom"),
            Do("# update Waydroid's policy: sudo dnf upgrade waydroid waydroid-selinux"),
            Do("sudo restorecon -Rv /usr/bin/waydroid /usr/lib/waydroid /var/lib/waydroid"),
        ],
        ..M
    },
    Message {
        id: "lxc-without-apparmor",
        says: r"built without apparmor support|config file .*at line .?lxc\.apparmor\.",
        cause: "this LXC is built without AppArmor, and does not take a configuration that names a \
                profile of it. Shared memory has no part in it",
        next: &[
            Do("sudo sed -i '/^lxc.apparmor/d' /var/lib/waydroid/lxc/waydroid/config"),
            Do("sudo systemctl restart waydroid-container"),
        ],
        ..M
    },
    Message {
        id: "lxc-without-apparmor",
        says: r"cannot use generated profile: apparmor_parser not available",
        from: &[LogSource::Lxc],
        cause: "LXC is to make an AppArmor profile for the container, and the program that loads \
                one is not installed. Shared memory has no part in it",
        next: &[
            Do("command -v apparmor_parser || echo 'install the package apparmor'"),
            Do("sudo systemctl restart waydroid-container"),
        ],
        ..M
    },
    Message {
        id: "lxc-apparmor-profile",
        says: concat!(
            r"failed to write apparmor profile|",
            r"apparmor_parser: unable to (replace|add|load) \x22?\S*(waydroid|ashmem|redroid)"
        ),
        cause: "the container names an AppArmor profile that is not loaded. Shared memory has no \
                part in it",
        next: &[
            Do("sudo apparmor_parser -r /etc/apparmor.d/lxc/lxc-waydroid"),
            Do("sudo aa-status | grep -i lxc   # it must be there then"),
            Do("sudo systemctl restart waydroid-container"),
        ],
        ..M
    },
    Message {
        id: "lxc-proc-not-mounted",
        says: r"failed to (LSM )?mount (/proc\b|proc for\b)",
        from: &[LogSource::Lxc],
        follows: &["waydroid-image", "lxc-root", "lxc-mounts-refused", "selinux", "apparmor"],
        cause: "LXC could not mount /proc for the container: the container's root has no folder \
                `proc`, as its image is not mounted or not whole (No such file or directory), or \
                LXC runs in a container that may not mount one (Operation not permitted). Shared \
                memory has no part in it",
        next: &[
            Do("findmnt /var/lib/waydroid/rootfs; sudo ls /var/lib/waydroid/rootfs   # Waydroid: \
                Android's root must be there"),
            Do("# inside LXD or Incus: security.nesting=true; inside Docker: --privileged"),
        ],
        ..M
    },
    Message {
        id: "lxc-no-terminal",
        says: concat!(
            r"failed to (allocate|open|create) (a |new )?pty\b|",
            r"^failed to create (console|the ttys)\b"
        ),
        from: &[LogSource::Lxc],
        follows: &["lxc-mounts-refused"],
        cause: "LXC got no terminal for the container's console: no devpts is mounted at /dev/pts \
                where LXC runs, or all terminals are in use. Shared memory has no part in it",
        next: &[
            Do("findmnt /dev/pts; cat /proc/sys/kernel/pty/nr /proc/sys/kernel/pty/max"),
            Do("sudo mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts   # if none"),
        ],
        ..M
    },
    Message {
        id: "lxc-mounts-refused",
        says: concat!(
            r"failed to turn (new|old) root mount tree into (shared|dependent|slave|private)|",
            r"failed to mount \x22?(tmpfs|devpts|sysfs|cgroup2?|none)\x22? on(to)?\b"
        ),
        from: &[LogSource::Lxc],
        errno: &[libc::EPERM, libc::EACCES],
        cause: "LXC may not change mounts here: it runs in a container without the right to, or \
                an AppArmor profile forbids it. Shared memory has no part in it",
        next: &[
            Do("sudo dmesg | grep -i denied | tail   # AppArmor's word"),
            Do("# inside LXD or Incus: security.nesting=true and, for Android, \
                security.privileged=true; or run Waydroid on the host"),
        ],
        ..M
    },
    Message {
        id: "lxc-bridge-missing",
        says: r"to bridge .*bridge interface doesn't exist",
        cause: "the container's network is not up: its bridge (waydroid0) is missing. Shared \
                memory has no part in it",
        next: &[
            Do(
                "sudo /usr/lib/waydroid/data/scripts/waydroid-net.sh start   # says what it lacks: \
                dnsmasq, nftables or iptables",
            ),
            Do("ip link show waydroid0; sudo systemctl restart waydroid-container"),
        ],
        ..M
    },
    Message {
        id: "lxc-root-not-mounted",
        says: r#"failed to mount "?tmpfs"? on .*/mnt_extra"#,
        errno: &[libc::ENOENT],
        cause: "Android's root has no folder that this Waydroid mounts on: the image is older than \
                the tool, or mounts of an earlier start lie in the way. Shared memory has no part \
                in it",
        next: &[
            Do("waydroid session stop; sudo systemctl stop waydroid-container"),
            Do("sudo umount -R /var/lib/waydroid/rootfs   # what is left of the earlier start"),
            Do("sudo waydroid upgrade; sudo systemctl start waydroid-container"),
        ],
        ..M
    },
    Message {
        id: "lxc-no-root-folder",
        says: r"failed to access to .*lxc/rootfs.*check it is present",
        errno: &[libc::ENOENT],
        cause: "the folder that LXC mounts a container's root on is not there: a package of LXC's \
                did not make it. Shared memory has no part in it",
        next: &[Do("sudo mkdir -p PATH   # the one that the line names, ending in lxc/rootfs")],
        ..M
    },
    Message {
        id: "lxc-no-sound",
        says: r#"failed to mount "\S*pulse/native" on"#,
        errno: &[libc::ENOENT],
        cause: "the socket of PulseAudio or PipeWire that Waydroid hands to the container is not \
                there. Shared memory has no part in it",
        next: &[
            Do("ls -l $XDG_RUNTIME_DIR/pulse/native   # as the user of the session"),
            Do("systemctl --user start pipewire-pulse.socket   # or pulseaudio.socket"),
        ],
        ..M
    },
    Message {
        id: "lxc-controllers-harmless",
        says: r"could not enable .* controllers in the unified cgroup",
        is_harmless: true,
        cause: "harmless: LXC could not hand all of the host's control groups' controllers on; the \
                container starts all the same",
        ..M
    },
    Message {
        id: "lxc-namespaces",
        says: r"failed to (clone a new set of|unshare|clone|preserve)\b.* ?namespaces?\b",
        from: &[LogSource::Lxc],
        cause: "the kernel could not make the container's namespaces: it is built without some of \
                them, or this is a container that may not. Shared memory has no part in it",
        next: &[
            Do("lxc-checkconfig | grep -i namespace"),
            Do("systemd-detect-virt --container   # in a container: nesting must be allowed"),
        ],
        ..M
    },
    Message {
        id: "lxc-veth",
        says: r"failed to create veth pair",
        from: &[LogSource::Lxc],
        cause: "the kernel cannot make the container's network device: it has no module `veth` for \
                the kernel that runs (an update took it away), or is built without. Shared memory \
                has no part in it",
        next: &[
            Do("sudo modprobe veth   # says whether it is there"),
            Do("sudo systemctl reboot   # after an update of the kernel"),
            Do("grep -w CONFIG_VETH /boot/config-$(uname -r)"),
        ],
        ..M
    },
    Message {
        id: "lxc-no-init",
        says: r#"failed to exec "?/(init|system/bin/sh)\b"#,
        errno: &[libc::ENOENT, libc::EACCES],
        from: &[LogSource::Lxc],
        cause: "Android's first program is not there or may not be executed: its root is not \
                mounted, is empty, or is mounted noexec. Shared memory has no part in it",
        next: &[
            Do("findmnt /var/lib/waydroid/rootfs; sudo ls -lZ /var/lib/waydroid/rootfs/init"),
            Do("waydroid session stop; sudo systemctl restart waydroid-container"),
        ],
        ..M
    },
    Message {
        id: "lxc-cgroups",
        says: concat!(
            r"\bfail\w*.*\bcgroups?\b|\bcgroups?\b.*\b(fail\w*|not (mounted|found|writable))|",
            r"^no (usable )?cgroup"
        ),
        unless: r"could not enable|\bdevices?\.(allow|deny)|freez",
        from: &[LogSource::Lxc],
        follows: &["lxc-namespaces", "device-cgroup", "fixed-device"],
        cause: "LXC has no control groups to put the container into: they are not mounted (OpenRC, \
                runit), not writable here (a container), or in the old and the new form at once. \
                Shared memory has no part in it",
        next: &[
            Do("mount | grep cgroup; lxc-checkconfig | grep -i cgroup"),
            Do("# OpenRC: sudo rc-update add cgroups; sudo rc-service cgroups start. Void: \
                CGROUP_MODE=unified in /etc/rc.conf. systemd: nothing to do, outside containers"),
        ],
        ..M
    },
];
