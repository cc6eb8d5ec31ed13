// SPDX-License-Identifier: MIT OR Apache-2.0
//! What Waydroid's own tool and service say where Android does not come up.

use crate::advice::NextStep::{self, Do};
use crate::log_source::LogSource;
use crate::message::Message;

const M: Message = Message::PLAIN;

const LOGS: NextStep =
    Do("sudo waydroid log; sudo waydroid shell logcat -d | ashmem doctor explain");
const RESTART: NextStep = Do("sudo systemctl restart waydroid-container");

const NOT_STARTED: &str = "the container did not start; lxc-start's lines above this one say why";

const WHY_NOT_STARTED: &[NextStep] = &[
    Do("ashmem doctor explain < /var/lib/waydroid/waydroid.log"),
    Do(
        "sudo lxc-start -P /var/lib/waydroid/lxc -n waydroid -F -l DEBUG -o /tmp/lxc.log -- /init; \
        ashmem doctor explain < /tmp/lxc.log",
    ),
];

const IMAGE_FREED: &[NextStep] = &[
    Do("waydroid session stop; sudo systemctl stop waydroid-container"),
    Do("grep waydroid /proc/mounts; sudo umount -R /var/lib/waydroid/rootfs /tmp/waydroid"),
    Do("sudo e2fsck -fy -E unshare_blocks /var/lib/waydroid/images/system.img   # the tool again"),
    Do("sudo waydroid init -f   # still damaged: fetches the images again"),
];

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "waydroid-no-service-manager",
        says: r"service manager never appeared|failed to access IPlatform service",
        follows: &[
            "binder",
            "mount-",
            "module-not-p",
            "key-not",
            "lxc-",
            "waydroid-service",
            "core-",
            "selinux",
            "apparmor",
            "modprobe-",
            "device-",
            "boot-id",
        ],
        cause: "Waydroid's tool opened the host's binder, and for a minute no service manager \
                registered there: Android does not run, or uses another node than waydroid.cfg \
                names",
        next: &[
            Do("waydroid status; systemctl status waydroid-container"),
            LOGS,
            Do("grep binder /var/lib/waydroid/waydroid.cfg; ls -l /dev/*binder* /dev/binderfs"),
        ],
        ..M
    },
    Message {
        id: "waydroid-not-ready-harmless",
        says: r"failed to get service waydroid\w+, trying again",
        is_harmless: true,
        cause: "harmless for the first minute: the tool waits until Android has started. If it \
                never ends, Android does not come up, and its own log tells why: sudo waydroid \
                shell logcat -d | ashmem doctor explain",
        ..M
    },
    Message {
        id: "waydroid-container-not-started",
        says: r"\bOSError: container failed to start",
        follows: &[""],
        cause: NOT_STARTED,
        next: WHY_NOT_STARTED,
        ..M
    },
    Message {
        id: "waydroid-container-not-started",
        says: r"ERROR: container failed to start",
        from: &[LogSource::Waydroid],
        follows: &[""],
        cause: NOT_STARTED,
        next: WHY_NOT_STARTED,
        ..M
    },
    Message {
        id: "waydroid-service-old",
        says: r"UnknownMethod.*id\.waydro\.|interface .?id\.waydro\.\w+.? doesn't exist",
        cause: "the running service of Waydroid is of another version than its tool, as after an \
                update. Shared memory has no part in it",
        next: &[RESTART],
        ..M
    },
    Message {
        id: "waydroid-service-not-running",
        says: r"waydroid container is not listening|waydroid container service .*not running",
        follows: &["waydroid-service-old", "binder", "modprobe-", "waydroid-not-init"],
        cause: "Waydroid's container service does not answer: it does not run, or ended. Shared \
                memory has no part in it",
        next: &[
            Do("sudo systemctl enable --now waydroid-container"),
            Do("sudo journalctl -b -u \
                waydroid-container | ashmem doctor explain"),
        ],
        ..M
    },
    Message {
        id: "waydroid-session-stopped-harmless",
        says: r"^(error: )?waydroid session is (stopped|not running)",
        is_harmless: true,
        cause: "harmless where a session was to end: no session of Waydroid runs. A command that \
                shows an app or opens a shell wants one",
        next: &[
            Do("waydroid session start   # in a terminal of the desktop session; it stays there"),
            Do("ashmem doctor explain < /var/lib/waydroid/waydroid.log   # if it ends again"),
        ],
        ..M
    },
    Message {
        id: "waydroid-no-user-session",
        says: r"autolaunch was disabled|DBUS_SESSION_BUS_ADDRESS",
        from: &[LogSource::Waydroid],
        cause: "there is no session bus: the session was started as root, or outside of a desktop \
                session. Shared memory has no part in it",
        next: &[Do("waydroid session start   # as the user of the desktop, without sudo")],
        ..M
    },
    Message {
        id: "waydroid-needs-root",
        says: r#"action "?\w+"? needs root access"#,
        from: &[LogSource::Waydroid],
        cause: "this command of Waydroid wants root",
        next: &[Do(
            "# the same with sudo (`waydroid session` and `waydroid show-full-ui`: without)",
        )],
        ..M
    },
    Message {
        id: "waydroid-images",
        says: concat!(
            r"failed to get (system|vendor) OTA channel|",
            r"must provide 'system OTA' and 'vendor OTA'"
        ),
        cause: "Waydroid could not ask for its images: the addresses are not set (the one in the \
                line begins with `/`), or there is no network, or nothing at that address. Shared \
                memory has no part in it",
        next: &[
            Do("sudo waydroid init -f -c https://ota.waydro.id/system -v \
                https://ota.waydro.id/vendor"),
            Do("curl -I https://ota.waydro.id/system   # whether the network reaches it"),
        ],
        ..M
    },
    Message {
        id: "waydroid-no-wayland",
        says: r"wayland socket .*doesn't exist",
        cause: "Waydroid shows itself by Wayland, and no compositor runs for this user. Shared \
                memory has no part in it",
        next: &[
            Do("ls -l $XDG_RUNTIME_DIR/wayland-*   # WAYLAND_DISPLAY must name one"),
            Do("# under X11: weston, and start Waydroid inside it"),
        ],
        ..M
    },
    Message {
        id: "waydroid-not-initialised",
        says: r"waydroid is not initiali[sz]ed",
        cause: "Waydroid has no images and no configuration yet. Shared memory has no part in it",
        next: &[Do("sudo waydroid init")],
        ..M
    },
    Message {
        id: "waydroid-no-overlay",
        says: r"waydroid/rootfs\S* .*unknown filesystem type .?overlay",
        cause: "Waydroid lays its changes over the image by overlayfs, which this kernel has not, \
                or not loaded. Shared memory has no part in it",
        next: &[
            Do("sudo modprobe overlay; grep overlay /proc/filesystems"),
            Do("# without it: mount_overlays = False in /var/lib/waydroid/waydroid.cfg"),
            RESTART,
        ],
        ..M
    },
    Message {
        id: "waydroid-image-in-use",
        says: concat!(
            r"\bu?mount: /tmp/waydroid\S* .*\bbusy\b|",
            r"waydroid\S*/(system|vendor)\.img is mounted\b|",
            r"CalledProcessError: .*'(e2fsck|resize2fs)'.*waydroid\S*/(system|vendor)\.img"
        ),
        cause: "a tool wants to change an image of Waydroid that is mounted: Waydroid runs, or an \
                earlier run of the tool did not end. e2fsck gives up over a damaged image too. \
                Shared memory has no part in it",
        next: IMAGE_FREED,
        ..M
    },
    Message {
        id: "waydroid-image-read-only",
        says: r"\bmount: /tmp/waydroid\S* .*source write-protected",
        cause: "an image of Waydroid could be mounted for reading alone: it is mounted elsewhere, \
                lies on a file system that is not written to (/usr of some distributions), or its \
                ext4 shares blocks. Shared memory has no part in it",
        next: IMAGE_FREED,
        ..M
    },
    Message {
        id: "waydroid-image-not-mounted",
        says: concat!(
            r"waydroid/rootfs\S* .*(wrong fs type|bad superblock|",
            r"special device .*does not exist)"
        ),
        cause: "the image could not be mounted: it is not whole, not there, or of a file system \
                that this kernel does not know. Shared memory has no part in it",
        next: &[
            Do("sudo file -L /var/lib/waydroid/images/*.img; sudo dmesg | tail"),
            Do("# where mount was told `-o context=` (SELinux), the same image may still be \
                mounted without it: waydroid session stop; sudo umount -R \
                /var/lib/waydroid/rootfs"),
            Do("sudo waydroid init -f   # fetches the images again"),
        ],
        ..M
    },
    Message {
        id: "waydroid-image-not-mounted",
        says: r"waydroid/rootfs\S* .*\b(mount failed|cannot mount|can't|failed to setup loop)",
        cause: "the image could not be mounted: the host is a container without the right to \
                mount, or has no loop device. Shared memory has no part in it",
        next: &[
            Do("ls -l /dev/loop-control; sudo modprobe loop   # on the host"),
            Do("systemd-detect-virt --container   # in a container: it must be privileged, with \
                loop devices; or run Waydroid on the host"),
            Do("sudo file -L /var/lib/waydroid/images/*.img   # whole images?"),
        ],
        ..M
    },
];
