// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
//! What an operation costs among 100,000 ranges, in looks at a range: the tree is as low as a weak
//! AVL tree must be, whatever order a stranger's program unpins and pins in.

use ashmem_core::lru::Share;
use ashmem_core::pins::{Pins, Progress};
use ashmem_core::range::Span;
use ashmem_core::store::PageSize;

use crate::arena::{Arena, Id};

const RANGES: u64 = 100_000;

/// The height that the tree never exceeds while nothing was taken out: that of an AVL tree.
fn avl_height(ranges: u64) -> u64 {
    (1.4405 * ((ranges + 2) as f64).log2() - 0.3277).floor() as u64
}

/// The height that the tree never exceeds, whatever was taken out.
fn weak_avl_height(ranges: u64) -> u64 {
    (2.0 * ((ranges + 1) as f64).log2()).floor() as u64
}

/// How many looks one operation may take: down the tree and up again, with what a rotation needs at
/// every height.
fn looks(ranges: u64) -> u64 {
    16 * (weak_avl_height(ranges) + 1)
}

/// One region whose even pages are unpinned and pinned one by one, so that no two ranges touch.
struct Field {
    arena: Arena,
    share: Share,
    pins: Pins<Id>,
}

impl Field {
    fn new(capacity: u64) -> Self {
        Self {
            arena: Arena::new(PageSize::from_shift(12), capacity as usize),
            share: Share::new(),
            pins: Pins::new(),
        }
    }

    /// Unpins page `2 * range`.
    fn unpin(&mut self, range: u64) -> u64 {
        let page = Span::new(2 * range, 2 * range).unwrap();
        let mut spare = Some(self.arena.spare(0));
        let steps = self.arena.steps(|| {
            _ = self
                .pins
                .unpin(&self.arena, &self.share, page, &mut spare, 1)
                .expect("a spare is there")
        });
        assert!(
            spare.is_none() && steps <= looks(RANGES),
            "UNPIN of range {range} looked at {steps} ranges"
        );
        steps
    }

    /// Pins page `2 * range` again.
    fn pin(&mut self, range: u64) -> u64 {
        let page = Span::new(2 * range, 2 * range).unwrap();
        let steps = self.arena.steps(|| {
            _ = self.pins.pin(&self.arena, &self.share, page, &mut None, 1).expect("no split")
        });
        assert!(steps <= looks(RANGES), "PIN of range {range} looked at {steps} ranges");
        steps
    }

    /// Looks for every page: a search goes down one path, so the longest tells the height.
    fn height(&self, pages: u64) -> u64 {
        let search = |page| {
            let page = Span::new(page, page).unwrap();
            // One look more tells whether what was found begins in time.
            self.arena.steps(|| _ = self.pins.all_pinned(&self.arena, page)) - 1
        };
        (0..pages).map(search).max().unwrap_or(0)
    }
}

/// All of 0..RANGES, in an order far from sorted: the step is prime to the count.
fn scattered() -> impl Iterator<Item = u64> {
    (0..RANGES).map(|turn| turn * 61_803 % RANGES)
}

/// Outermost first, from both ends inwards.
fn from_both_ends() -> impl Iterator<Item = u64> {
    (0..RANGES).map(|turn| if turn % 2 == 0 { turn / 2 } else { RANGES - 1 - turn / 2 })
}

fn orders() -> [(&'static str, Vec<u64>); 4] {
    [
        ("ascending", (0..RANGES).collect()),
        ("descending", (0..RANGES).rev().collect()),
        ("from both ends", from_both_ends().collect()),
        ("scattered", scattered().collect()),
    ]
}

#[test]
fn the_tree_is_never_higher_than_an_avl_tree() {
    let bound = avl_height(RANGES);
    for (name, order) in orders() {
        let mut field = Field::new(RANGES);
        order.iter().for_each(|&range| _ = field.unpin(range));
        assert!(field.height(2 * RANGES + 2) <= bound, "{name}: higher than {bound}");
    }
}

#[test]
fn removal_keeps_it_low() {
    for (name, order) in orders() {
        let mut field = Field::new(2 * RANGES);
        scattered().for_each(|range| _ = field.unpin(range));
        // All but every tenth go; what is left must be low for its own number.
        order.iter().filter(|&range| range % 10 != 0).for_each(|&range| _ = field.pin(range));
        let bound = weak_avl_height(RANGES / 10);
        assert!(field.height(2 * RANGES + 2) <= bound, "{name}: higher than {bound}");
        assert_eq!(
            (field.arena.live() as u64, field.arena.lru_pages()),
            (RANGES / 10, RANGES / 10)
        );
    }
}

/// A full tree of which only the way down its left edge is kept: without rebalancing that would be
/// a list.
#[test]
fn removal_bends_a_long_edge() {
    const FULL: u64 = (1 << 16) - 1;
    let mut field = Field::new(FULL);
    (1..=FULL).for_each(|range| _ = field.unpin(range));
    scattered().filter(|&range| range <= FULL && !range.is_power_of_two() && range > 0).for_each(
        |range| {
            field.pin(range);
        },
    );
    assert_eq!(field.arena.live(), 16);
    assert!(field.height(2 * FULL + 2) <= weak_avl_height(16));
}

/// UNPIN and PIN of one page in turn, all over the region: beside the two searches little is
/// rebalanced. An AVL tree, which climbs to the root more often than not, needs half as much again.
#[test]
fn unpin_and_pin_in_turn_rebalance_little() {
    const HALF: u64 = RANGES / 2;
    let mut field = Field::new(2 * RANGES);
    scattered().filter(|range| range % 2 == 0).for_each(|range| _ = field.unpin(range));
    let odd = scattered().filter(|range| range % 2 == 1);
    let steps: u64 = odd.map(|range| field.unpin(range) + field.pin(range)).sum();
    assert!(steps <= HALF * (2 * avl_height(HALF) + 24), "{steps} looks in {HALF} pairs");
    assert!(field.height(2 * RANGES + 2) <= weak_avl_height(HALF));
}

/// Splitting one range 50,000 times, then swallowing all the pieces with one UNPIN, then giving all
/// back.
#[test]
fn splits_and_a_large_merge() {
    const SPLITS: u64 = 50_000;
    let mut field = Field::new(SPLITS + 1);
    let all = Span::new(0, 2 * SPLITS).unwrap();
    let mut spare = Some(field.arena.spare(0));
    field.pins.unpin(&field.arena, &field.share, all, &mut spare, 1).expect("a spare is there");
    for split in 0..SPLITS {
        let odd = 2 * (split * 30_901 % SPLITS) + 1;
        let mut spare = Some(field.arena.spare(0));
        let hole = Span::new(odd, odd).unwrap();
        let steps = field.arena.steps(|| {
            _ = field
                .pins
                .pin(&field.arena, &field.share, hole, &mut spare, 1)
                .expect("a spare is there")
        });
        assert!(spare.is_none() && steps <= looks(split + 2), "split {split}: {steps} looks");
    }
    assert!(field.height(2 * SPLITS + 1) <= avl_height(SPLITS + 1));
    assert_eq!((field.arena.live() as u64, field.arena.lru_pages()), (SPLITS + 1, SPLITS + 1));

    // In steps none of which takes long, whatever there is to swallow.
    let mut steps = 0;
    loop {
        let mut progress = Progress::Done;
        let step = || field.pins.unpin(&field.arena, &field.share, all, &mut None, 100);
        let looked = field.arena.steps(|| progress = { step }().expect("growing needs no spare"));
        assert!(looked <= 100 * looks(SPLITS), "a step looked at {looked} ranges");
        steps += 1;
        if progress == Progress::Done {
            break;
        }
        assert_eq!(field.arena.lru_pages() + SPLITS - 100 * steps, all.pages());
    }
    assert_eq!(steps, SPLITS.div_ceil(100));
    assert_eq!((field.arena.live(), field.arena.lru_pages()), (1, all.pages()));
    field.pins.clear(&field.arena, &field.share);
    assert_eq!((field.arena.live(), field.arena.lru_pages()), (0, 0));
}

/// Closing a region looks at each range a bounded number of times.
#[test]
fn clear_is_linear() {
    let mut field = Field::new(RANGES);
    scattered().for_each(|range| _ = field.unpin(range));
    let steps = field.arena.steps(|| field.pins.clear(&field.arena, &field.share));
    assert_eq!((field.arena.live(), field.arena.lru_pages()), (0, 0));
    assert!(steps <= 8 * RANGES, "{steps} looks at {RANGES} ranges");
}
