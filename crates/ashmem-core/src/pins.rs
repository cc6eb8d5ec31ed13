// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
//! The unpinned ranges of one region: what PIN, UNPIN and a purge do to them.
//!
//! A page is pinned unless a range holds it. A range is either *purgeable*, and then it has a place
//! in the purge order ([`crate::lru`]), or *purged*, and then it only remembers that its pages were
//! taken. Ranges never share a page, and ranges that merely touch stay apart (PIN-22).
//!
//! Two locks. The region's guards the tree. The one of [`Store::with_lru`] guards the order, and
//! with it every range that has a place there: its bounds change and its purged mark is set under
//! that lock alone. So a purge needs no region's lock, and a caller that holds a region's must ask
//! under the other whether a range has been purged by now.
//!
//! Nothing here allocates: an operation that may need a range more takes a spare that was allocated
//! before the region's lock was taken, and leaves in it what it did not use (PIN-32). Nothing here
//! runs long: an operation over many ranges stops after as many as its caller allows, in a
//! consistent state, and continues when it is called again.

use crate::abi;
use crate::lru::{Lru, Share};
use crate::range::Span;
use crate::store::Store;
use crate::tree::Tree;

/// The answer of PIN: whether any range it met was purged (PIN-11 to PIN-14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinned {
    /// The pages hold what was written.
    Intact,
    /// At least one of the ranges was purged.
    Purged,
}

impl Pinned {
    /// As PIN answers: [`abi::NOT_PURGED`] or [`abi::WAS_PURGED`].
    pub const fn answer(self) -> i64 {
        match self {
            Self::Intact => abi::NOT_PURGED,
            Self::Purged => abi::WAS_PURGED,
        }
    }
}

/// How far a PIN came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What became of the pages it pinned.
    pub pinned: Pinned,
    /// What is left to pin, if it met as many ranges as it was allowed.
    pub rest: Option<Span>,
}

/// How far an UNPIN came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// To its end.
    Done,
    /// Over as many ranges as it was allowed; the same call again continues.
    More,
}

/// How far a purge of one region came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeStep {
    /// It took this range's pages; the caller removes them, and goes on behind them.
    Purged(Span),
    /// It met as many purged ranges as it was allowed; the caller goes on at this page.
    Passed(u64),
    /// No range is left.
    End,
}

/// The operation needs a spare range and was given none; nothing was changed. Allocate one and come
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeedSpare;

/// The pages of a region's ranges by their state, for people (`fdinfo`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RangePages {
    /// Pages in ranges that can be purged.
    pub unpinned: u64,
    /// Pages in ranges that were purged.
    pub purged: u64,
}

/// The unpinned ranges of one region.
pub struct Pins<Id> {
    tree: Tree<Id>,
    /// Pages in all ranges.
    pages: u64,
}

impl<Id: Copy + Eq> Pins<Id> {
    /// A region all of whose pages are pinned.
    pub const fn new() -> Self {
        Self { tree: Tree::new(), pages: 0 }
    }

    /// Unpins `span`: what it overlaps and `span` itself become one range at the young end of the
    /// order (PIN-21).
    ///
    /// Inside one range already, nothing changes, not even the age (PIN-20). If any part was
    /// purged, so is the whole, and it has no place in the order (PIN-23). Swallows `most` ranges
    /// at the most, then asks to be called again.
    ///
    /// # Errors
    /// [`NeedSpare`] if nothing overlaps and `spare` is empty.
    #[inline(always)]
    pub fn unpin<S: Store<Id = Id>>(
        &mut self,
        store: &S,
        share: &Share,
        span: Span,
        spare: &mut Option<Id>,
        most: usize,
    ) -> Result<Progress, NeedSpare> {
        let lowest = match self.tree.seek(store, span) {
            Ok(lowest) => lowest,
            Err(slot) => {
                let id = spare.take().ok_or(NeedSpare)?;
                store.range(id).fill(span, false);
                self.pages = self.pages.wrapping_add(span.pages());
                self.tree.insert(store, slot, id);
                store.with_lru(|lru| lru.push(store, share, id));
                return Ok(Progress::Done);
            }
        };

        let range = store.range(lowest);
        if range.first() <= span.first && span.last <= range.last() {
            return Ok(Progress::Done);
        }
        // The lowest range grows into the whole; the others it swallows go.
        let (mut purged, mut last, mut left) = (false, range.last(), most);
        let mut progress = Progress::Done;
        while let Some(id) = self.tree.next_overlap(store, lowest, span) {
            if left == 0 {
                progress = Progress::More;
                break;
            }
            left = left.wrapping_sub(1);
            last = store.range(id).last();
            purged |= self.take_out(store, share, id);
        }
        if progress == Progress::Done {
            last = last.max(span.last);
        }
        let before = range.pages();
        store.with_lru(|lru| {
            purged |= range.purged();
            if !range.purged() {
                lru.remove(store, share, lowest);
            }
            range.set_first(range.first().min(span.first));
            range.set_last(last);
            if purged {
                range.mark_purged();
            } else {
                lru.push(store, share, lowest);
            }
        });
        self.pages = self.pages.wrapping_sub(before).wrapping_add(range.pages());
        Ok(progress)
    }

    /// Pins `span`: takes its pages out of every range that holds some (PIN-16 to PIN-19), of
    /// `most` ranges at the most.
    ///
    /// # Errors
    /// [`NeedSpare`] if `span` lies strictly inside a range, which then falls in two, and `spare`
    /// is empty.
    #[inline(always)]
    pub fn pin<S: Store<Id = Id>>(
        &mut self,
        store: &S,
        share: &Share,
        span: Span,
        spare: &mut Option<Id>,
        most: usize,
    ) -> Result<Step, NeedSpare> {
        let (mut purged, mut rest, mut left) = (false, None, most);
        let mut at = self.tree.seek(store, span).ok();
        while let Some(id) = at {
            let range = store.range(id);
            let (first, last) = (range.first(), range.last());
            if left == 0 {
                rest = Some(Span { first: first.max(span.first), last: span.last });
                break;
            }
            left = left.wrapping_sub(1);
            // Case 4 first, since it alone may have to come again: strictly inside, the low part
            // stays where it is and the high part becomes a new range, the youngest; both remember
            // a purge (PIN-19).
            if first < span.first && span.last < last {
                let high = spare.take().ok_or(NeedSpare)?;
                purged |= self.split(store, share, id, span, high);
                break;
            }
            at = self.tree.next_overlap(store, id, span);
            purged |= if span.first <= first && last <= span.last {
                // Case 1: all of the range (PIN-16).
                self.take_out(store, share, id)
            } else if span.first <= first {
                // Case 2: its low part; the rest keeps its place (PIN-17). The order in the tree is
                // the same.
                self.shrink(store, share, id, || range.set_first(span.last.wrapping_add(1)))
            } else {
                // Case 3: its high part; the rest keeps its place (PIN-18).
                self.shrink(store, share, id, || range.set_last(span.first.wrapping_sub(1)))
            };
        }
        Ok(Step { pinned: if purged { Pinned::Purged } else { Pinned::Intact }, rest })
    }

    /// Purges the lowest range that shares a page with `span` and still holds its pages, whatever
    /// its age; passes by `most` purged ranges at the most.
    pub fn purge_lowest<S: Store<Id = Id>>(
        &self,
        store: &S,
        share: &Share,
        span: Span,
        most: usize,
    ) -> PurgeStep {
        let mut at = self.tree.seek(store, span).ok();
        let mut left = most;
        while let Some(id) = at {
            let range = store.range(id);
            if left == 0 {
                return PurgeStep::Passed(range.first().max(span.first));
            }
            let taken =
                store.with_lru(|lru| (!range.purged()).then(|| purge(store, lru, share, id)));
            if let Some(taken) = taken {
                return PurgeStep::Purged(taken);
            }
            left = left.wrapping_sub(1);
            at = self.tree.next_overlap(store, id, span);
        }
        PurgeStep::End
    }

    /// Whether every page of `span` is pinned (PIN-15).
    pub fn all_pinned<S: Store<Id = Id>>(&self, store: &S, span: Span) -> bool {
        self.tree.seek(store, span).is_err()
    }

    /// Drops every range of a region that is released (OPEN-08). Calls [`Store::pause`] between
    /// ranges.
    pub fn clear<S: Store<Id = Id>>(&mut self, store: &S, share: &Share) {
        self.pages = 0;
        self.tree.drain(store, |id| {
            forget(store, share, id);
            store.pause();
        });
    }

    /// The pages by their state; `share` is the region's.
    pub fn range_pages(&self, share: &Share) -> RangePages {
        let unpinned = share.pages();
        RangePages { unpinned, purged: self.pages.saturating_sub(unpinned) }
    }

    /// Visits `most` ranges at the most, from the lowest page up, each with its purged mark.
    pub fn for_each<S: Store<Id = Id>>(
        &self,
        store: &S,
        most: usize,
        mut visit: impl FnMut(Span, bool),
    ) {
        let (mut at, mut left) = (self.tree.first(store), most);
        while let Some(id) = at.filter(|_| left > 0) {
            left = left.wrapping_sub(1);
            let range = store.range(id);
            visit(range.span(), range.purged());
            at = self.tree.next(store, id);
        }
    }

    /// Takes a range out of the tree and gives it back; answers whether it was purged.
    fn take_out<S: Store<Id = Id>>(&mut self, store: &S, share: &Share, id: Id) -> bool {
        self.pages = self.pages.wrapping_sub(store.range(id).pages());
        self.tree.remove(store, id);
        forget(store, share, id)
    }

    /// Moves a bound of a range inwards without touching its place in the order; answers whether it
    /// was purged.
    fn shrink<S: Store<Id = Id>>(
        &mut self,
        store: &S,
        share: &Share,
        id: Id,
        move_bound: impl FnOnce(),
    ) -> bool {
        let range = store.range(id);
        let before = range.pages();
        let purged = store.with_lru(|lru| {
            move_bound();
            if !range.purged() {
                lru.resize(share, before, range.pages());
            }
            range.purged()
        });
        self.pages = self.pages.wrapping_sub(before).wrapping_add(range.pages());
        purged
    }

    /// Takes `hole` out of the middle of a range; `high` becomes what lies above. Answers whether
    /// it was purged.
    fn split<S: Store<Id = Id>>(
        &mut self,
        store: &S,
        share: &Share,
        low: Id,
        hole: Span,
        high: Id,
    ) -> bool {
        let above = Span { first: hole.last.wrapping_add(1), last: store.range(low).last() };
        let purged = self
            .shrink(store, share, low, || store.range(low).set_last(hole.first.wrapping_sub(1)));
        self.pages = self.pages.wrapping_add(above.pages());
        store.range(high).fill(above, purged);
        self.tree.insert(store, self.tree.slot_above(store, low), high);
        if !purged {
            store.with_lru(|lru| lru.push(store, share, high));
        }
        purged
    }
}

/// Purges a range that has a place in the order: takes it out of the order and marks it (SHR-05).
/// The caller holds the order's lock, and removes the pages it answers.
pub fn purge<S: Store>(store: &S, lru: &Lru<S::Id>, share: &Share, id: S::Id) -> Span {
    let range = store.range(id);
    lru.remove(store, share, id);
    range.mark_purged();
    range.span()
}

impl<Id: Copy + Eq> Default for Pins<Id> {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes a range that is in no tree any more out of the order, and gives it back; answers whether
/// it was purged.
#[inline(always)]
fn forget<S: Store>(store: &S, share: &Share, id: S::Id) -> bool {
    let range = store.range(id);
    let purged = store.with_lru(|lru| {
        if !range.purged() {
            lru.remove(store, share, id);
        }
        range.purged()
    });
    store.free(id);
    purged
}
