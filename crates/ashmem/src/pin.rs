//! Memory that stays, and memory that may go.

use crate::descriptor;
use crate::region::Region;

/// What became of memory while it was unpinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "what was purged reads as zeros and has to be made again"]
pub enum Purge {
    /// Everything still holds what was written.
    Kept,
    /// Some or all of it was taken: its pages read as zeros.
    Purged,
}

/// A range that stays while this lives, and is unpinned again when it is dropped. Made by [`Region::pin`].
///
/// Pins are not counted, neither here nor in the device: the first guard dropped over a page unpins it, however many
/// others cover it.
#[derive(Debug)]
#[must_use = "dropping the guard unpins the range at once"]
pub struct Pin<'region> {
    region: &'region Region,
    offset: usize,
    length: usize,
    purge: Purge,
}

impl<'region> Pin<'region> {
    pub(crate) const fn new(region: &'region Region, offset: usize, length: usize, purge: Purge) -> Self {
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
        // It was just pinned, so that only memory can be short: then the range stays pinned, which loses nothing.
        let _ = descriptor::unpin(self.region, self.offset, self.length);
    }
}
