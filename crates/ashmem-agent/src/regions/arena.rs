// SPDX-License-Identifier: MIT OR Apache-2.0
//! The arena of unpinned ranges, by index: the memory that ashmem-core asks its shell for.

use std::cell::{Cell, RefCell};

use ashmem_core::lru::Lru;
use ashmem_core::range::{Range, Ranges};
use ashmem_core::store::{PageSize, Store};

use crate::ids::Key;

/// Ranges of one table at most; they take some hundred MiB. A tenant that unpins every other page
/// of ever more regions must not fill the agent's memory, which no limit of a container bounds.
const MOST: usize = 1 << 21;

/// All ranges of one table, and their purge order. The table's lock is the order's lock as well.
pub struct Arena {
    page: PageSize,
    ranges: Vec<Range<u32>>,
    owners: Vec<Key>,
    /// How often each was freed.
    lives: Vec<Cell<u64>>,
    /// What the count of a new one starts with.
    first_life: u64,
    free: RefCell<Vec<u32>>,
    lru: Lru<u32>,
    /// How many there may be.
    most: usize,
}

impl Arena {
    /// An arena without ranges.
    pub fn new() -> Self {
        let page = PageSize::from_shift(rustix::param::page_size().trailing_zeros());
        Self {
            page,
            ranges: Vec::new(),
            owners: Vec::new(),
            lives: Vec::new(),
            first_life: 0,
            free: RefCell::default(),
            lru: Lru::new(),
            most: MOST,
        }
    }

    /// Bounds how many ranges there may be from now on.
    pub(crate) fn bound(&mut self, most: usize) {
        self.most = most.min(MOST);
    }

    /// Allocates a spare range for this region; free an unused one with [`Store::free`]. `None`:
    /// the table has as many as it may have.
    pub fn spare(&mut self, owner: Key) -> Option<u32> {
        if let Some(id) = self.free.get_mut().pop() {
            self.ranges[id as usize] = Range::spare();
            self.owners[id as usize] = owner;
            return Some(id);
        }
        if self.ranges.len() >= self.most {
            return None;
        }
        let id = u32::try_from(self.ranges.len()).ok()?;
        self.ranges.push(Range::spare());
        self.owners.push(owner);
        self.lives.push(Cell::new(self.first_life));
        Some(id)
    }

    /// The region a range belongs to.
    pub fn owner(&self, id: u32) -> Key {
        self.owners[id as usize]
    }

    /// How often a range was freed: while this stays the same, it is the same range.
    pub(crate) fn life(&self, id: u32) -> u64 {
        self.lives.get(id as usize).map_or(u64::MAX, Cell::get)
    }

    /// The purge order.
    pub fn lru(&self) -> &Lru<u32> {
        &self.lru
    }

    /// Frees the memory if no range is in use.
    pub fn shrink(&mut self) {
        if self.free.get_mut().len() == self.ranges.len() {
            // Lives are counted on: somebody may remember one of a range that is gone.
            let lives = self.lives.iter().map(Cell::get).max().unwrap_or(self.first_life);
            *self = Self { first_life: lives, most: self.most, ..Self::new() };
        }
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

impl Ranges for Arena {
    type Id = u32;

    fn range(&self, id: u32) -> &Range<u32> {
        &self.ranges[id as usize]
    }
}

impl Store for Arena {
    fn page_size(&self) -> PageSize {
        self.page
    }

    fn free(&self, id: u32) {
        let life = &self.lives[id as usize];
        life.set(life.get() + 1);
        self.free.borrow_mut().push(id);
    }

    fn with_lru<R>(&self, work: impl FnOnce(&Lru<u32>) -> R) -> R {
        work(&self.lru)
    }
}

#[cfg(test)]
mod tests {
    use super::{Arena, MOST};
    use ashmem_core::store::Store;

    #[test]
    fn one_tables_ranges_are_bounded_and_come_back() {
        let mut arena = Arena::new();
        let last = (0..MOST).filter_map(|_| arena.spare(1)).last().expect("so many");
        assert_eq!(arena.spare(1), None);
        arena.free(last);
        assert_eq!(arena.spare(2), Some(last));
        assert_eq!(arena.owner(last), 2);
    }

    #[test]
    fn a_bound_stays_when_the_memory_is_freed() {
        let mut arena = Arena::new();
        arena.bound(2);
        for _ in 0..2 {
            let [first, second] = [arena.spare(1), arena.spare(1)].map(|id| id.expect("a range"));
            assert_eq!(arena.spare(1), None);
            arena.free(first);
            arena.free(second);
            arena.shrink();
        }
    }
}
