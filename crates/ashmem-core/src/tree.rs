//! The balanced tree (AVL) in which a region keeps its unpinned ranges, ordered by page.
//!
//! Ranges never overlap, so their first pages order them. Links and heights live in the ranges and are guarded by the
//! region's lock. Search, insertion and removal take at most 1.44 log2(n) steps, whatever order the ranges came in:
//! the caller is a stranger's program, so an expected bound would not do.

use crate::pins::{Range, Span};
use crate::store::Store;

/// A range's links: children, parent. Its height is packed beside its first page.
pub(crate) struct Links<Id> {
    left: core::cell::Cell<Option<Id>>,
    right: core::cell::Cell<Option<Id>>,
    parent: core::cell::Cell<Option<Id>>,
}

impl<Id> Links<Id> {
    pub(crate) const fn alone() -> Self {
        use core::cell::Cell;
        Self { left: Cell::new(None), right: Cell::new(None), parent: Cell::new(None) }
    }
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
    /// The lowest range that shares a page with `span`.
    pub(crate) fn first_overlap<S: Store<Id = Id>>(&self, store: &S, span: Span) -> Option<Id> {
        let mut found = None;
        let mut at = self.root;
        while let Some(id) = at {
            let range = store.range(id);
            if range.last() >= span.first() {
                found = at;
                at = range.links.left.get();
            } else {
                at = range.links.right.get();
            }
        }
        found.filter(|&id| store.range(id).first() <= span.last())
    }

    /// The next higher range, if it shares a page with `span`.
    pub(crate) fn next_overlap<S: Store<Id = Id>>(&self, store: &S, id: Id, span: Span) -> Option<Id> {
        self.next(store, id).filter(|&id| store.range(id).first() <= span.last())
    }

    /// The lowest range of all.
    pub(crate) fn first<S: Store<Id = Id>>(&self, store: &S) -> Option<Id> {
        self.root.map(|root| lowest(store, root))
    }

    /// The next higher range.
    pub(crate) fn next<S: Store<Id = Id>>(&self, store: &S, id: Id) -> Option<Id> {
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

    /// Puts in a range that overlaps none of the tree's.
    pub(crate) fn insert<S: Store<Id = Id>>(&mut self, store: &S, id: Id) {
        let range = store.range(id);
        let mut parent = None;
        let mut at = self.root;
        while let Some(here) = at {
            let other = store.range(here);
            parent = at;
            at = if range.first() < other.first() { other.links.left.get() } else { other.links.right.get() };
        }
        range.links.left.set(None);
        range.links.right.set(None);
        range.links.parent.set(parent);
        range.set_height(1);
        match parent {
            None => self.root = Some(id),
            Some(parent) => {
                let links = &store.range(parent).links;
                let side = if range.first() < store.range(parent).first() { &links.left } else { &links.right };
                side.set(Some(id));
            }
        }
        self.rebalance(store, parent);
    }

    /// Takes a range out; its links are stale afterwards.
    pub(crate) fn remove<S: Store<Id = Id>>(&mut self, store: &S, id: Id) {
        let range = store.range(id);
        let (left, right, parent) = (range.links.left.get(), range.links.right.get(), range.links.parent.get());
        let unbalanced = match (left, right) {
            (None, child) | (child, None) => {
                self.replace(store, parent, id, child);
                parent
            }
            // The next higher range, which has no left child, takes the place.
            (Some(left), Some(right)) => {
                let heir = lowest(store, right);
                let links = &store.range(heir).links;
                let unbalanced = if heir == right {
                    Some(heir)
                } else {
                    let above = links.parent.get();
                    self.replace(store, above, heir, links.right.get());
                    links.right.set(Some(right));
                    store.range(right).links.parent.set(Some(heir));
                    above
                };
                links.left.set(Some(left));
                store.range(left).links.parent.set(Some(heir));
                store.range(heir).set_height(range.height());
                self.replace(store, parent, id, Some(heir));
                unbalanced
            }
        };
        self.rebalance(store, unbalanced);
    }

    /// Takes out every range in turn, in no promised order, in one pass without rebalancing.
    pub(crate) fn drain<S: Store<Id = Id>>(&mut self, store: &S, mut each: impl FnMut(Id)) {
        let mut at = self.root.take();
        while let Some(id) = at {
            let links = &store.range(id).links;
            // Down to a leaf, which is cut off its parent before it goes.
            at = links.left.take().or_else(|| links.right.take()).or_else(|| {
                let parent = links.parent.get();
                each(id);
                parent
            });
        }
    }

    /// Hangs `child` where `old` hung below `parent`.
    fn replace<S: Store<Id = Id>>(&mut self, store: &S, parent: Option<Id>, old: Id, child: Option<Id>) {
        match parent {
            None => self.root = child,
            Some(parent) => {
                let links = &store.range(parent).links;
                let side = if links.left.get() == Some(old) { &links.left } else { &links.right };
                side.set(child);
            }
        }
        if let Some(child) = child {
            store.range(child).links.parent.set(parent);
        }
    }

    /// Mends heights and balance from `at` upwards, as far as anything changes.
    fn rebalance<S: Store<Id = Id>>(&mut self, store: &S, mut at: Option<Id>) {
        while let Some(id) = at {
            let range = store.range(id);
            let before = range.height();
            let (left, right) = (height(store, range.links.left.get()), height(store, range.links.right.get()));
            let top = if left > right.saturating_add(1) {
                self.lean_right(store, id)
            } else if right > left.saturating_add(1) {
                self.lean_left(store, id)
            } else {
                range.set_height(left.max(right).saturating_add(1));
                id
            };
            let range = store.range(top);
            if top == id && range.height() == before {
                return;
            }
            at = range.links.parent.get();
        }
    }

    /// Turns a left-heavy range's subtree to the right; answers its new top.
    fn lean_right<S: Store<Id = Id>>(&mut self, store: &S, id: Id) -> Id {
        let Some(left) = store.range(id).links.left.get() else { return id };
        let links = &store.range(left).links;
        if height(store, links.right.get()) > height(store, links.left.get()) {
            self.rotate_left(store, left);
        }
        self.rotate_right(store, id)
    }

    /// Turns a right-heavy range's subtree to the left; answers its new top.
    fn lean_left<S: Store<Id = Id>>(&mut self, store: &S, id: Id) -> Id {
        let Some(right) = store.range(id).links.right.get() else { return id };
        let links = &store.range(right).links;
        if height(store, links.left.get()) > height(store, links.right.get()) {
            self.rotate_right(store, right);
        }
        self.rotate_left(store, id)
    }

    fn rotate_right<S: Store<Id = Id>>(&mut self, store: &S, id: Id) -> Id {
        let range = store.range(id);
        let Some(top) = range.links.left.get() else { return id };
        let above = &store.range(top).links;
        let inner = above.right.replace(Some(id));
        range.links.left.set(inner);
        if let Some(inner) = inner {
            store.range(inner).links.parent.set(Some(id));
        }
        self.lift(store, top, id)
    }

    fn rotate_left<S: Store<Id = Id>>(&mut self, store: &S, id: Id) -> Id {
        let range = store.range(id);
        let Some(top) = range.links.right.get() else { return id };
        let above = &store.range(top).links;
        let inner = above.left.replace(Some(id));
        range.links.right.set(inner);
        if let Some(inner) = inner {
            store.range(inner).links.parent.set(Some(id));
        }
        self.lift(store, top, id)
    }

    /// Second half of a rotation: `top` takes the place of `id`, which is its child now.
    fn lift<S: Store<Id = Id>>(&mut self, store: &S, top: Id, id: Id) -> Id {
        let range = store.range(id);
        self.replace(store, range.links.parent.get(), id, Some(top));
        range.links.parent.set(Some(top));
        measure(store, range);
        measure(store, store.range(top));
        top
    }
}

fn lowest<S: Store>(store: &S, mut id: S::Id) -> S::Id {
    while let Some(left) = store.range(id).links.left.get() {
        id = left;
    }
    id
}

fn height<S: Store>(store: &S, id: Option<S::Id>) -> u8 {
    id.map_or(0, |id| store.range(id).height())
}

fn measure<S: Store>(store: &S, range: &Range<S::Id>) {
    let (left, right) = (height(store, range.links.left.get()), height(store, range.links.right.get()));
    range.set_height(left.max(right).saturating_add(1));
}
