//! Differences of the module-less agent that several cases share: what lies out of a supervisor's reach.
//!
//! A supervisor decides whether a system call goes on, and can put a descriptor into the caller. It changes neither what
//! the kernel prints in `/proc` nor what a call does that it lets go on.

use crate::case::{Differs, Provider};

const fn beyond_reach(what: &'static str, reason: &'static str) -> Differs {
    Differs { providers: &[Provider::Run], what, reason, check: None }
}

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

/// A descriptor's link.
pub(crate) const LINK: Differs = beyond_reach(
    "/proc/self/fd/N reads as /memfd:dev/ashmem (deleted)",
    "the kernel writes the link; to answer readlink would slow every path that a program resolves",
);

/// The list of misc devices.
pub(crate) const MISC: Differs =
    beyond_reach("/proc/misc does not list ashmem", "the kernel lists the devices that are registered with it");

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
    "only ioctls of the device's type are looked at: a notification for each would slow every program",
);

/// Purging below a mask without WRITE.
pub(crate) const SEALED_PURGE: Differs = beyond_reach(
    "Once WRITE has left the mask the region's pages are never purged, and PIN says so",
    "the seal that holds the mask against every side door also keeps the agent from punching holes",
);

/// Nodes of the device's number in other places.
pub(crate) const NODE_ELSEWHERE: Differs = beyond_reach(
    "Another node of the same number is the null device",
    "the node in /dev is the null device, told apart by its place",
);

/// A private mapping's inode.
pub(crate) const PRIVATE_IN_MAPS: Differs = beyond_reach(
    "A private mapping is anonymous memory in maps, without path and inode",
    "the agent has the caller map anonymous memory instead of the memfd, whose content it would show",
);

/// Rights of a private mapping.
pub(crate) const PRIVATE_RIGHTS: Differs = beyond_reach(
    "mprotect gives a private mapping rights beyond the mask",
    "only the kernel takes a right from a mapping for good; the memory is the caller's own and shows nobody's content",
);
