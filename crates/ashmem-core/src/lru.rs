// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
//! The purge order: every unpinned range that still holds its pages, over all regions, oldest first
//! (SHR-04).
//!
//! A list threaded through the ranges themselves, so that putting in and taking out cost the same
//! whatever its length. Its links, and nothing else of a range, are guarded by the one lock of
//! [`crate::store::Store::with_lru`].

use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::range::{Range, Ranges};

/// The least recently unpinned order.
pub struct Lru<Id> {
    oldest: Cell<Option<Id>>,
    youngest: Cell<Option<Id>>,
    /// Where a purge goes on that takes some ranges and leaves others. `None`: at the oldest.
    cursor: Cell<Option<Id>>,
    ranges: Cell<u64>,
    /// Written under the lock, read by anyone (SHR-01).
    pages: AtomicU64,
}

impl<Id> Lru<Id> {
    /// A range counts with as many pages at the most, so that no number of ranges that fits a
    /// machine's memory makes the sum overflow: it then depends on nothing but what is in the
    /// order. Beyond the greatest number that PURGE_ALL_CACHES can answer, one more page makes no
    /// difference (BUG-23).
    const MOST_PAGES: u64 = 1 << 31;

    /// An order without ranges.
    pub const fn new() -> Self {
        Self {
            oldest: Cell::new(None),
            youngest: Cell::new(None),
            cursor: Cell::new(None),
            ranges: Cell::new(0),
            pages: AtomicU64::new(0),
        }
    }

    /// How many pages the ranges in the order hold, each counted with 2^31 at the most; may be read
    /// without the lock (SHR-01, PURGE-02).
    pub fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }

    /// How many ranges are in the order.
    pub fn ranges(&self) -> u64 {
        self.ranges.get()
    }

    /// A range in the order has other bounds but kept its place (PIN-17, PIN-18).
    pub(crate) fn resize(&self, share: &Share, before: u64, after: u64) {
        share.change(before, after);
        self.count(before, after);
    }

    /// Plain load and store suffice: writers hold the lock. What is taken off was put on, so
    /// nothing wraps.
    fn count(&self, before: u64, after: u64) {
        let pages = self
            .pages()
            .wrapping_sub(before.min(Self::MOST_PAGES))
            .wrapping_add(after.min(Self::MOST_PAGES));
        self.pages.store(pages, Ordering::Relaxed);
    }
}

impl<Id: Copy + Eq> Lru<Id> {
    /// The range to purge first.
    pub fn oldest(&self) -> Option<Id> {
        self.oldest.get()
    }

    /// The range to purge after `id`.
    pub fn after(&self, store: &impl Ranges<Id = Id>, id: Id) -> Option<Id> {
        store.range(id).place.younger.get()
    }

    /// The range to look at next, for a purge that takes some ranges and leaves others, and gives
    /// the lock back between: where [`Lru::set_cursor`] left it, or what is next since that one was
    /// taken out; after the youngest, the oldest.
    pub fn cursor(&self) -> Option<Id> {
        self.cursor.get().or(self.oldest.get())
    }

    /// Looks at this range next; `None`: at the oldest.
    pub fn set_cursor(&self, id: Option<Id>) {
        self.cursor.set(id);
    }

    /// Puts a range, whose bounds are set, at the young end.
    pub(crate) fn push(&self, store: &impl Ranges<Id = Id>, share: &Share, id: Id) {
        self.link(store, id);
        self.ranges.set(self.ranges.get().wrapping_add(1));
        self.resize(share, 0, store.range(id).pages());
    }

    fn link(&self, store: &impl Ranges<Id = Id>, id: Id) {
        let range = store.range(id);
        let older = self.youngest.replace(Some(id));
        range.place.older.set(older);
        range.place.younger.set(None);
        match older {
            Some(older) => store.range(older).place.younger.set(Some(id)),
            None => self.oldest.set(Some(id)),
        }
    }

    /// Takes a range out, before its bounds change.
    pub(crate) fn remove(&self, store: &impl Ranges<Id = Id>, share: &Share, id: Id) {
        self.unlink(store, id);
        self.ranges.set(self.ranges.get().wrapping_sub(1));
        self.resize(share, store.range(id).pages(), 0);
    }

    /// Makes a range the youngest.
    pub fn renew(&self, store: &impl Ranges<Id = Id>, id: Id) {
        self.unlink(store, id);
        self.link(store, id);
    }

    fn unlink(&self, store: &impl Ranges<Id = Id>, id: Id) {
        let range: &Range<Id> = store.range(id);
        let (older, younger) = (range.place.older.take(), range.place.younger.take());
        match older {
            Some(older) => store.range(older).place.younger.set(younger),
            None => self.oldest.set(younger),
        }
        match younger {
            Some(younger) => store.range(younger).place.older.set(older),
            None => self.youngest.set(older),
        }
        if self.cursor.get() == Some(id) {
            self.cursor.set(younger);
        }
    }
}

impl<Id> Default for Lru<Id> {
    fn default() -> Self {
        Self::new()
    }
}

/// How many pages of one region are in the purge order. Written under the order's lock, read by
/// anyone.
#[derive(Default)]
pub struct Share(AtomicU64);

impl Share {
    /// Of a region without unpinned ranges.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// How many pages.
    pub fn pages(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Ranges of a region share no page, so that this can neither overflow nor fall below zero.
    pub(crate) fn change(&self, before: u64, after: u64) {
        self.0.store(self.pages().wrapping_sub(before).wrapping_add(after), Ordering::Relaxed);
    }
}
