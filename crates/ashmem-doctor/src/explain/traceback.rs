// SPDX-License-Identifier: MIT OR Apache-2.0
//! How Waydroid's tool, which is written in Python, says what it failed over.

use crate::advice::NextStep::{self, Do};
use crate::log_source::LogSource;
use crate::message::Message;

const M: Message = Message::PLAIN;

const BROKEN: &str = "Waydroid's configuration is not whole: a start of `waydroid init` that did \
                      not end, another version of the tool, or a change by hand. Shared memory \
                      has no part in it";

const WRITE_ANEW: &[NextStep] = &[
    Do("sudo cat /var/lib/waydroid/waydroid.cfg   # one [waydroid] and one [properties]"),
    Do("sudo waydroid init -f   # writes it anew, and fetches the images"),
];

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "waydroid-config-broken",
        says: concat!(
            r"no section: 'waydroid'|(no section headers|parsing errors).*waydroid\S*\.cfg|",
            r"waydroid\S*\.cfg.*already exists|(No(Section|Option)|MissingSectionHeader|",
            r"Duplicate(Option|Section)|Parsing)Error: .*waydroid"
        ),
        cause: BROKEN,
        next: WRITE_ANEW,
        ..M
    },
    Message {
        id: "waydroid-config-broken",
        says: r"^(ERROR: |KeyError: )'\w+'$|^configparser\.\w+Error: ",
        from: &[LogSource::Waydroid],
        cause: BROKEN,
        next: WRITE_ANEW,
        ..M
    },
    Message {
        id: "waydroid-download",
        says: concat!(
            r"urlopen error|HTTP Error \d{3}|hash doesn't match|BadZipFile|not a zip file|",
            r"CERTIFICATE_VERIFY_FAILED|name resolution|IncompleteRead"
        ),
        from: &[LogSource::Waydroid],
        follows: &["waydroid-images"],
        cause: "Waydroid could not fetch its images, or what came is not whole: the network, a \
                proxy, the clock (certificates), or the server. Shared memory has no part in it",
        next: &[
            Do("curl -I https://ota.waydro.id/system   # whether the network reaches it"),
            Do("sudo rm -rf /var/lib/waydroid/cache_http; sudo waydroid init -f"),
            Do("# by hand: put system.img and vendor.img into /etc/waydroid-extra/images, and \
                sudo waydroid init -f"),
        ],
        ..M
    },
    Message {
        id: "lxc-missing",
        says: concat!(
            r"no such file or directory: .?(/usr/s?bin/)?lxc-\w+|",
            r"\blxc-(info|start|stop|attach|ls|freeze|unfreeze): (command )?not found"
        ),
        cause: "LXC, by which Waydroid runs Android, is not installed. Shared memory has no part \
                in it",
        next: &[NextStep::Package("lxc"), Do("sudo systemctl restart waydroid-container")],
        ..M
    },
    Message {
        id: "waydroid-needs-root",
        says: r"permission denied: '/var/lib/waydroid\b",
        cause: "this command of Waydroid writes below /var/lib/waydroid, and wants root",
        next: &[
            Do("# the same with sudo (`waydroid session` and `waydroid show-full-ui`: without)"),
            Do("ls -ld /var/lib/waydroid; sudo restorecon -R /var/lib/waydroid   # if it was \
                root: SELinux"),
        ],
        ..M
    },
    Message {
        id: "waydroid-no-space",
        says: r"",
        errno: &[libc::ENOSPC, libc::EDQUOT],
        from: &[LogSource::Waydroid],
        cause: "the disk is full where Waydroid keeps its images (some 3 GiB, and as much again \
                while it unpacks them) or its data. Shared memory has no part in it",
        next: &[Do("df -h /var/lib/waydroid /tmp ~/.local/share/waydroid")],
        ..M
    },
    Message {
        id: "waydroid-root-busy",
        says: r"^umount: /var/lib/waydroid/rootfs\S*: (target is busy|device is busy)",
        cause: "something of an earlier start holds Android's root. Shared memory has no part in \
                it",
        next: &[
            Do("waydroid session stop; sudo systemctl stop waydroid-container"),
            Do("sudo fuser -vm /var/lib/waydroid/rootfs; sudo umount -R /var/lib/waydroid/rootfs"),
            Do("sudo systemctl start waydroid-container"),
        ],
        ..M
    },
    Message {
        id: "waydroid-command-failed",
        says: r"command failed: % \S",
        follows: &[""],
        cause: "a command that Waydroid called failed; what it said stands in Waydroid's log \
                above the line of `^` signs",
        next: &[Do("ashmem doctor explain < /var/lib/waydroid/waydroid.log")],
        ..M
    },
];
