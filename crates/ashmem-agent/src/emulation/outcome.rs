// SPDX-License-Identifier: MIT OR Apache-2.0
//! The outcome of a request, and the part of it that the journal stores.

use std::os::fd::OwnedFd;

use rustix::io::{Errno, Result};

use crate::ids::Key;
use crate::journal::SavedAnswer;
use crate::notification::Answer;
use crate::seccomp::syscalls::Mmap;

/// What is to be done to answer a request. The caller's memory is only touched without a lock held:
/// it may block.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Send this answer.
    Answer(Answer),
    /// Write these bytes, then answer 0.
    Write { address: u64, bytes: Vec<u8> },
    /// Map private anonymous memory in place of this mmap.
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
    /// The answer to store. A new descriptor or mapping is not stored: it is lost with the agent,
    /// and the call is decided again.
    pub(crate) fn of(outcome: &Outcome) -> Option<Self> {
        Some(match outcome {
            Outcome::Answer(Answer::Value(value)) => Self::Value(*value),
            Outcome::Answer(Answer::Errno(errno)) => Self::Errno(errno.raw_os_error()),
            Outcome::Answer(Answer::Continue) => Self::Continue,
            Outcome::Write { address, bytes } => {
                Self::Write { address: *address, bytes: bytes.clone() }
            }
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
