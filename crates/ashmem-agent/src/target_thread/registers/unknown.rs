// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processors whose registers are not known here: none is read or set.

use rustix::io::{Errno, Result};

use crate::notification::Notification;

/// Whether a thread's registers can be read and set.
pub(crate) const ARE_KNOWN: bool = false;
/// Flags of mmap(2) that only this processor has.
pub(crate) const OWN_MAP_FLAGS: i32 = 0;

/// No registers.
pub(crate) enum NoRegisters {}

impl NoRegisters {
    pub(crate) fn read(_: i32) -> Result<Self> {
        Err(Errno::OPNOTSUPP)
    }

    pub(crate) fn write(&self, _: i32) -> Result<()> {
        match *self {}
    }

    pub(crate) fn result(&self, _: &Notification) -> Option<i64> {
        match *self {}
    }

    pub(crate) fn calling_mmap(&self, _: &Notification, _: [u64; 6]) -> Result<Self> {
        match *self {}
    }

    pub(crate) fn returning_as(&self, _: &Self, _: &Notification) -> Self {
        match *self {}
    }
}
