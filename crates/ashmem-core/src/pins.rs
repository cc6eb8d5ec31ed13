//! The unpinned ranges of one region: what PIN, UNPIN and a purge do to them.
//!
//! A page is pinned unless a range holds it. A range is either *purgeable*, and then it has a place in the purge order
//! ([`crate::lru`]), or *purged*, and then it only remembers that its pages were taken. Ranges never share a page, and
//! ranges that merely touch stay apart (PIN-22).
//!
//! Two locks: the region's guards the tree, the bounds and the purged mark; the one of [`Store::with_lru`] guards the
//! places in the order. A purge holds both. Nothing here allocates: an operation that may need a range more takes a
//! spare that was allocated before the region's lock was taken, and leaves in it what it did not use (PIN-32).

use core::cell::Cell;

use crate::lru::Place;
use crate::store::Store;
use crate::tree::{Links, Tree};

/// A closed interval of pages; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    first: u64,
    last: u64,
}

impl Span {
    /// The pages `first..=last`; `None` where that holds no page, or a page no file can have.
    pub const fn new(first: u64, last: u64) -> Option<Self> {
        if first <= last && last < Range::<()>::PAGE_LIMIT { Some(Self { first, last }) } else { None }
    }

    /// The lowest page.
    pub const fn first(self) -> u64 {
        self.first
    }

    /// The highest page.
    pub const fn last(self) -> u64 {
        self.last
    }

    /// How many pages.
    pub const fn pages(self) -> u64 {
        self.last.wrapping_sub(self.first).wrapping_add(1)
    }
}

/// One unpinned range, threaded into its region's tree and into the purge order. 56 bytes on a 64-bit machine.
pub struct Range<Id> {
    pub(crate) links: Links<Id>,
    pub(crate) place: Place<Id>,
    /// First page, purged mark and rank in the tree: see the constants below.
    packed: Cell<u64>,
    last: Cell<u64>,
}

impl<Id> Range<Id> {
    /// Bits 0 to 6 of `packed` hold the rank, which is at most twice the logarithm of the number of ranges.
    const RANK: u64 = 0x7f;
    const PURGED: u64 = 0x80;
    const FIRST_SHIFT: u32 = 8;
    /// Page numbers stay below this, so that one fits beside the mark and the rank. A file has less than 2^63 bytes,
    /// so it has less than 2^51 pages.
    pub(crate) const PAGE_LIMIT: u64 = 1 << 52;

    /// A range that is nowhere yet: a spare.
    pub const fn spare() -> Self {
        Self { links: Links::alone(), place: Place::nowhere(), packed: Cell::new(0), last: Cell::new(0) }
    }

    /// The pages it holds.
    pub fn span(&self) -> Span {
        Span { first: self.first(), last: self.last() }
    }

    /// Whether its pages were purged since they were unpinned.
    pub fn purged(&self) -> bool {
        self.packed.get() & Self::PURGED != 0
    }

    pub(crate) fn pages(&self) -> u64 {
        self.span().pages()
    }

    pub(crate) fn first(&self) -> u64 {
        self.packed.get() >> Self::FIRST_SHIFT
    }

    pub(crate) fn last(&self) -> u64 {
        self.last.get()
    }

    pub(crate) fn rank(&self) -> u8 {
        (self.packed.get() & Self::RANK) as u8
    }

    pub(crate) fn set_rank(&self, rank: u8) {
        self.packed.set(self.packed.get() & !Self::RANK | u64::from(rank) & Self::RANK);
    }

    /// Gives a range its first contents.
    pub(crate) fn fill(&self, span: Span, purged: bool) {
        self.packed.set(span.first << Self::FIRST_SHIFT | if purged { Self::PURGED } else { 0 });
        self.last.set(span.last);
    }

    fn set_first(&self, first: u64) {
        let flags = self.packed.get() & (Self::PURGED | Self::RANK);
        self.packed.set(first << Self::FIRST_SHIFT | flags);
    }

    fn mark_purged(&self) {
        self.packed.set(self.packed.get() | Self::PURGED);
    }
}

/// The answer of PIN: whether any range it met was purged (PIN-11 to PIN-14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinned {
    /// The pages hold what was written.
    Intact,
    /// At least one of the ranges was purged.
    Purged,
}

/// The operation needs a spare range and was given none; nothing was changed. Allocate one and come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeedSpare;

/// How a region's pages stand, for people (`fdinfo`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Pages in ranges that can be purged.
    pub unpinned: u64,
    /// Pages in ranges that were purged.
    pub purged: u64,
}

/// The unpinned ranges of one region.
pub struct Pins<Id> {
    tree: Tree<Id>,
}

impl<Id: Copy + Eq> Pins<Id> {
    /// A region all of whose pages are pinned.
    pub const fn new() -> Self {
        Self { tree: Tree::new() }
    }

    /// Unpins `span`: what it overlaps and `span` itself become one range at the young end of the order (PIN-21).
    ///
    /// Inside one range already, nothing changes, not even the age (PIN-20). If any part was purged, so is the whole,
    /// and it has no place in the order (PIN-23).
    ///
    /// # Errors
    /// [`NeedSpare`] if nothing overlaps and `spare` is empty.
    pub fn unpin<S: Store<Id = Id>>(&mut self, store: &S, span: Span, spare: &mut Option<Id>) -> Result<(), NeedSpare> {
        let lowest = match self.tree.seek(store, span) {
            Ok(lowest) => lowest,
            Err(slot) => {
                let id = spare.take().ok_or(NeedSpare)?;
                store.range(id).fill(span, false);
                self.tree.insert(store, slot, id);
                store.with_lru(|lru| lru.push(store, id));
                return Ok(());
            }
        };

        let range = store.range(lowest);
        if range.first() <= span.first && span.last <= range.last() {
            return Ok(());
        }
        // The lowest range grows into the whole; the others it swallows go.
        let mut purged = range.purged();
        let mut last = span.last.max(range.last());
        while let Some(id) = self.tree.next_overlap(store, lowest, span) {
            let swallowed = store.range(id);
            purged |= swallowed.purged();
            last = last.max(swallowed.last());
            self.take_out(store, id);
        }
        store.with_lru(|lru| {
            if !range.purged() {
                lru.remove(store, lowest);
            }
            range.set_first(range.first().min(span.first));
            range.last.set(last);
            if purged {
                range.mark_purged();
            } else {
                lru.push(store, lowest);
            }
        });
        Ok(())
    }

    /// Pins `span`: takes its pages out of every range that holds some (PIN-16 to PIN-19).
    ///
    /// # Errors
    /// [`NeedSpare`] if `span` lies strictly inside a range, which then falls in two, and `spare` is empty.
    pub fn pin<S: Store<Id = Id>>(
        &mut self,
        store: &S,
        span: Span,
        spare: &mut Option<Id>,
    ) -> Result<Pinned, NeedSpare> {
        let mut pinned = Pinned::Intact;
        let mut at = self.tree.seek(store, span).ok();
        while let Some(id) = at {
            let range = store.range(id);
            // Case 4 first, since it alone may have to come again: strictly inside, the low part stays where it is and
            // the high part becomes a new range, the youngest; both remember a purge (PIN-19).
            if range.first() < span.first && span.last < range.last() {
                let high = spare.take().ok_or(NeedSpare)?;
                self.split(store, id, span, high);
                return Ok(if range.purged() { Pinned::Purged } else { pinned });
            }
            if range.purged() {
                pinned = Pinned::Purged;
            }
            at = self.tree.next_overlap(store, id, span);
            if span.first <= range.first() && range.last() <= span.last {
                // Case 1: all of the range (PIN-16).
                self.take_out(store, id);
            } else if span.first <= range.first() {
                // Case 2: its low part; the rest keeps its place (PIN-17). The order in the tree is the same.
                let lost = span.last.wrapping_sub(range.first()).wrapping_add(1);
                self.shrink(store, id, lost, || range.set_first(span.last.wrapping_add(1)));
            } else {
                // Case 3: its high part; the rest keeps its place (PIN-18).
                let lost = range.last().wrapping_sub(span.first).wrapping_add(1);
                self.shrink(store, id, lost, || range.last.set(span.first.wrapping_sub(1)));
            }
        }
        Ok(pinned)
    }

    /// Whether every page of `span` is pinned (PIN-15).
    pub fn all_pinned<S: Store<Id = Id>>(&self, store: &S, span: Span) -> bool {
        self.tree.seek(store, span).is_err()
    }

    /// Purges one of this region's ranges, which has a place in the order: takes it out of the order and marks it
    /// (SHR-05). The caller holds the order's lock, and removes the pages it answers before it unlocks the region.
    pub fn purge<S: Store<Id = Id>>(&mut self, store: &S, lru: &crate::lru::Lru<Id>, id: Id) -> Span {
        let range = store.range(id);
        lru.remove(store, id);
        range.mark_purged();
        range.span()
    }

    /// Drops every range: the region goes (OPEN-08).
    pub fn clear<S: Store<Id = Id>>(&mut self, store: &S) {
        self.tree.drain(store, |id| forget(store, id));
    }

    /// Counts the pages by their state, in time linear in the number of ranges.
    pub fn census<S: Store<Id = Id>>(&self, store: &S) -> Census {
        let mut census = Census::default();
        self.for_each(store, |span, purged| {
            let count = if purged { &mut census.purged } else { &mut census.unpinned };
            *count = count.saturating_add(span.pages());
        });
        census
    }

    /// Visits the ranges from the lowest page up, each with its purged mark.
    pub fn for_each<S: Store<Id = Id>>(&self, store: &S, mut visit: impl FnMut(Span, bool)) {
        let mut at = self.tree.first(store);
        while let Some(id) = at {
            let range = store.range(id);
            visit(range.span(), range.purged());
            at = self.tree.next(store, id);
        }
    }

    fn take_out<S: Store<Id = Id>>(&mut self, store: &S, id: Id) {
        self.tree.remove(store, id);
        forget(store, id);
    }

    /// Moves one bound of a range inwards, by `lost` pages, without touching its place in the order.
    fn shrink<S: Store<Id = Id>>(&mut self, store: &S, id: Id, lost: u64, move_bound: impl FnOnce()) {
        if store.range(id).purged() {
            move_bound();
        } else {
            store.with_lru(|lru| {
                move_bound();
                lru.lose(lost);
            });
        }
    }

    fn split<S: Store<Id = Id>>(&mut self, store: &S, low: Id, hole: Span, high: Id) {
        let (range, new) = (store.range(low), store.range(high));
        let above = Span { first: hole.last.wrapping_add(1), last: range.last() };
        let lost = range.last().wrapping_sub(hole.first).wrapping_add(1);
        new.fill(above, range.purged());
        self.shrink(store, low, lost, || range.last.set(hole.first.wrapping_sub(1)));
        self.tree.insert(store, self.tree.slot_above(store, low), high);
        if !new.purged() {
            store.with_lru(|lru| lru.push(store, high));
        }
    }
}

impl<Id: Copy + Eq> Default for Pins<Id> {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes a range that is in no tree any more out of the order, and gives it back.
fn forget<S: Store>(store: &S, id: S::Id) {
    if !store.range(id).purged() {
        store.with_lru(|lru| lru.remove(store, id));
    }
    store.free(id);
}
