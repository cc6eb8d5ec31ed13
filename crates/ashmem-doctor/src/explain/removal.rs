// SPDX-License-Identifier: MIT OR Apache-2.0
//! What rmmod and modprobe say where a module of ashmem's or binder's is to be taken out.

use crate::advice::NextStep::Do;
use crate::message::Message;
use crate::subject::Subject::{BinderModule, Module};

const M: Message = Message::PLAIN;

const IN_USE: &str = concat!(
    r"(is|currently) in use|could not remove|can't (unload|remove)|unable to remove|",
    r"failed to (unload|remove)|rmmod.*(busy|unavailable|is builtin)",
);

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "module-not-loaded-harmless",
        about: &[Module, BinderModule],
        says: r"\bmodule \S+ is not currently loaded",
        is_harmless: true,
        cause: "harmless: the module was to be taken out, and is not loaded. A driver that is \
                built into the kernel is no module, and stays",
        ..M
    },
    Message {
        id: "module-in-use",
        about: &[Module],
        says: IN_USE,
        unless: r"not currently loaded",
        cause: "regions still live: a descriptor or a mapping of one holds the module until the \
                last is gone; a driver that is built in cannot be removed",
        next: &[
            Do("sudo ashmem list   # who holds regions"),
            Do("sudo grep -l /dev/ashmem /proc/[0-9]*/maps 2>/dev/null"),
        ],
        ..M
    },
    Message {
        id: "binder-in-use",
        about: &[BinderModule],
        says: IN_USE,
        cause: "binder's module is in use: a container runs, or a binderfs is mounted; a driver \
                that is built in cannot be removed",
        next: &[Do("findmnt -t binder; sudo fuser -v /dev/binder /dev/binderfs/*")],
        ..M
    },
];
