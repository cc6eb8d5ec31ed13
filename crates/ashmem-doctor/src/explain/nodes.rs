// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `ls -l` shows of nodes that only root may open, and mknod of those that are there.

use crate::advice::NextStep::Do;
use crate::message::Message;
use crate::subject::Subject::{Binder, Device};

const M: Message = Message::PLAIN;

/// A character device that others may not read and write.
macro_rules! closed {
    ($name:expr) => {
        concat!(r"^c[r-][w-][xsS-][r-][w-][xsS-](-[w-]|r-)[xtT-]\.?\s+\d+\s.*\s", $name, r"$")
    };
}

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "node-exists-harmless",
        about: &[Device, Binder],
        says: r"\bmknod\b",
        errno: &[libc::EEXIST],
        is_harmless: true,
        cause: "harmless where the node that is there has the driver's number of this boot; one \
                that was made by hand in another boot may have an old one",
        next: &[Do("grep -w ashmem /proc/misc; ls -l /dev/ashmem   # the same number twice")],
        ..M
    },
    Message {
        id: "device-not-permitted",
        says: closed!(r"(/dev/)?ashmem([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?"),
        cause: "the node is there, and its mode lets only root open it: Android's processes are \
                not root. Old modules make it so and leave the rest to a rule of udev",
        next: &[
            Do("sudo chmod 666 /dev/ashmem   # until the next load"),
            Do("echo 'KERNEL==\"ashmem\", MODE=\"0666\"' | sudo tee \
                 /etc/udev/rules.d/99-ashmem.rules   # for good"),
            Do("ashmem doctor   # the line `device`"),
        ],
        ..M
    },
    Message {
        id: "binder-not-permitted",
        says: closed!(r"/dev/(binderfs/)?([a-z]+-)?(hw|vnd)?binder\d*"),
        cause: "binder's node is there, and its mode lets only root open it: Android's processes \
                are not root. Waydroid changes that at each start, other containers may not",
        next: &[
            Do("sudo chmod 666 /dev/binder /dev/hwbinder /dev/vndbinder   # the nodes that exist"),
            Do("echo 'KERNEL==\"*binder\", MODE=\"0666\"' | sudo tee \
                 /etc/udev/rules.d/99-binder.rules   # for good; not for binderfs, whose nodes \
                 are changed after each mount"),
        ],
        ..M
    },
];
