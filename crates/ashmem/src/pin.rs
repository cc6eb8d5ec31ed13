// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory that stays.

use crate::descriptor;
use crate::purge::Purge;
use std::os::fd::BorrowedFd;

/// A range that stays while this lives, and is unpinned again when it is dropped. Made by
/// [`Region::pin`](crate::Region::pin).
///
/// Pins are not counted, neither here nor in the device: the first guard dropped over a page unpins
/// it, however many others cover it.
#[derive(Debug)]
#[must_use = "dropping the guard unpins the range at once"]
pub struct Pin<'region> {
    region: BorrowedFd<'region>,
    offset: usize,
    length: usize,
    purge: Purge,
}

impl<'region> Pin<'region> {
    pub(crate) const fn new(
        region: BorrowedFd<'region>,
        offset: usize,
        length: usize,
        purge: Purge,
    ) -> Self {
        Self { region, offset, length, purge }
    }

    /// What became of the range before it was pinned.
    pub const fn purge(&self) -> Purge {
        self.purge
    }

    /// Leaves the range pinned for good.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        // It was just pinned, so that only memory can be short: then the range stays pinned, which
        // loses nothing.
        let _ = descriptor::unpin(self.region, self.offset, self.length);
    }
}
