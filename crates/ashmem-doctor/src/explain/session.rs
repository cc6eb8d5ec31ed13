// SPDX-License-Identifier: MIT OR Apache-2.0
//! What D-Bus, systemd and dnsmasq say where Waydroid's session, service or network does not come
//! up.

use crate::advice::NextStep::{self, Do};
use crate::log_line::LogSource;
use crate::message::{Fact, Message};

const M: Message = Message::PLAIN;

const NO_SYSTEM_BUS: &str = "there is no system bus: D-Bus does not run here, or this is a \
                             container that has not the host's socket. Shared memory has no part \
                             in it";

const START_BUS: &[NextStep] = &[
    Do("sudo systemctl start dbus   # Void: sudo ln -s /etc/sv/dbus /var/service/; OpenRC: sudo \
        rc-service dbus start"),
    Do("# in a container: run D-Bus in it, or mount the host's /run/dbus/system_bus_socket"),
];

const NO_SESSION_BUS: &str = "there is no session bus: the session was started as root, by ssh or \
                              outside of a desktop session. Shared memory has no part in it";

const AS_USER: &[NextStep] = &[
    Do("waydroid session start   # as the user of the desktop, without sudo"),
    Do("dbus-run-session -- COMMAND   # a bus of its own, where there is no desktop's"),
];

/// A word that Waydroid's tool, or a trace of it, has before D-Bus' own.
macro_rules! bus_error {
    ($error:expr) => {
        concat!(
            r"^(ERROR: |dbus\.exceptions\.DBusException: )?org\.freedesktop\.DBus\.Error\.",
            $error
        )
    };
}

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "waydroid-no-system-bus",
        says: bus_error!(r"\w+: .*\bsystem_bus_socket"),
        from: &[LogSource::Waydroid],
        cause: NO_SYSTEM_BUS,
        next: START_BUS,
        ..M
    },
    Message {
        id: "waydroid-no-system-bus",
        says: r"^ERROR: org\.freedesktop\.DBus\.Error\.\w+: .*\bsystem_bus_socket",
        cause: NO_SYSTEM_BUS,
        next: START_BUS,
        ..M
    },
    Message {
        id: "waydroid-no-user-session",
        says: bus_error!(r"(Spawn\.\w+: .*\bdbus-launch\b|\w+: .*autolaunch)"),
        from: &[LogSource::Waydroid],
        cause: NO_SESSION_BUS,
        next: AS_USER,
        ..M
    },
    Message {
        id: "waydroid-no-user-session",
        says: r"^ERROR: org\.freedesktop\.DBus\.Error\.Spawn\.\w+: .*\bdbus-launch\b",
        cause: NO_SESSION_BUS,
        next: AS_USER,
        ..M
    },
    Message {
        id: "waydroid-service-manager-died",
        says: r"service manager \S+ has died",
        follows: &[
            "core-",
            "pressure-",
            "no-32-bit",
            "gpu-",
            "binder",
            "device-",
            "memfd-",
            "jit-",
            "sigbus",
            "service-killed",
            "page-size",
            "selinux",
            "region-",
            "boot-id",
        ],
        taken_back_by: &[Fact::ServiceManager],
        cause: "Android came up so far that its service manager registered, and went down again. \
                Once, at the session's end, that is harmless. Else one of Android's first \
                processes crashed: known reasons are a kernel without 32-bit mode, one without \
                pressure stall information, and graphics. The device is not what is missing",
        next: &[
            Do("sudo waydroid shell logcat -d | ashmem doctor explain   # while it runs"),
            Do("sudo dmesg | ashmem doctor explain"),
            Do("grep IA32_EMULATION /boot/config-$(uname -r); cat /proc/pressure/memory"),
        ],
        ..M
    },
    Message {
        id: "waydroid-service-failed",
        says: concat!(
            r"^waydroid-container\.service: (main process exited, code=\w+, status=[1-9]|",
            r"failed with result)|ExecStart=\S*/waydroid .*status=[1-9]|",
            r"^failed to start (waydroid-container\.service|waydroid container\b)"
        ),
        follows: &[""],
        cause: "Waydroid's container service ended with an error; Waydroid's own log tells which",
        next: &[
            Do("sudo waydroid log | ashmem doctor explain   # or \
                /var/lib/waydroid/waydroid.log"),
            Do("sudo restorecon -R /var/lib/waydroid /usr/lib/waydroid   # Fedora and its like, \
                where SELinux refuses: labels that an update left wrong"),
        ],
        ..M
    },
    Message {
        id: "waydroid-dnsmasq-refused",
        says: r"/waydroid-lxc/dnsmasq\.\w+",
        errno: &[libc::EACCES, libc::EPERM],
        cause: "dnsmasq, which gives Waydroid's network its addresses, may not write its file: \
                where AppArmor is on, its profile of dnsmasq does not name that folder. Shared \
                memory has no part in it",
        next: &[
            Do("sudo dmesg | grep -i denied | grep dnsmasq   # AppArmor's or SELinux's word"),
            Do("echo '/{,var/}run/waydroid-lxc/** rw,' | sudo tee -a \
                /etc/apparmor.d/local/usr.sbin.dnsmasq   # AppArmor"),
            Do("sudo systemctl reload apparmor; sudo systemctl restart waydroid-container"),
        ],
        ..M
    },
    Message {
        id: "waydroid-netfilter",
        says: r"(can't|cannot) initialize ip6?tables table .\w+'?:? .*(does not exist|insmod)",
        from: &[LogSource::Waydroid],
        cause: "the kernel has no module for the table of iptables that Waydroid's network needs: \
                an update took the running kernel's modules away, or it is built without. Shared \
                memory has no part in it",
        next: &[
            Do("sudo systemctl reboot   # after an update of the kernel"),
            Do("sudo modprobe iptable_mangle; sudo modprobe iptable_nat"),
        ],
        ..M
    },
];
