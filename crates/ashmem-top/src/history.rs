// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was before: memory over time, and purges a second, of all regions shown and of each.

use std::collections::{HashMap, VecDeque};

use ashmem_inspect::group::Sum;
use ashmem_inspect::region::CensusRegion;

use ashmem_inspect::which::Which;

/// Moments kept of the whole.
const MOMENTS: usize = 600;

/// Moments kept of each region.
const MOMENTS_EACH: usize = 240;

/// What all regions came to at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    /// Bytes.
    pub resident: Sum,
    /// Pages.
    pub unpinned: Sum,
    /// Pages that became purged since the moment before, a second; `None` where that is unknown of
    /// all regions. What was purged and pinned again between two censuses is not in it.
    pub purges: Option<f64>,
    /// Whether it is unknown of some region.
    pub lacks_purges: bool,
}

/// One region's past.
#[derive(Debug, Default)]
struct RegionPast {
    /// Bytes; `None` where that was unknown.
    resident: VecDeque<Option<u64>>,
    /// What was known last.
    purged: Option<u64>,
    /// Of which round it was last.
    round: u64,
}

/// Moments, the newest first.
#[derive(Debug, Default)]
pub struct History {
    moments: VecDeque<Moment>,
    each: HashMap<Which, RegionPast>,
    round: u64,
    /// Seconds by a clock that nobody sets.
    seconds: f64,
}

impl History {
    /// Adds what these regions are now, at this time in seconds by a clock that nobody sets.
    pub fn add<'a>(&mut self, regions: impl Iterator<Item = &'a CensusRegion>, now: f64) {
        self.round += 1;
        let mut moment = Moment::default();
        let mut purges = Sum::default();
        for region in regions {
            let purged = region.pages.map(|pages| pages.purged);
            moment.resident.add(region.resident);
            moment.unpinned.add(region.pages.map(|pages| pages.unpinned));
            let past = self.each.entry(Which::of(region)).or_default();
            // What a region had when it was first seen may be old.
            let before = past.purged.or(purged);
            purges.add(purged.zip(before).map(|(now, before)| now.saturating_sub(before)));
            past.purged = purged.or(past.purged);
            past.round = self.round;
            push(&mut past.resident, region.resident, MOMENTS_EACH);
        }
        self.each.retain(|_, past| past.round == self.round);
        let seconds = now - self.seconds;
        let a_second = |purges: u64| {
            if self.round > 1 && seconds > 0.0 { purges as f64 / seconds } else { 0.0 }
        };
        moment.purges = purges.known().map(a_second);
        moment.lacks_purges = purges.is_least();
        self.seconds = now;
        push(&mut self.moments, moment, MOMENTS);
    }

    /// The whole, the newest first.
    pub fn moments(&self) -> impl ExactSizeIterator<Item = &Moment> {
        self.moments.iter()
    }

    /// Bytes that one region had, the newest first; `None` where that was unknown.
    pub fn resident(&self, which: Which) -> Vec<Option<u64>> {
        self.each
            .get(&which)
            .map(|past| past.resident.iter().copied().collect())
            .unwrap_or_default()
    }
}

fn push<T>(past: &mut VecDeque<T>, now: T, most: usize) {
    past.truncate(most - 1);
    past.push_front(now);
}

#[cfg(test)]
mod tests {
    use super::History;
    use crate::app::tests::region;
    use ashmem_inspect::region::PageCounts;
    use ashmem_inspect::which::Which;

    #[test]
    fn purges_are_counted_by_the_second_and_only_where_they_were_seen() {
        let mut history = History::default();
        let with = |id, purged| {
            let mut region = region(id, "x", 4096);
            region.pages = Some(PageCounts { purged, ..PageCounts::default() });
            region
        };
        history.add([with(1, 5)].iter(), 100.0);
        history.add([with(1, 9), with(2, 7)].iter(), 102.0);
        history.add([with(1, 0)].iter(), 103.0);
        // At once: how many that is a second nobody can say.
        history.add([with(1, 3)].iter(), 103.0);
        let purges: Vec<_> = history.moments().map(|moment| moment.purges).collect();
        assert_eq!(purges, [0.0, 0.0, 2.0, 0.0].map(Some));
        assert_eq!(history.resident(Which::Memory(1)), [Some(4096); 4]);
        assert_eq!(history.resident(Which::Memory(2)), [], "it is gone");
    }

    #[test]
    fn no_more_is_kept_than_can_be_shown() {
        let mut history = History::default();
        for moment in 0..1000 {
            history.add([region(1, "x", moment)].iter(), moment as f64);
        }
        assert_eq!(history.moments().len(), super::MOMENTS);
        assert_eq!(history.resident(Which::Memory(1)).len(), super::MOMENTS_EACH);
        let newest = history.moments().next().map(|moment| moment.resident.known());
        assert_eq!(newest, Some(Some(999)));
    }

    #[test]
    fn what_nobody_knows_is_no_zero() {
        let mut history = History::default();
        let unknown = |id| {
            let mut region = region(id, "x", 4096);
            (region.pages, region.resident) = (None, None);
            region
        };
        history.add([unknown(1)].iter(), 100.0);
        let newest = history.moments().next().expect("one");
        assert_eq!((newest.resident.known(), newest.unpinned.known()), (None, None));
        assert_eq!((newest.purges, newest.lacks_purges), (None, true));
        assert_eq!(history.resident(Which::Memory(1)), [None]);
        history.add([unknown(1), region(2, "x", 4096)].iter(), 101.0);
        let newest = history.moments().next().expect("one");
        assert_eq!((newest.unpinned.known(), newest.unpinned.is_least()), (Some(0), true));
        assert_eq!((newest.purges, newest.lacks_purges), (Some(0.0), true));
        history.add([region(1, "x", 4096), region(2, "x", 4096)].iter(), 102.0);
        assert_eq!(history.resident(Which::Memory(1)), [Some(4096), None, None]);
    }
}
