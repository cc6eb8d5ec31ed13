// SPDX-License-Identifier: MIT OR Apache-2.0
//! What D-Bus, systemd and Wayland say where Waydroid's session or service does not come up.

use crate::advice::NextStep::{self, Do};
use crate::log_source::LogSource;
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

const NO_BUS: &str = "D-Bus' socket that the line names does not answer: this runs inside a \
                      container (distrobox, toolbox) that has not the host's, or in no desktop \
                      session. Shared memory has no part in it";

const REACH_BUS: &[NextStep] = &[
    Do("# run Waydroid on the host, not inside distrobox or toolbox: it brings its own container"),
    Do("echo $DBUS_SESSION_BUS_ADDRESS; ls -l /run/dbus/system_bus_socket"),
];

const START_SERVICE: &[NextStep] = &[
    Do("sudo systemctl enable --now waydroid-container"),
    Do("sudo journalctl -b -u waydroid-container | ashmem doctor explain"),
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
        id: "waydroid-bus-policy",
        says: r"not allowed to own the service .?id\.waydro\.",
        cause: "D-Bus does not let Waydroid's service take its name: the service was started \
                without root, or D-Bus has not read the file of rules that Waydroid's package \
                brings. Shared memory has no part in it",
        next: &[
            Do("ls /usr/share/dbus-1/system.d /etc/dbus-1/system.d | grep waydro   # the file"),
            Do("sudo systemctl reload dbus; sudo systemctl restart waydroid-container"),
        ],
        ..M
    },
    Message {
        id: "waydroid-bus-not-reached",
        says: bus_error!(r"\w+: failed to connect to socket"),
        unless: r"system_bus_socket",
        cause: NO_BUS,
        next: REACH_BUS,
        from: &[LogSource::Waydroid],
        ..M
    },
    Message {
        id: "waydroid-service-not-running",
        says: bus_error!(r"(ServiceUnknown|NameHasNoOwner): .*(id\.waydro\.|The name :\d+\.\d+ )"),
        follows: &["waydroid-service-old", "waydroid-bus", "binder", "modprobe-"],
        cause: "Waydroid's container service does not answer: it does not run, or ended. Shared \
                memory has no part in it",
        next: START_SERVICE,
        from: &[LogSource::Waydroid],
        ..M
    },
    // In a trace of Python's, which any tool may show.
    Message {
        id: "waydroid-service-not-running",
        says: r"DBus\.Error\.(ServiceUnknown|NameHasNoOwner): .*\bid\.waydro\.Container\b",
        follows: &["waydroid-service-old", "waydroid-bus", "binder", "modprobe-"],
        cause: "Waydroid's container service does not answer: it does not run, or ended. Shared \
                memory has no part in it",
        next: START_SERVICE,
        ..M
    },
    Message {
        id: "waydroid-service-no-answer",
        says: bus_error!(r"(NoReply|Timeout|TimedOut|Disconnected): "),
        from: &[LogSource::Waydroid],
        follows: &[""],
        cause: "Waydroid's container service took the call and gave no answer: it ended over it, \
                or hangs; its own log tells why. Shared memory has no part in it",
        next: &[
            Do("sudo journalctl -b -u waydroid-container | ashmem doctor explain"),
            Do("ashmem doctor explain < /var/lib/waydroid/waydroid.log"),
            Do("sudo systemctl restart waydroid-container   # then the session anew"),
        ],
        ..M
    },
    Message {
        id: "waydroid-session-runs",
        says: r"already tracking a session",
        cause: "the container service holds a session already, of this user or another, which may \
                have ended without its knowing. Shared memory has no part in it",
        next: &[
            Do("waydroid session stop   # as the user of that session"),
            Do("sudo systemctl restart waydroid-container   # if that does not end it"),
        ],
        ..M
    },
    Message {
        id: "waydroid-no-user-session",
        says: r"XDG_RUNTIME_DIR is not set|don't start a waydroid session with 'sudo'",
        from: &[LogSource::Waydroid],
        cause: "the session was started as root, or outside of a desktop session: it has no folder \
                of the user's sockets. Shared memory has no part in it",
        next: AS_USER,
        ..M
    },
    Message {
        id: "waydroid-no-wayland",
        says: r#"XDG session is not "?wayland"#,
        from: &[LogSource::Waydroid],
        follows: &["waydroid-no-user-session"],
        cause: "Waydroid was started where the session is none of Wayland: as root (by sudo), by \
                ssh, or under X11. Shared memory has no part in it",
        next: &[
            Do("waydroid session start   # as the user of the desktop, without sudo"),
            Do("echo $XDG_SESSION_TYPE $WAYLAND_DISPLAY   # `wayland`, and a name"),
            Do("# under X11: weston, and start Waydroid inside it"),
        ],
        ..M
    },
    Message {
        id: "waydroid-no-wayland",
        says: r"^couldn't open wayland display|^failed to open wayland connection",
        from: &[LogSource::Logcat],
        cause: "the part of Waydroid that shows Android's picture reaches no Wayland compositor: \
                the session was started for another user or display, or the compositor ended. \
                Shared memory has no part in it",
        next: &[
            Do("echo $XDG_RUNTIME_DIR $WAYLAND_DISPLAY; ls -l $XDG_RUNTIME_DIR/wayland-*"),
            Do("waydroid session stop; waydroid session start   # as the user, in that session"),
        ],
        ..M
    },
    Message {
        id: "waydroid-python",
        says: concat!(
            r"\b(ModuleNotFound|Import)Error: .*\bgbinder\b|",
            r"\bmodule '?gbinder'? has no attribute"
        ),
        cause: "Python does not find the module gbinder, by which Waydroid speaks to binder: it \
                was built for another version of Python than the one that runs (after an update), \
                or another Python comes first in PATH (pyenv, a venv). Shared memory has no part \
                in it",
        next: &[
            Do("python3 -c 'import gbinder'; /usr/bin/python3 -c 'import gbinder'   # both?"),
            Do("# reinstall it: python3-gbinder (Debian, Fedora); from the AUR, build it anew: \
                yay -S --rebuild python-gbinder"),
        ],
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
        id: "waydroid-not-installed",
        says: concat!(
            r"\bunit (file )?.?waydroid-container\.service.? (does( not|n't) exist|not found|",
            r"could not be found)|^(\S+: )?(line \d+: |\d+: )?waydroid: (command )?not found"
        ),
        cause: "Waydroid is not installed, or not as a service of systemd (OpenRC and others have \
                their own). Shared memory has no part in it",
        next: &[
            Do("# https://docs.waydro.id, Install: the archive, and which releases it has"),
            Do("# OpenRC: sudo rc-service waydroid-container start"),
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
        id: "waydroid-data-refused",
        says: r"^mkdir: .*'/(home|var/home|root)/",
        errno: &[libc::EACCES, libc::EPERM],
        from: &[LogSource::Waydroid],
        cause: "Waydroid's service, which runs as root, may not make its folder in the user's \
                home: SELinux refuses it, or the home lies on a file server. Shared memory has no \
                part in it",
        next: &[
            Do("sudo ausearch -m AVC -ts recent   # SELinux's word"),
            Do("mkdir -p ~/.local/share/waydroid/data   # as the user; then start the session"),
            Do(
                "sudo dnf upgrade waydroid waydroid-selinux; restorecon -R ~/.local/share/waydroid \
                # Fedora and its like",
            ),
        ],
        ..M
    },
];
