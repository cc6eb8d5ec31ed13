// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
//! The rows of sections 8 and 9, an example each, by their names.
//!
//! The model, which the random sequences hold the core to, is not asked here: what to expect is
//! written out.

use ashmem_core::Errno;
use ashmem_core::abi::{IS_PINNED, IS_UNPINNED, NOT_PURGED, Pin, WAS_PURGED};
use ashmem_core::pins::{self, NeedSpare, PurgeStep};
use ashmem_core::range::{Ranges as _, Span};
use ashmem_core::region::{Facts, Refusal, State};
use ashmem_core::store::{PageSize, Store};

use crate::arena::{Arena, Id};

const PAGE: u32 = 4096;

/// Mapped regions of ten pages over one purge order.
struct Bench {
    arena: Arena,
    regions: Vec<(Facts, State<Vec<u8>, Id>)>,
}

impl Bench {
    fn new(regions: usize) -> Self {
        let mapped = |_| {
            let (facts, mut state) = (Facts::new(), State::new());
            state.set_size(&facts, u64::from(10 * PAGE)).expect("not mapped yet");
            state.set_mapped(&facts);
            (facts, state)
        };
        Self {
            arena: Arena::new(PageSize::from_shift(12), 64),
            regions: (0..regions).map(mapped).collect(),
        }
    }

    fn unpin(&mut self, region: usize, pages: [u32; 2]) -> i64 {
        let mut spare = Some(self.arena.spare(region));
        let (facts, state) = &mut self.regions[region];
        let answer =
            state.unpin(facts, &self.arena, bytes(pages), &mut spare).expect("a good interval");
        spare.into_iter().for_each(|left| self.arena.free(left));
        answer
    }

    fn pin(&mut self, region: usize, pages: [u32; 2]) -> i64 {
        let mut spare = Some(self.arena.spare(region));
        let (facts, state) = &mut self.regions[region];
        let answer =
            state.pin(facts, &self.arena, bytes(pages), &mut spare).expect("a good interval");
        spare.into_iter().for_each(|left| self.arena.free(left));
        answer
    }

    fn status(&self, region: usize, pages: [u32; 2]) -> i64 {
        let (facts, state) = &self.regions[region];
        state.pin_status(facts, &self.arena, bytes(pages)).expect("a good interval")
    }

    /// Purges the oldest range; answers its region and its first and last page.
    fn purge(&mut self) -> Option<(usize, [u64; 2])> {
        let (arena, regions) = (&self.arena, &self.regions);
        arena.with_lru(|lru| {
            let id = lru.oldest()?;
            let region = arena.owner(id);
            let span = pins::purge(arena, lru, regions[region].0.share(), id);
            Some((region, [span.first(), span.last()]))
        })
    }

    /// Purges the next range of one region, from the cursor on, unless the order ends before;
    /// answers its first and last page.
    fn purge_of(&mut self, wanted: usize) -> Option<[u64; 2]> {
        let (arena, regions) = (&self.arena, &self.regions);
        arena.with_lru(|lru| {
            let mut at = lru.cursor();
            while let Some(id) = at.filter(|id| arena.owner(*id) != wanted) {
                at = lru.after(arena, id);
            }
            lru.set_cursor(at);
            let span = pins::purge(arena, lru, regions[wanted].0.share(), at?);
            Some([span.first(), span.last()])
        })
    }

    /// First page, last page and purged mark of a region's ranges.
    fn ranges(&mut self, region: usize) -> Vec<(u64, u64, bool)> {
        let mut ranges = Vec::new();
        let pins = self.regions[region].1.pins();
        pins.for_each(&self.arena, usize::MAX, |span, purged| {
            ranges.push((span.first(), span.last(), purged))
        });
        ranges
    }

    /// The purge order: region, first and last page, oldest first.
    fn order(&self) -> Vec<(usize, [u64; 2])> {
        let entry = |id| {
            let span = self.arena.range(id).span();
            (self.arena.owner(id), [span.first(), span.last()])
        };
        self.arena.order().map(entry).collect()
    }
}

/// The interval of the pages from the first to the last.
fn bytes([first, last]: [u32; 2]) -> Pin {
    Pin { offset: first * PAGE, len: (last + 1 - first) * PAGE }
}

#[test]
fn shr_05_a_purge_of_one_region_goes_by_age_and_round_the_order() {
    let mut bench = Bench::new(2);
    for (region, pages) in
        [(0, [0, 1]), (1, [0, 0]), (0, [4, 5]), (1, [4, 4]), (1, [8, 8]), (0, [8, 9])]
    {
        bench.unpin(region, pages);
    }
    assert_eq!(bench.purge_of(1), Some([0, 0]));
    // The range that the purge would look at next is taken out of the order: it goes on behind it.
    bench.pin(0, [4, 5]);
    bench.pin(1, [4, 4]);
    assert_eq!([bench.purge_of(1), bench.purge_of(1)], [Some([8, 8]), None]);
    // After the youngest comes the oldest; what is unpinned later is found, and what was passed by
    // in the next round.
    bench.unpin(1, [2, 2]);
    assert_eq!([bench.purge_of(1), bench.purge_of(1)], [Some([2, 2]), None]);
    assert_eq!(bench.order(), [(0, [0, 1]), (0, [8, 9])]);
    assert_eq!(
        [bench.purge_of(0), bench.purge_of(0), bench.purge_of(0)],
        [Some([0, 1]), Some([8, 9]), None]
    );
    assert_eq!(bench.purge(), None);
}

#[test]
fn pin_10_and_11_a_good_interval_is_0_whatever_was_before() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.pin(0, [0, 9]), NOT_PURGED);
    assert_eq!([bench.unpin(0, [2, 3]), bench.unpin(0, [2, 3])], [0, 0]);
}

#[test]
fn pin_12_to_14_a_purge_is_told_once() {
    let mut bench = Bench::new(1);
    bench.unpin(0, [0, 1]);
    bench.unpin(0, [4, 5]);
    assert_eq!(bench.purge(), Some((0, [0, 1])));
    assert_eq!(bench.pin(0, [0, 9]), WAS_PURGED);
    assert_eq!(bench.pin(0, [0, 9]), NOT_PURGED);
}

#[test]
fn pin_15_one_unpinned_page_is_enough() {
    let mut bench = Bench::new(1);
    bench.unpin(0, [3, 3]);
    assert_eq!([bench.status(0, [0, 9]), bench.status(0, [3, 3])], [IS_UNPINNED; 2]);
    assert_eq!([bench.status(0, [0, 2]), bench.status(0, [4, 9])], [IS_PINNED; 2]);
    bench.purge();
    assert_eq!(bench.status(0, [3, 3]), IS_UNPINNED);
}

#[test]
fn pin_16_the_whole_range_goes() {
    let mut bench = Bench::new(1);
    bench.unpin(0, [2, 4]);
    bench.pin(0, [1, 5]);
    assert_eq!(bench.ranges(0), []);
    assert_eq!((bench.order(), bench.arena.lru_pages(), bench.arena.live()), (vec![], 0, 0));
}

#[test]
fn pin_17_the_high_part_stays_where_it_was_in_the_order() {
    let mut bench = Bench::new(1);
    bench.unpin(0, [2, 6]);
    bench.unpin(0, [8, 8]);
    bench.pin(0, [0, 3]);
    assert_eq!(bench.ranges(0), [(4, 6, false), (8, 8, false)]);
    assert_eq!((bench.order(), bench.arena.lru_pages()), (vec![(0, [4, 6]), (0, [8, 8])], 4));
}

#[test]
fn pin_18_the_low_part_stays_where_it_was_in_the_order() {
    let mut bench = Bench::new(1);
    bench.unpin(0, [2, 6]);
    bench.unpin(0, [0, 0]);
    bench.pin(0, [5, 9]);
    assert_eq!(bench.ranges(0), [(0, 0, false), (2, 4, false)]);
    assert_eq!((bench.order(), bench.arena.lru_pages()), (vec![(0, [2, 4]), (0, [0, 0])], 4));
}

#[test]
fn pin_19_the_high_part_becomes_the_youngest_range() {
    let mut bench = Bench::new(2);
    bench.unpin(0, [1, 8]);
    bench.unpin(1, [0, 0]);
    assert_eq!(bench.pin(0, [4, 5]), NOT_PURGED);
    assert_eq!(bench.ranges(0), [(1, 3, false), (6, 8, false)]);
    assert_eq!(bench.order(), [(0, [1, 3]), (1, [0, 0]), (0, [6, 8])]);
    assert_eq!(bench.arena.lru_pages(), 7);
}

#[test]
fn pin_19_both_parts_remember_a_purge() {
    let mut bench = Bench::new(1);
    bench.unpin(0, [1, 8]);
    bench.purge();
    assert_eq!(bench.pin(0, [4, 4]), WAS_PURGED);
    assert_eq!(bench.ranges(0), [(1, 3, true), (5, 8, true)]);
    assert_eq!((bench.order(), bench.arena.lru_pages()), (vec![], 0));
    assert_eq!([bench.pin(0, [3, 3]), bench.pin(0, [5, 5])], [WAS_PURGED; 2]);
}

#[test]
fn pin_20_unpinning_again_does_not_make_younger() {
    let mut bench = Bench::new(1);
    bench.unpin(0, [1, 4]);
    bench.unpin(0, [6, 6]);
    bench.unpin(0, [2, 3]);
    bench.unpin(0, [1, 4]);
    assert_eq!(bench.order(), [(0, [1, 4]), (0, [6, 6])]);
}

#[test]
fn pin_21_overlapping_ranges_become_one_young_one() {
    let mut bench = Bench::new(2);
    bench.unpin(0, [0, 2]);
    bench.unpin(0, [4, 4]);
    bench.unpin(0, [6, 8]);
    bench.unpin(1, [0, 0]);
    bench.unpin(0, [2, 6]);
    assert_eq!(bench.ranges(0), [(0, 8, false)]);
    assert_eq!(bench.order(), [(1, [0, 0]), (0, [0, 8])]);
    assert_eq!((bench.arena.lru_pages(), bench.arena.live()), (10, 2));
}

#[test]
fn pin_22_touching_ranges_stay_apart() {
    let mut bench = Bench::new(1);
    bench.unpin(0, [4, 5]);
    bench.unpin(0, [2, 3]);
    bench.unpin(0, [6, 6]);
    assert_eq!(bench.ranges(0), [(2, 3, false), (4, 5, false), (6, 6, false)]);
    assert_eq!(bench.purge(), Some((0, [4, 5])));
    assert_eq!(bench.ranges(0), [(2, 3, false), (4, 5, true), (6, 6, false)]);
    assert_eq!(bench.pin(0, [2, 3]), NOT_PURGED);
}

#[test]
fn pin_23_a_purged_part_marks_the_whole_and_keeps_it_out_of_the_order() {
    let mut bench = Bench::new(1);
    bench.unpin(0, [0, 0]);
    bench.purge();
    bench.unpin(0, [0, 1]);
    assert_eq!(bench.ranges(0), [(0, 1, true)]);
    assert_eq!((bench.purge(), bench.arena.lru_pages()), (None, 0));
    assert_eq!(bench.pin(0, [1, 1]), WAS_PURGED);
}

/// The purged part is not the lowest, and several are swallowed.
#[test]
fn pin_23_wherever_the_purged_part_lies() {
    let mut bench = Bench::new(1);
    bench.unpin(0, [4, 5]);
    bench.purge();
    bench.unpin(0, [0, 1]);
    bench.unpin(0, [7, 8]);
    bench.unpin(0, [1, 7]);
    assert_eq!(bench.ranges(0), [(0, 8, true)]);
    assert_eq!((bench.order(), bench.arena.lru_pages(), bench.arena.live()), (vec![], 0, 1));
}

#[test]
fn pin_30_a_purged_range_is_not_purged_again_before_pin_and_unpin() {
    let mut bench = Bench::new(1);
    bench.unpin(0, [0, 0]);
    assert_eq!([bench.purge(), bench.purge()], [Some((0, [0, 0])), None]);
    bench.unpin(0, [0, 0]);
    assert_eq!(bench.purge(), None);
    bench.pin(0, [0, 0]);
    bench.unpin(0, [0, 0]);
    assert_eq!(bench.purge(), Some((0, [0, 0])));
}

/// Without a spare the answer is [`NeedSpare`] and nothing has changed; where none is needed none
/// is asked for.
#[test]
fn pin_32_an_empty_spare_changes_nothing() {
    let mut bench = Bench::new(1);
    bench.unpin(0, [1, 4]);
    bench.unpin(0, [6, 8]);
    let before = (bench.ranges(0), bench.order(), bench.arena.lru_pages(), bench.arena.live());

    let (facts, state) = &mut bench.regions[0];
    let mut spare = None;
    for inside in [[2, 2], [2, 3], [7, 7]] {
        let answer = state.pin(facts, &bench.arena, bytes(inside), &mut spare);
        assert_eq!(answer, Err(Refusal::from(NeedSpare)), "PIN {inside:?}");
    }
    for free in [[0, 0], [5, 5], [9, 9]] {
        let answer = state.unpin(facts, &bench.arena, bytes(free), &mut spare);
        assert_eq!(answer, Err(Refusal::NeedSpare), "UNPIN {free:?}");
    }
    assert_eq!(
        (bench.ranges(0), bench.order(), bench.arena.lru_pages(), bench.arena.live()),
        before
    );

    let (facts, state) = &mut bench.regions[0];
    assert_eq!(
        state.unpin(facts, &bench.arena, bytes([3, 6]), &mut spare),
        Ok(0),
        "what overlaps grows"
    );
    assert_eq!(
        state.pin(facts, &bench.arena, bytes([0, 2]), &mut spare),
        Ok(NOT_PURGED),
        "a low part"
    );
    assert_eq!(
        state.pin(facts, &bench.arena, bytes([7, 9]), &mut spare),
        Ok(NOT_PURGED),
        "a high part"
    );
    assert_eq!(bench.ranges(0), [(3, 6, false)]);
}

/// A refused interval leaves the spare where it is.
#[test]
fn pin_32_an_unused_spare_comes_back() {
    let mut bench = Bench::new(1);
    let given = bench.arena.spare(0);
    let mut spare = Some(given);
    let (facts, state) = &mut bench.regions[0];
    let beyond = state.unpin(facts, &bench.arena, bytes([9, 10]), &mut spare);
    assert_eq!(beyond, Err(Refusal::Errno(Errno::Inval)));
    assert_eq!(state.pin(facts, &bench.arena, bytes([0, 9]), &mut spare), Ok(NOT_PURGED));
    assert_eq!(spare, Some(given));
}

#[test]
fn shr_04_the_oldest_goes_first_whosever_it_is() {
    let mut bench = Bench::new(3);
    let unpinned = [(2, [0, 0]), (0, [5, 6]), (1, [0, 9]), (0, [0, 1]), (2, [9, 9])];
    for (region, [first, last]) in unpinned {
        bench.unpin(region, [first as u32, last as u32]);
    }
    assert_eq!(bench.order(), unpinned);
    assert_eq!(bench.arena.lru_pages(), 16);
    for range in unpinned {
        assert_eq!(bench.purge(), Some(range));
    }
    assert_eq!((bench.purge(), bench.arena.lru_pages()), (None, 0));
}

/// A purge of one region by page number, past what is purged already.
#[test]
fn shr_05_the_lowest_range_is_purged_whatever_its_age() {
    let mut bench = Bench::new(2);
    for page in [8, 4, 2, 0] {
        bench.unpin(0, [page, page + 1]);
    }
    bench.unpin(1, [0, 9]);
    let mut step = |from, most| {
        let (facts, state) = &mut bench.regions[0];
        let span = Span::new(from, 9).expect("pages");
        state.pins().purge_lowest(&bench.arena, facts.share(), span, most)
    };
    let purged = |first, last| PurgeStep::Purged(Span::new(first, last).expect("pages"));
    assert_eq!(step(3, 1), purged(2, 3));
    assert_eq!(step(0, 1), purged(0, 1));
    assert_eq!(step(0, 1), PurgeStep::Passed(2));
    assert_eq!(step(0, 2), PurgeStep::Passed(4));
    assert_eq!(step(1, 3), purged(4, 5));
    assert_eq!(step(6, 0), PurgeStep::Passed(8));
    assert_eq!([step(6, 9), step(6, 9)], [purged(8, 9), PurgeStep::End]);
    let all = [(0, 1, true), (2, 3, true), (4, 5, true), (8, 9, true)];
    assert_eq!(bench.ranges(0), all);
    assert_eq!((bench.order(), bench.arena.lru_pages()), (vec![(1, [0, 9])], 10));
    assert_eq!(bench.pin(0, [4, 4]), WAS_PURGED);
}

#[test]
fn open_08_a_closed_region_takes_its_ranges_along() {
    let mut bench = Bench::new(2);
    for page in [0, 2, 4, 6, 8] {
        bench.unpin(0, [page, page]);
        bench.unpin(1, [page, page]);
    }
    bench.purge();
    let (facts, state) = &mut bench.regions[0];
    state.pins().clear(&bench.arena, facts.share());
    assert_eq!(bench.order(), [0, 2, 4, 6, 8].map(|page| (1, [page, page])));
    assert_eq!((bench.arena.lru_pages(), bench.arena.live()), (5, 5));
    assert_eq!(bench.ranges(0), []);
}

/// An empty interval at the end inserts nothing, however often (BUG-11).
#[test]
fn pin_08_an_empty_interval_is_no_range() {
    let mut bench = Bench::new(1);
    let end = Pin { offset: 10 * PAGE, len: 0 };
    let (facts, state) = &mut bench.regions[0];
    let mut spare = None;
    assert_eq!(state.unpin(facts, &bench.arena, end, &mut spare), Ok(0));
    assert_eq!(state.pin(facts, &bench.arena, end, &mut spare), Ok(NOT_PURGED));
    assert_eq!(state.pin_status(facts, &bench.arena, end), Ok(IS_PINNED));
    assert_eq!((bench.status(0, [9, 9]), bench.arena.live()), (IS_PINNED, 0));
}
