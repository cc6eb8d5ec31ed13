// SPDX-License-Identifier: MIT OR Apache-2.0
//! What Anbox says of itself. Nobody develops it any more.

use crate::advice::NextStep::{self, Do};
use crate::message::Message;

const M: Message = Message::PLAIN;

const INSTEAD: NextStep =
    Do("# nobody develops Anbox any more: Waydroid and redroid take its place");

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "anbox-drivers-not-seen",
        says: r"either binder or ashmem kernel drivers are not loaded|^(binder|ashmem): false$",
        cause: "Anbox could not open binder or /dev/ashmem. lsmod may show both: where the kernel \
                has binderfs, the module alone makes no /dev/binder, and an old ashmem module's \
                node has mode 0600. Anbox does not know memfd",
        next: &[
            Do("sudo mkdir -p /dev/binderfs; sudo mount -t binder binder /dev/binderfs"),
            Do("ls -l /dev/ashmem /dev/binder /dev/binderfs"),
            Do("sudo chmod 666 /dev/ashmem /dev/binderfs/*binder"),
            Do("ashmem doctor --mode module   # the lines `device` and `binder`"),
            INSTEAD,
        ],
        ..M
    },
    Message {
        id: "anbox-container-manager",
        says: concat!(
            r"(connect\w* to|open) .*anbox-container\.socket|",
            r"\banbox[.-]container-manager\.service: (failed with result|main process exited, ",
            r"code=(exited, status=[1-9]|killed|dumped))"
        ),
        cause: "Anbox's container manager, which runs as root, does not answer at its socket: it \
                does not run, or this user may not reach it. Shared memory has no part in it",
        next: &[
            Do("systemctl status snap.anbox.container-manager anbox-container-manager"),
            Do("journalctl -b | grep -i anbox | ashmem doctor explain"),
            INSTEAD,
        ],
        ..M
    },
    Message {
        id: "anbox-runs-already",
        says: r"\[\w+_manager\.cpp:\d+@\S+\] bind: address already in use",
        cause: "another of Anbox's managers runs already and has the socket: a service of the \
                system's, or one that was started by hand. Shared memory has no part in it",
        next: &[Do("pgrep -af anbox; systemctl status snap.anbox.container-manager"), INSTEAD],
        ..M
    },
    Message {
        id: "anbox-container",
        says: concat!(
            r"failed to start container: .*failed to (set config item lxc\.|",
            r"configure lxc container)"
        ),
        cause: "Anbox's container could not be set up: it sets keys that this LXC does not know \
                (`lxc.group.devices.deny` is a slip of its own, which LXC refuses since 4.0.9). \
                Shared memory has no part in it",
        next: &[Do("journalctl -b | grep -i anbox   # what its container manager says"), INSTEAD],
        ..M
    },
    Message {
        id: "anbox-not-started",
        says: concat!(
            r"\[client\.cpp:\d+@\w+\] failed to start container|",
            r"session manager failed to become ready|",
            r"\.cpp:\d+@\S+\] lost connection to container manager|",
            r"\[daemon\.cpp:\d+@run\] (container is not running|",
            r"application manager service is not running|failed to retrieve ready property)"
        ),
        follows: &["anbox-container", "anbox-drivers", "binder", "device-", "module-", "lxc-"],
        cause: "Anbox's container did not start, or has not come up yet; the container manager's \
                journal and the container's own log tell why",
        next: &[
            Do("journalctl -b | grep -i anbox | ashmem doctor explain"),
            Do("sudo cat /var/snap/anbox/common/logs/container.log | ashmem doctor explain   \
                # the snap's"),
            INSTEAD,
        ],
        ..M
    },
];
