// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
//! What a shell provides: memory for ranges, how big a page is, and the lock around the purge
//! order.

use crate::lru::Lru;
use crate::range::Ranges;

/// A page's size, as its base-2 logarithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize(u32);

impl PageSize {
    /// Pages of `1 << shift` bytes; a shift outside 12 to 16, which no Linux machine has, is
    /// brought into it.
    pub const fn from_shift(shift: u32) -> Self {
        Self(if shift < 12 {
            12
        } else if shift > 16 {
            16
        } else {
            shift
        })
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        1 << self.0
    }

    /// The offset of `address` inside its page, in bytes.
    pub const fn offset_in(self, address: u64) -> u64 {
        address & self.bytes().wrapping_sub(1)
    }

    /// `bytes` rounded up to whole pages; 0 where that exceeds 64 bits, as the kernel's own macro
    /// has it (SIZE-08).
    pub const fn align(self, bytes: u64) -> u64 {
        let mask = self.bytes().wrapping_sub(1);
        bytes.wrapping_add(mask) & !mask
    }

    /// The number of the page that `byte` lies in.
    pub const fn number(self, byte: u64) -> u64 {
        byte >> self.0
    }
}

/// The memory and the lock that [`crate::pins`] and [`crate::lru`] work on.
///
/// The core returns an id to [`Store::free`] exactly once, and never asks for one it has returned.
pub trait Store: Ranges {
    /// The page size in force.
    fn page_size(&self) -> PageSize;

    /// Takes back a range that is in no tree and in no order any more.
    fn free(&self, id: Self::Id);

    /// Called between the ranges of a region that is released, with nothing locked: a kernel may
    /// let other tasks run.
    fn pause(&self) {}

    /// Runs `work` with the purge order locked. The sections are a few instructions long and never
    /// nest.
    fn with_lru<R>(&self, work: impl FnOnce(&Lru<Self::Id>) -> R) -> R;
}
