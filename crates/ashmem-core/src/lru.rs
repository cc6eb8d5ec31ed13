//! The purge order: every unpinned range that still holds its pages, over all regions, oldest first (SHR-04).
//!
//! A list threaded through the ranges themselves, so that putting in and taking out cost the same whatever its length.
//! Its links, and nothing else of a range, are guarded by the one lock of [`Store::with_lru`].

use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::pins::Range;
use crate::store::Store;

/// A range's place in the purge order.
pub(crate) struct Place<Id> {
    older: Cell<Option<Id>>,
    younger: Cell<Option<Id>>,
}

impl<Id> Place<Id> {
    pub(crate) const fn nowhere() -> Self {
        Self { older: Cell::new(None), younger: Cell::new(None) }
    }
}

/// The least recently unpinned order.
pub struct Lru<Id> {
    oldest: Cell<Option<Id>>,
    youngest: Cell<Option<Id>>,
    /// Written under the lock, read by anyone (SHR-01).
    pages: AtomicU64,
}

impl<Id> Lru<Id> {
    /// An order without ranges.
    pub const fn new() -> Self {
        Self { oldest: Cell::new(None), youngest: Cell::new(None), pages: AtomicU64::new(0) }
    }

    /// How many pages the ranges in the order hold; may be read without the lock (SHR-01, PURGE-02).
    pub fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }

    /// Takes `pages` off the count: a range in the order became smaller but kept its place (PIN-17, PIN-18).
    pub(crate) fn lose(&self, pages: u64) {
        // Plain load and store suffice: writers hold the lock. Saturating, so that no fault elsewhere can make the
        // count huge, where the kernel reads it as a magic number (BUG-13).
        self.pages.store(self.pages().saturating_sub(pages), Ordering::Relaxed);
    }
}

impl<Id: Copy + Eq> Lru<Id> {
    /// The range to purge first.
    pub fn oldest(&self) -> Option<Id> {
        self.oldest.get()
    }

    /// The range to purge after `id`.
    pub fn after(&self, store: &impl Store<Id = Id>, id: Id) -> Option<Id> {
        store.range(id).place.younger.get()
    }

    /// Puts a range, whose bounds are set, at the young end.
    pub(crate) fn push(&self, store: &impl Store<Id = Id>, id: Id) {
        let range = store.range(id);
        let older = self.youngest.replace(Some(id));
        range.place.older.set(older);
        range.place.younger.set(None);
        match older {
            Some(older) => store.range(older).place.younger.set(Some(id)),
            None => self.oldest.set(Some(id)),
        }
        self.pages.store(self.pages().saturating_add(range.pages()), Ordering::Relaxed);
    }

    /// Takes a range out, before its bounds change.
    pub(crate) fn remove(&self, store: &impl Store<Id = Id>, id: Id) {
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
        self.lose(range.pages());
    }
}

impl<Id> Default for Lru<Id> {
    fn default() -> Self {
        Self::new()
    }
}
