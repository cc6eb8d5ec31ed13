// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processors whose registers are not known here: none is read or set.

use rustix::io::{Errno, Result};

use crate::notification::Notification;

/// Whether a thread's registers can be read and set.
pub(in crate::target_thread) const ARE_KNOWN: bool = false;
/// Flags of mmap(2) that only this processor has.
pub(in crate::target_thread) const OWN_MAP_FLAGS: i32 = 0;

/// No registers.
pub(in crate::target_thread) enum NoRegisters {}

impl NoRegisters {
    pub(in crate::target_thread) fn read(_: i32) -> Result<Self> {
        Err(Errno::OPNOTSUPP)
    }

    pub(in crate::target_thread) fn write(&self, _: i32) -> Result<()> {
        match *self {}
    }

    pub(in crate::target_thread) fn result(&self, _: &Notification) -> Option<i64> {
        match *self {}
    }

    pub(in crate::target_thread) fn calling_mmap(
        &self,
        _: &Notification,
        _: [u64; 6],
    ) -> Result<Self> {
        match *self {}
    }

    pub(in crate::target_thread) fn returning_as(&self, _: &Self, _: &Notification) -> Self {
        match *self {}
    }
}
