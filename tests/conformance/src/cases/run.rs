// SPDX-License-Identifier: MIT OR Apache-2.0
//! Differences of the module-less agent that several cases share: what lies out of a supervisor's
//! reach.
//!
//! A supervisor decides whether a system call goes on, and can put a descriptor into the caller. It
//! changes neither what the kernel prints in `/proc` nor what a call does that it lets go on.

use crate::case::{Differs, Provider, refused};

const fn beyond_reach(what: &'static str, reason: &'static str) -> Differs {
    Differs { providers: Provider::AGENT, what, reason, check: None }
}

const fn given_up(what: &'static str, reason: &'static str) -> Differs {
    Differs { providers: &[Provider::RunFast], what, reason, check: None }
}

/// A descriptor's status at the level `fast`.
pub(crate) const FAST_STATUS: Differs = given_up(
    "fstat says regular file, with the memfd's size",
    "fstat is what programs that walk trees call most: at this level nothing of the stat family is \
     slowed",
);

/// Copies of a descriptor at the level `fast`.
pub(crate) const FAST_COPIES: Differs = given_up(
    "A descriptor that is copied before its first ioctl makes two regions",
    "opens are not looked at: a descriptor becomes a region with its first ioctl, and no copy of \
     it does",
);

/// Opening a descriptor again at the level `fast`.
pub(crate) const FAST_AGAIN: Differs = given_up(
    "Opening /proc/self/fd/N leads to the same region",
    "opens are not looked at, and the kernel opens the memfd again; a mask without WRITE is sealed \
     all the same",
);

/// mprotect at the level `fast`.
pub(crate) const FAST_EXECUTE: Differs = given_up(
    "mprotect gives a shared mapping EXEC beyond the mask; WRITE stays refused",
    "memfd has a seal against writing and none against executing, and mprotect is not looked at",
);

/// Calls that the device does not know, at the level `fast`.
pub(crate) const FAST_FILE_CALLS: Differs = given_up(
    "ftruncate, fallocate, fsync, seals, splice, sendfile and copy_file_range answer as on a \
     sealed memfd",
    "only open, the ioctls and mmap are looked at",
);

/// Memory tags of arm64.
pub(crate) const MEMORY_TAGS: Differs = beyond_reach(
    "PROT_MTE gives a mapping tags, by mmap and by mprotect, where memory has them",
    "a memfd's mapping may have tags, and so may the anonymous memory that a private mapping is; \
     who asks for them gets what was asked for",
);

/// Opens that give no descriptor to act on, without a node.
pub(crate) const BARE_O_PATH: Differs = Differs {
    providers: &[Provider::RunBare],
    what: "An open with O_PATH is ENOENT",
    reason: "no node lies at the path, and the kernel takes no O_PATH descriptor to put into a \
             caller",
    check: Some(|env| refused("open", env.open_with(libc::O_PATH), libc::ENOENT)),
};

/// A mapping's path in maps.
pub(crate) const PATH_IN_MAPS: Differs = beyond_reach(
    "maps shows /memfd:dev/ashmem/NAME (deleted), with at most 249 bytes behind the colon",
    "the kernel writes maps, and puts this before every memfd's name",
);

/// The device's own lines in fdinfo.
pub(crate) const FDINFO: Differs = beyond_reach(
    "fdinfo has the generic lines only",
    "the kernel writes fdinfo; a memfd has no lines of its own there",
);

/// A descriptor's link. (At the level `fast` a new descriptor is still the node's.)
pub(crate) const LINK: Differs = Differs {
    providers: &[Provider::Run, Provider::RunBare],
    what: "/proc/self/fd/N reads as /memfd:dev/ashmem (deleted)",
    reason: "the kernel writes the link; to answer readlink would slow every path that a program \
             resolves",
    check: None,
};

/// The list of misc devices.
pub(crate) const MISC: Differs = beyond_reach(
    "/proc/misc does not list ashmem",
    "the kernel lists the devices that are registered with it",
);

/// read and lseek of a region.
pub(crate) const KERNEL_READS: Differs = beyond_reach(
    "Before the first mmap a region reads and seeks as an empty file; pread does not move SEEK_CUR",
    "read and lseek run in the kernel: a notification for each would slow every program",
);

/// write to a region.
pub(crate) const KERNEL_WRITES: Differs = beyond_reach(
    "write stores into a region whose mask has WRITE, up to its size",
    "write runs in the kernel: a notification for each would slow every program",
);

/// ioctls of other types.
pub(crate) const OTHER_IOCTLS: Differs = beyond_reach(
    "FIONREAD answers as on a file",
    "only ioctls of the device's type are looked at: a notification for each would slow every \
     program",
);

/// Purging below a mask without WRITE.
pub(crate) const SEALED_PURGE: Differs = beyond_reach(
    "Once WRITE has left the mask the region's pages are never purged, and PIN says so",
    "the seal that holds the mask against every side door also keeps the agent from punching holes",
);

/// Nodes of the device's number in other places.
pub(crate) const NODE_ELSEWHERE: Differs = beyond_reach(
    "Another node of the same number is `/dev/full`",
    "the node in /dev is `/dev/full`, told apart by its place",
);

/// A private mapping's inode.
pub(crate) const PRIVATE_IN_MAPS: Differs = beyond_reach(
    "A private mapping is anonymous memory in maps, without path and inode",
    "the agent has the caller map anonymous memory instead of the memfd, whose content it would \
     show",
);

/// Rights of a private mapping.
pub(crate) const PRIVATE_RIGHTS: Differs = beyond_reach(
    "mprotect gives a private mapping rights beyond the mask",
    "only the kernel takes a right from a mapping for good; the memory is the caller's own and \
     shows nobody's content",
);
