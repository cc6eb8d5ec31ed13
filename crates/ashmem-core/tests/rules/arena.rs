// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
//! Memory for ranges that distrusts the core: each slot is born once, freed once, and never used
//! outside that time.

use std::cell::Cell;

use ashmem_core::lru::Lru;
use ashmem_core::range::{Range, Ranges};
use ashmem_core::store::{PageSize, Store};

/// A range's name: its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id(usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Unborn,
    Live,
    Freed,
}

struct Slot {
    range: Range<Id>,
    life: Cell<Life>,
    owner: Cell<usize>,
}

/// A store of a fixed number of ranges. No slot is used twice, so that a stale id is always
/// noticed.
pub(crate) struct Arena {
    page: PageSize,
    slots: Box<[Slot]>,
    born: Cell<usize>,
    freed: Cell<usize>,
    lru: Lru<Id>,
    lru_locked: Cell<bool>,
    steps: Cell<u64>,
}

impl Arena {
    /// Room for `capacity` ranges, over the arena's whole life.
    pub(crate) fn new(page: PageSize, capacity: usize) -> Self {
        let unborn = || Slot {
            range: Range::spare(),
            life: Cell::new(Life::Unborn),
            owner: Cell::new(usize::MAX),
        };
        Self {
            page,
            slots: std::iter::repeat_with(unborn).take(capacity).collect(),
            born: Cell::new(0),
            freed: Cell::new(0),
            lru: Lru::new(),
            lru_locked: Cell::new(false),
            steps: Cell::new(0),
        }
    }

    /// A spare range for the region numbered `owner`.
    pub(crate) fn spare(&self, owner: usize) -> Id {
        let id = Id(self.born.replace(self.born.get() + 1));
        let slot = &self.slots[id.0];
        slot.life.set(Life::Live);
        slot.owner.set(owner);
        id
    }

    /// The region that `id` was allocated for.
    pub(crate) fn owner(&self, id: Id) -> usize {
        self.slots[id.0].owner.get()
    }

    /// How many ranges were handed out and not given back.
    pub(crate) fn live(&self) -> usize {
        self.born.get() - self.freed.get()
    }

    /// How often the core looked at a range while `work` ran.
    pub(crate) fn steps(&self, work: impl FnOnce()) -> u64 {
        let before = self.steps.get();
        work();
        self.steps.get() - before
    }

    /// The purge order, oldest first.
    pub(crate) fn order(&self) -> impl Iterator<Item = Id> {
        let mut bound = self.live();
        std::iter::successors(self.lru.oldest(), move |&id| {
            bound = bound.checked_sub(1).expect("the purge order goes in a circle");
            self.lru.after(self, id)
        })
    }

    /// How many pages the purge order counts.
    pub(crate) fn lru_pages(&self) -> u64 {
        self.lru.pages()
    }
}

impl Ranges for Arena {
    type Id = Id;

    fn range(&self, id: Id) -> &Range<Id> {
        self.steps.set(self.steps.get() + 1);
        let slot = &self.slots[id.0];
        assert_eq!(slot.life.get(), Life::Live, "{id:?} was used");
        &slot.range
    }
}

impl Store for Arena {
    fn page_size(&self) -> PageSize {
        self.page
    }

    fn free(&self, id: Id) {
        let before = self.slots[id.0].life.replace(Life::Freed);
        assert_eq!(before, Life::Live, "{id:?} was freed");
        self.freed.set(self.freed.get() + 1);
    }

    fn with_lru<R>(&self, work: impl FnOnce(&Lru<Id>) -> R) -> R {
        assert!(!self.lru_locked.replace(true), "the purge order was locked twice");
        let answer = work(&self.lru);
        self.lru_locked.set(false);
        answer
    }
}
