// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
//! One unpinned range: its pages, its purged mark, its links in its region's tree and its place in
//! the purge order.

use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

/// A closed interval of pages; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Span {
    /// The pages `first..=last`; `None` where that holds no page, or a page no file can have.
    pub const fn new(first: u64, last: u64) -> Option<Self> {
        if first <= last && last < Range::<()>::PAGE_LIMIT {
            Some(Self { first, last })
        } else {
            None
        }
    }

    /// The pages from `first` on, to the last that a file can have.
    pub const fn onwards(first: u64) -> Option<Self> {
        Self::new(first, Range::<()>::PAGE_LIMIT.wrapping_sub(1))
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

/// One unpinned range, threaded into its region's tree and into the purge order. 56 bytes on a
/// 64-bit machine.
///
/// The two words are atomic because a purge reads and marks a range while the tree's lock is
/// somebody else's.
pub struct Range<Id> {
    pub(crate) links: Links<Id>,
    pub(crate) place: Place<Id>,
    /// First page and rank in the tree: see the constants below.
    low: AtomicU64,
    /// Last page and purged mark.
    high: AtomicU64,
}

impl<Id> Range<Id> {
    /// Bits 0 to 6 of `low` hold the rank, which is at most twice the logarithm of the number of
    /// ranges.
    const RANK: u64 = 0x7f;
    const PURGED: u64 = 1;
    const PAGE_SHIFT: u32 = 8;
    /// Page numbers stay below this, so that one fits beside the rank or the mark. A file has less
    /// than 2^63 bytes, so it has less than 2^51 pages.
    pub(crate) const PAGE_LIMIT: u64 = 1 << 52;

    /// A range that is nowhere yet: a spare.
    pub const fn spare() -> Self {
        Self {
            links: Links::alone(),
            place: Place::nowhere(),
            low: AtomicU64::new(0),
            high: AtomicU64::new(0),
        }
    }

    /// The pages it holds.
    pub fn span(&self) -> Span {
        Span { first: self.first(), last: self.last() }
    }

    /// Whether its pages were purged since they were unpinned.
    pub fn purged(&self) -> bool {
        self.high.load(Ordering::Relaxed) & Self::PURGED != 0
    }

    pub(crate) fn pages(&self) -> u64 {
        self.span().pages()
    }

    pub(crate) fn first(&self) -> u64 {
        self.low.load(Ordering::Relaxed) >> Self::PAGE_SHIFT
    }

    pub(crate) fn last(&self) -> u64 {
        self.high.load(Ordering::Relaxed) >> Self::PAGE_SHIFT
    }

    /// A page as [`Range::reaches`] is asked for it.
    pub(crate) const fn bound(page: u64) -> u64 {
        page << Self::PAGE_SHIFT
    }

    /// Whether the last page is the bound's or a later one. Compared as it is kept: the way down a
    /// tree is many of these.
    pub(crate) fn reaches(&self, bound: u64) -> bool {
        self.high.load(Ordering::Relaxed) >= bound
    }

    pub(crate) fn rank(&self) -> u8 {
        (self.low.load(Ordering::Relaxed) & Self::RANK) as u8
    }

    pub(crate) fn set_rank(&self, rank: u8) {
        let low = self.low.load(Ordering::Relaxed) & !Self::RANK | u64::from(rank) & Self::RANK;
        self.low.store(low, Ordering::Relaxed);
    }

    /// Gives a range its first contents.
    pub(crate) fn fill(&self, span: Span, purged: bool) {
        self.low.store(span.first << Self::PAGE_SHIFT, Ordering::Relaxed);
        self.high.store(span.last << Self::PAGE_SHIFT | u64::from(purged), Ordering::Relaxed);
    }

    pub(crate) fn set_first(&self, first: u64) {
        self.low.store(first << Self::PAGE_SHIFT | u64::from(self.rank()), Ordering::Relaxed);
    }

    pub(crate) fn set_last(&self, last: u64) {
        self.high.store(last << Self::PAGE_SHIFT | u64::from(self.purged()), Ordering::Relaxed);
    }

    pub(crate) fn mark_purged(&self) {
        self.high.store(self.high.load(Ordering::Relaxed) | Self::PURGED, Ordering::Relaxed);
    }
}

/// A range's links: children, parent. Its rank is packed beside its first page.
pub(crate) struct Links<Id> {
    pub(crate) left: Cell<Option<Id>>,
    pub(crate) right: Cell<Option<Id>>,
    pub(crate) parent: Cell<Option<Id>>,
}

impl<Id> Links<Id> {
    pub(crate) const fn alone() -> Self {
        Self { left: Cell::new(None), right: Cell::new(None), parent: Cell::new(None) }
    }
}

impl<Id: Copy + Eq> Links<Id> {
    pub(crate) fn child(&self, side: Side) -> Option<Id> {
        match side {
            Side::Left => self.left.get(),
            Side::Right => self.right.get(),
        }
    }

    pub(crate) fn set_child(&self, side: Side, child: Option<Id>) {
        match side {
            Side::Left => self.left.set(child),
            Side::Right => self.right.set(child),
        }
    }

    /// Where a child hangs.
    pub(crate) fn side_of(&self, child: Id) -> Side {
        if self.left.get() == Some(child) { Side::Left } else { Side::Right }
    }
}

/// A side of a range in the tree.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

impl Side {
    /// The other one.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// A range's place in the purge order.
pub(crate) struct Place<Id> {
    pub(crate) older: Cell<Option<Id>>,
    pub(crate) younger: Cell<Option<Id>>,
}

impl<Id> Place<Id> {
    pub(crate) const fn nowhere() -> Self {
        Self { older: Cell::new(None), younger: Cell::new(None) }
    }
}

/// Where ranges live: in the kernel's memory, or in a vector.
///
/// `Id`s name ranges.
pub trait Ranges {
    /// A range's name: a pointer in the kernel, an index elsewhere.
    type Id: Copy + Eq;

    /// The range that `id` names.
    fn range(&self, id: Self::Id) -> &Range<Self::Id>;
}
