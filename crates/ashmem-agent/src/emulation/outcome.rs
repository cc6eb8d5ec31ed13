//! What a request comes to, and what of it is kept for another agent.

use std::os::fd::OwnedFd;

use rustix::io::{Errno, Result};

use crate::ids::Key;
use crate::journal::SavedAnswer;
use crate::notification::Answer;
use crate::seccomp::syscalls::Mmap;

/// What a request comes to. Memory of the caller is only touched by who holds no lock: it may be memory that blocks.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Answer this.
    Answer(Answer),
    /// Write these bytes, then answer 0.
    Write { address: u64, bytes: Vec<u8> },
    /// Answer this mmap with private memory of zeros.
    MapAnonymous(Mmap),
    /// Answer with a new descriptor.
    Open { fd: OwnedFd, close_on_exec: bool, key: Key },
}

impl Outcome {
    pub(crate) const CONTINUE: Self = Self::Answer(Answer::Continue);
    pub(crate) const ZERO: Self = Self::Answer(Answer::Value(0));

    pub(crate) fn errno(errno: Errno) -> Self {
        Self::Answer(Answer::Errno(errno))
    }

    pub(crate) fn value(result: Result<i64>) -> Self {
        Self::Answer(result.map_or_else(Answer::Errno, Answer::Value))
    }
}

impl SavedAnswer {
    /// A new descriptor or mapping is none: it dies with the agent, and the call is worked on again.
    pub(crate) fn of(outcome: &Outcome) -> Option<Self> {
        Some(match outcome {
            Outcome::Answer(Answer::Value(value)) => Self::Value(*value),
            Outcome::Answer(Answer::Errno(errno)) => Self::Errno(errno.raw_os_error()),
            Outcome::Answer(Answer::Continue) => Self::Continue,
            Outcome::Write { address, bytes } => Self::Write { address: *address, bytes: bytes.clone() },
            Outcome::Open { .. } | Outcome::MapAnonymous(_) => return None,
        })
    }

    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Self::Value(value) => Outcome::Answer(Answer::Value(value)),
            Self::Errno(errno) => Outcome::errno(Errno::from_raw_os_error(errno)),
            Self::Continue => Outcome::CONTINUE,
            Self::Write { address, bytes } => Outcome::Write { address, bytes },
        }
    }
}
