//! What a supervisor tells of one answer.

use serde::{Deserialize, Serialize};

/// One answer, one purge or one end of a region. In the pipe: two bytes of length, then the record as postcard writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it was over, in nanoseconds of `CLOCK_MONOTONIC`.
    pub mono_ns: u64,
    /// Which container's, or program's: its regions' keys are its own.
    pub tenant: u64,
    /// From the request's arrival to the answer, in nanoseconds.
    pub duration_ns: Option<u64>,
    /// Who called; none of what the supervisor does by itself.
    pub caller: Option<CallerInfo>,
    /// What it was.
    pub kind: EventKind,
    /// The region.
    pub region: Option<RegionInfo>,
    /// What the caller got: a value, or an errno, negative. None: the kernel goes on with the call and has the last word.
    pub result: Option<i64>,
    /// Records that were lost before this one.
    pub lost: u64,
}

/// Who called, in the supervisor's pid namespace.
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
    /// Its control groups, as /proc tells them.
    pub groups: Vec<u8>,
}

/// A region as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionInfo {
    /// The table's key; none of a memfd that the program made itself.
    pub key: Option<u64>,
    /// The inode that mappings show.
    pub inode: u64,
    /// Its name.
    pub name: Vec<u8>,
    /// Its size in bytes.
    pub size: u64,
}

/// What was asked, or what happened. Ranges are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// A new region.
    Open,
    /// Nothing holds the region any more.
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
    /// Nothing more: the record only says what was lost.
    Nothing,
    /// Unpinned pages were given back.
    Purge {
        /// First byte.
        offset: u64,
        /// Length.
        len: u64,
    },
}
