// SPDX-License-Identifier: MIT OR Apache-2.0
//! The records of a trace.

use serde::{Deserialize, Serialize};

/// One answer, one purge or one end of a region. In the pipe: two bytes with the length, then the
/// record as postcard writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it was over, in nanoseconds of `CLOCK_MONOTONIC`.
    pub mono_ns: u64,
    /// The tenant (container or program) that it is of; keys of regions are the tenant's own.
    pub tenant: u64,
    /// From the request's arrival to the answer, in nanoseconds.
    pub duration_ns: Option<u64>,
    /// The caller; `None` for what the supervisor did by itself.
    pub caller: Option<CallerInfo>,
    /// What happened.
    pub kind: EventKind,
    /// The region.
    pub region: Option<RegionInfo>,
    /// What the caller got: a value, or a negative errno. `None`: that was not seen, because the
    /// kernel continued with the call and decided its result, or because the caller was interrupted
    /// and makes the call again.
    pub result: Option<i64>,
    /// Records that were lost before this one.
    pub lost: u64,
}

/// The caller, in the supervisor's pid namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerInfo {
    /// The thread.
    pub tid: i32,
    /// Its process.
    pub pid: i32,
    /// Its process in its own pid namespace.
    pub inner_pid: i32,
    /// Its process's name.
    pub command: Vec<u8>,
    /// Its control groups, as `/proc/PID/cgroup` lists them.
    pub groups: Vec<u8>,
}

/// A region as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionInfo {
    /// The region's key; `None` for a memfd that the program made itself.
    pub key: Option<u64>,
    /// The inode that mappings show.
    pub inode: u64,
    /// Its name.
    pub name: Vec<u8>,
    /// Its size in bytes.
    pub size: u64,
}

/// The kind of event. Ranges are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// A new region.
    Open,
    /// No descriptor and no mapping of the region is left.
    Release,
    /// An ioctl.
    Ioctl {
        /// The command, its low 32 bits.
        command: u32,
        /// The argument.
        argument: u64,
        /// The name it points to.
        name: Option<Vec<u8>>,
        /// The offset and length it points to.
        pin: Option<(u32, u32)>,
    },
    /// mmap(2).
    Mmap {
        /// Length in bytes.
        len: u64,
        /// `PROT_*`.
        prot: u32,
        /// `MAP_*`.
        flags: u32,
        /// Offset in bytes.
        offset: u64,
    },
    /// No event: the record only reports lost records.
    Nothing,
    /// Unpinned pages were purged.
    Purge {
        /// First byte.
        offset: u64,
        /// Length.
        len: u64,
    },
}
