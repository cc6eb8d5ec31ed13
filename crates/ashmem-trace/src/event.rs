// SPDX-License-Identifier: MIT OR Apache-2.0
//! One event: the time, the process, the operation on which region, its result, and how long it
//! took.

use std::fmt;

use nix::errno::Errno;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::operation::Operation;
use crate::text::Text;

/// One call, one purge or one end of a region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it was over: nanoseconds of `CLOCK_MONOTONIC`, which no step of the wall clock moves.
    pub mono_ns: u64,
    /// What saw it.
    pub source: Source,
    /// Who did it.
    #[serde(flatten)]
    pub process: EventProcess,
    /// What it was.
    #[serde(flatten)]
    pub operation: Operation,
    /// The region, if the source knows it.
    pub region: Option<EventRegion>,
    /// What came back.
    #[serde(flatten)]
    pub outcome: CallOutcome,
    /// How long it took, in nanoseconds, where the source measures it. Of the module: inside the
    /// driver, without the way there.
    pub duration_ns: Option<u64>,
}

/// A source of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The kernel module's own tracepoints.
    Module,
    /// The supervisor of `ashmem run` or `ashmem agent`.
    Agent,
    /// The kernel's system call tracepoints. Arguments that lie in memory are read a moment after
    /// the call.
    Syscalls,
}

impl Source {
    /// Whether it shows when a region ends. Without that, what is there cannot be counted.
    pub const fn sees_ends(self) -> bool {
        !matches!(self, Self::Syscalls)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Module => "module",
            Self::Agent => "agent",
            Self::Syscalls => "syscalls",
        })
    }
}

/// A process as the host sees it, and as its container does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventProcess {
    /// Process id in the pid namespace of the tracer; 0 if it cannot be seen from there.
    pub pid: i32,
    /// Thread id, there too.
    pub tid: i32,
    /// Process id in the process's own pid namespace, where that is another one.
    pub container_pid: Option<i32>,
    /// The container's id or name, from its control group.
    pub container: Option<Text>,
    /// Its name as a list of processes shows it; of an Android application, its package.
    pub command: Text,
}

/// A region as it was when the event was over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRegion {
    /// A number that means this region alone within one trace, from its first event to its last.
    pub id: u64,
    /// The inode of its memory, which /proc/PID/maps shows; none before the first mmap of a region
    /// of the module's.
    pub inode: Option<u64>,
    /// Its name, where it is known.
    pub name: Option<Text>,
    /// Its size in bytes, where it is known.
    pub size: Option<u64>,
    /// Whether it was made while the trace ran, by whomever; false: it was there before. None: the
    /// source cannot tell.
    #[serde(default)]
    pub made_in_trace: Option<bool>,
}

/// What a call came to. In JSON: `result`, and beside it `errno`, the error's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct CallOutcome {
    /// What it returned; an error as its number, negative. None: the source does not see it.
    pub result: Option<i64>,
}

impl CallOutcome {
    /// The source does not see what came back.
    pub const UNSEEN: Self = Self { result: None };

    /// A system call's return value: an errno, negative, or a value.
    pub const fn of_return(value: i64) -> Self {
        Self { result: Some(value) }
    }

    /// Whether this was a call whose result nobody saw: it is no success, and no failure.
    pub const fn is_unseen(&self, operation: &Operation) -> bool {
        // What is no call has no result.
        let is_call = !matches!(operation, Operation::Release {} | Operation::Purge { .. });
        self.result.is_none() && is_call
    }

    /// The error it failed with.
    pub fn errno(&self) -> Option<ErrnoName> {
        let value = self.result.filter(|value| (-4095..0).contains(value))?;
        Some(ErrnoName(Errno::from_raw(-value as i32)))
    }
}

impl Serialize for CallOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("CallOutcome", 2)?;
        fields.serialize_field("result", &self.result)?;
        fields.serialize_field("errno", &self.errno())?;
        fields.end()
    }
}

/// An error's name: `EINVAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrnoName(pub Errno);

impl fmt::Display for ErrnoName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Errno::UnknownErrno => formatter.write_str("E?"),
            known => write!(formatter, "{known:?}"),
        }
    }
}

impl Serialize for ErrnoName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
