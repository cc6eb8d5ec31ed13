// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
//! The balanced tree in which a region keeps its unpinned ranges, ordered by page.
//!
//! Ranges never overlap, so their first pages order them. Links and ranks live in the ranges and
//! are guarded by the region's lock. Search, insertion and removal take at most 2 log2(n) steps,
//! whatever order the ranges came in: the caller is a stranger's program, so an expected bound
//! would not do.
//!
//! A weak AVL tree (Haeupler, Sen, Tarjan: "Rank-Balanced Trees"): a range's rank is greater than
//! its children's by one or two, a missing child's is 0, a leaf's is 1. Without removals it is an
//! AVL tree; with them it changes a constant number of ranges an operation on average, where an AVL
//! tree may climb to the root each time: and UNPIN and PIN alternate.

use crate::range::{Range, Ranges, Side, Span};

/// A place in the tree where a range can hang; stale after any change.
pub(crate) struct Slot<Id> {
    parent: Option<Id>,
    side: Side,
}

/// The tree: its root, or nothing.
pub(crate) struct Tree<Id> {
    root: Option<Id>,
}

impl<Id> Tree<Id> {
    pub(crate) const fn new() -> Self {
        Self { root: None }
    }
}

impl<Id: Copy + Eq> Tree<Id> {
    /// The lowest range that shares a page with `span`, or the place where a range of `span` would
    /// hang.
    #[inline]
    pub(crate) fn seek<S: Ranges<Id = Id>>(&self, store: &S, span: Span) -> Result<Id, Slot<Id>> {
        let bound = Range::<Id>::bound(span.first());
        let mut found = None;
        let mut slot = Slot { parent: None, side: Side::Left };
        let mut at = self.root;
        while let Some(id) = at {
            let range = store.range(id);
            let side = if range.reaches(bound) { Side::Left } else { Side::Right };
            if side == Side::Left {
                found = at;
            }
            slot = Slot { parent: at, side };
            at = range.links.child(side);
        }
        found.filter(|&id| store.range(id).first() <= span.last()).ok_or(slot)
    }

    /// The next higher range, if it shares a page with `span`.
    pub(crate) fn next_overlap<S: Ranges<Id = Id>>(
        &self,
        store: &S,
        id: Id,
        span: Span,
    ) -> Option<Id> {
        // Most often there can be none, and nobody has to climb for it.
        if store.range(id).last() >= span.last() {
            return None;
        }
        self.next(store, id).filter(|&id| store.range(id).first() <= span.last())
    }

    /// The lowest range of all.
    pub(crate) fn first<S: Ranges<Id = Id>>(&self, store: &S) -> Option<Id> {
        self.root.map(|root| lowest(store, root))
    }

    /// The next higher range.
    pub(crate) fn next<S: Ranges<Id = Id>>(&self, store: &S, id: Id) -> Option<Id> {
        let links = &store.range(id).links;
        if let Some(right) = links.right.get() {
            return Some(lowest(store, right));
        }
        let (mut below, mut above) = (id, links.parent.get());
        while let Some(parent) = above {
            let links = &store.range(parent).links;
            if links.left.get() == Some(below) {
                break;
            }
            (below, above) = (parent, links.parent.get());
        }
        above
    }

    /// The place right above `id`.
    pub(crate) fn slot_above<S: Ranges<Id = Id>>(&self, store: &S, id: Id) -> Slot<Id> {
        match store.range(id).links.right.get() {
            None => Slot { parent: Some(id), side: Side::Right },
            Some(right) => Slot { parent: Some(lowest(store, right)), side: Side::Left },
        }
    }

    /// Hangs a range, which overlaps none of the tree's, where [`Tree::seek`] or
    /// [`Tree::slot_above`] said.
    pub(crate) fn insert<S: Ranges<Id = Id>>(&mut self, store: &S, slot: Slot<Id>, id: Id) {
        let range = store.range(id);
        range.links.left.set(None);
        range.links.right.set(None);
        range.links.parent.set(slot.parent);
        range.set_rank(1);
        match slot.parent {
            None => self.root = Some(id),
            Some(parent) => {
                store.range(parent).links.set_child(slot.side, Some(id));
                self.rebalance_insertion(store, id);
            }
        }
    }

    /// Takes a range out; its links are stale afterwards.
    pub(crate) fn remove<S: Ranges<Id = Id>>(&mut self, store: &S, id: Id) {
        let range = store.range(id);
        let (left, right, parent) =
            (range.links.left.get(), range.links.right.get(), range.links.parent.get());
        // The range that lost a child, and on which side.
        let (shortened, side) = match (left, right) {
            (None, child) | (child, None) => {
                let side = self.replace(store, parent, id, child);
                (parent, side)
            }
            // The next higher range, which has no left child, takes the place and the rank.
            (Some(left), Some(right)) => {
                let successor = lowest(store, right);
                let links = &store.range(successor).links;
                let shortened = if successor == right {
                    (Some(successor), Side::Right)
                } else {
                    let above = links.parent.get();
                    let side = self.replace(store, above, successor, links.right.get());
                    links.right.set(Some(right));
                    store.range(right).links.parent.set(Some(successor));
                    (above, side)
                };
                links.left.set(Some(left));
                store.range(left).links.parent.set(Some(successor));
                store.range(successor).set_rank(range.rank());
                self.replace(store, parent, id, Some(successor));
                shortened
            }
        };
        if let Some(shortened) = shortened {
            self.rebalance_removal(store, shortened, side);
        }
    }

    /// Takes out every range in turn, in no promised order, in one pass without rebalancing.
    pub(crate) fn drain<S: Ranges<Id = Id>>(&mut self, store: &S, mut each: impl FnMut(Id)) {
        let mut at = self.root.take();
        while let Some(id) = at {
            let links = &store.range(id).links;
            // Down to a leaf, which is cut off its parent before it is handed out.
            at = links.left.take().or_else(|| links.right.take()).or_else(|| {
                let parent = links.parent.get();
                each(id);
                parent
            });
        }
    }

    /// Hangs `child` where `old` hung below `parent`, and answers on which side that is.
    fn replace<S: Ranges<Id = Id>>(
        &mut self,
        store: &S,
        parent: Option<Id>,
        old: Id,
        child: Option<Id>,
    ) -> Side {
        let mut side = Side::Left;
        match parent {
            None => self.root = child,
            Some(parent) => {
                let links = &store.range(parent).links;
                side = links.side_of(old);
                links.set_child(side, child);
            }
        }
        if let Some(child) = child {
            store.range(child).links.parent.set(parent);
        }
        side
    }

    /// Rebalances above `child`, whose rank has grown to its parent's at most.
    fn rebalance_insertion<S: Ranges<Id = Id>>(&mut self, store: &S, mut child: Id) {
        loop {
            let rank = store.range(child).rank();
            let Some(parent) = store.range(child).links.parent.get() else { return };
            let above = store.range(parent);
            if above.rank() > rank {
                return;
            }
            let side = above.links.side_of(child);
            if gap(above.rank(), store, above.links.child(side.other())) == 1 {
                above.set_rank(rank.saturating_add(1));
                child = parent;
                continue;
            }
            // The sibling lies two below: the child's subtree comes up on this side.
            let inner = store.range(child).links.child(side.other());
            if let Some(inner) = inner
                && gap(rank, store, Some(inner)) == 1
            {
                self.rotate(store, child, side);
                self.rotate(store, parent, side.other());
                store.range(inner).set_rank(rank);
                store.range(child).set_rank(rank.saturating_sub(1));
            } else {
                self.rotate(store, parent, side.other());
            }
            above.set_rank(rank.saturating_sub(1));
            return;
        }
    }

    /// Rebalances from `parent` up, whose subtree on `side` has lost a rank.
    fn rebalance_removal<S: Ranges<Id = Id>>(&mut self, store: &S, mut parent: Id, mut side: Side) {
        loop {
            let above = store.range(parent);
            let rank = above.rank();
            let sibling = above.links.child(side.other());
            let lost = gap(rank, store, above.links.child(side));
            match sibling {
                // A leaf has rank 1, no more.
                None if above.links.child(side).is_none() && rank > 1 => above.set_rank(1),
                _ if lost < 3 => return,
                None => return,
                Some(sibling) if gap(rank, store, Some(sibling)) == 1 => {
                    let beside = store.range(sibling);
                    let (inner, outer) =
                        (beside.links.child(side), beside.links.child(side.other()));
                    let outer_gap = gap(beside.rank(), store, outer);
                    if outer_gap == 2 && gap(beside.rank(), store, inner) == 2 {
                        beside.set_rank(beside.rank().saturating_sub(1));
                        above.set_rank(rank.saturating_sub(1));
                    } else {
                        self.lift_sibling(store, parent, sibling, side, outer_gap);
                        return;
                    }
                }
                Some(_) => above.set_rank(rank.saturating_sub(1)),
            }
            let Some(next) = above.links.parent.get() else { return };
            side = store.range(next).links.side_of(parent);
            parent = next;
        }
    }

    /// The last step of a removal: the sibling, or its inner child, takes the parent's place.
    fn lift_sibling<S: Ranges<Id = Id>>(
        &mut self,
        store: &S,
        parent: Id,
        sibling: Id,
        side: Side,
        outer_gap: u8,
    ) {
        let (above, beside) = (store.range(parent), store.range(sibling));
        let rank = above.rank();
        if outer_gap == 1 {
            self.rotate(store, parent, side);
            beside.set_rank(rank);
            let leaf = above.links.left.get().is_none() && above.links.right.get().is_none();
            above.set_rank(if leaf { 1 } else { rank.saturating_sub(1) });
        } else if let Some(inner) = beside.links.child(side) {
            self.rotate(store, sibling, side.other());
            self.rotate(store, parent, side);
            store.range(inner).set_rank(rank);
            beside.set_rank(rank.saturating_sub(2));
            above.set_rank(rank.saturating_sub(2));
        }
    }

    /// Turns `id` down to `side`: its child on the other side takes its place. Ranks stay as they
    /// are.
    fn rotate<S: Ranges<Id = Id>>(&mut self, store: &S, id: Id, side: Side) {
        let links = &store.range(id).links;
        let Some(top) = links.child(side.other()) else { return };
        let above = &store.range(top).links;
        let inner = above.child(side);
        links.set_child(side.other(), inner);
        if let Some(inner) = inner {
            store.range(inner).links.parent.set(Some(id));
        }
        above.set_child(side, Some(id));
        self.replace(store, links.parent.get(), id, Some(top));
        links.parent.set(Some(top));
    }
}

fn lowest<S: Ranges>(store: &S, mut id: S::Id) -> S::Id {
    while let Some(left) = store.range(id).links.left.get() {
        id = left;
    }
    id
}

/// How far a child lies below `rank`.
fn gap<S: Ranges>(rank: u8, store: &S, child: Option<S::Id>) -> u8 {
    rank.saturating_sub(child.map_or(0, |id| store.range(id).rank()))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::{Tree, gap};
    use crate::range::{Range, Ranges, Span};

    /// Ranges that are never given back.
    struct Shelf(Vec<Range<usize>>);

    impl Ranges for Shelf {
        type Id = usize;

        #[expect(clippy::indexing_slicing, reason = "a wrong id shall end the test")]
        fn range(&self, id: usize) -> &Range<usize> {
            &self.0[id]
        }
    }

    /// Every range's rank is one or two above its children's, a leaf's is 1, and children know
    /// their parent.
    fn check(store: &Shelf, id: usize, parent: Option<usize>) -> usize {
        let range = store.range(id);
        let children = [range.links.left.get(), range.links.right.get()];
        assert_eq!(range.links.parent.get(), parent, "range {id} has another parent");
        for child in children {
            let gap = gap(range.rank(), store, child);
            assert!(
                (1..=2).contains(&gap),
                "range {id} of rank {} lies {gap} above {child:?}",
                range.rank()
            );
        }
        if children == [None, None] {
            assert_eq!(range.rank(), 1, "the leaf {id}");
        }
        children
            .into_iter()
            .flatten()
            .fold(1_usize, |sum, child| sum.saturating_add(check(store, child, Some(id))))
    }

    #[test]
    fn ranks_stay_weakly_balanced() {
        const RANGES: usize = 300;
        let store = Shelf((0..RANGES).map(|_| Range::spare()).collect());
        let mut tree: Tree<usize> = Tree::new();
        let mut held = [false; RANGES];
        let mut random = 1_u64;
        for _ in 0..20_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let id = (random >> 33) as usize % RANGES;
            let Some(span) = Span::new(id as u64, id as u64) else { continue };
            let Some(is_held) = held.get_mut(id) else { continue };
            match tree.seek(&store, span) {
                Ok(found) => {
                    assert!(*is_held && found == id, "range {id} was found as {found}");
                    tree.remove(&store, id);
                }
                Err(slot) => {
                    assert!(!*is_held, "range {id} was not found");
                    store.range(id).fill(span, false);
                    tree.insert(&store, slot, id);
                }
            }
            *is_held = !*is_held;
            let count = tree.root.map_or(0, |root| check(&store, root, None));
            assert_eq!(count, held.iter().filter(|held| **held).count());
        }
    }
}
