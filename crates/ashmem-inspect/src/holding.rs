// SPDX-License-Identifier: MIT OR Apache-2.0
//! Holdings: the regions of one pattern that the same processes hold. Of a program that makes one
//! region after another and keeps them all, they are one row.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde::Serialize;

use ashmem_trace::family::NAMELESS;
use ashmem_trace::text::Text;

use crate::group::Totals;
use crate::growth::{Baseline, Grower, Growth, Stock};
use crate::holder_name::{HolderIdentity, HolderName};
use crate::pattern::pattern;
use crate::region::CensusRegion;

/// Regions of one pattern that just these hold.
#[derive(Clone, Debug, Serialize)]
pub struct Holding {
    /// The pattern of their names.
    pub pattern: Text,
    /// Who holds or maps each of them.
    pub holders: Vec<HolderName>,
    /// Whether none of them is mapped by anybody; otherwise each is by somebody.
    pub is_unmapped: bool,
    /// What they come to.
    pub totals: Totals,
    /// Since the moment that it is compared with; `None` without one.
    pub growth: Option<Growth>,
}

/// What the regions of a holding have in common: their pattern, their holders, and whether they are
/// mapped nowhere.
type HoldingKey = (Text, Vec<HolderName>, bool);

impl Holding {
    /// All holdings among these regions, the leaks first: what is mapped nowhere, then what grew
    /// most, then what has most memory. `now` is of the clock of the baseline.
    pub fn all_of(regions: &[&CensusRegion], baseline: Option<&Baseline>, now: f64) -> Vec<Self> {
        let identity = baseline.map_or(HolderIdentity::Process, Baseline::identity);
        let mut gathered: HashMap<HoldingKey, Vec<&CensusRegion>> = HashMap::new();
        for region in regions {
            let holders = HolderName::all_of(region, identity);
            let key = (pattern(&region.name), holders, region.is_unmapped());
            gathered.entry(key).or_default().push(region);
        }
        let holding = |((pattern, holders, is_unmapped), regions): (HoldingKey, Vec<_>)| {
            let totals = Totals::of("total", regions.iter().copied());
            let growth = baseline.map(|baseline| {
                let grower = Grower::Holding(pattern.clone(), holders.clone(), is_unmapped);
                baseline.growth(&grower, &Stock::of(regions.iter().copied()), now)
            });
            Self { pattern, holders, is_unmapped, totals, growth }
        };
        let mut holdings: Vec<Self> = gathered.into_iter().map(holding).collect();
        holdings.sort_by_key(Self::rank);
        holdings
    }

    /// What may be a leak: what is mapped nowhere, and what has more regions than at the baseline.
    pub fn leaks(regions: &[&CensusRegion], baseline: Option<&Baseline>, now: f64) -> Vec<Self> {
        if baseline.is_none() {
            let unmapped: Vec<&CensusRegion> =
                regions.iter().copied().filter(|region| region.is_unmapped()).collect();
            return Self::all_of(&unmapped, None, now);
        }
        let mut holdings = Self::all_of(regions, baseline, now);
        holdings.retain(Self::is_leak);
        holdings
    }

    /// Whether it may be a leak.
    pub fn is_leak(&self) -> bool {
        self.is_unmapped || self.grew() > 0
    }

    /// What it is recognised by.
    pub fn grower(&self) -> Grower {
        Grower::Holding(self.pattern.clone(), self.holders.clone(), self.is_unmapped)
    }

    /// Its pattern as people read it.
    pub fn name(&self) -> String {
        if self.pattern.is_empty() { NAMELESS.to_owned() } else { self.pattern.to_string() }
    }

    /// By how many regions it grew, as far as somebody watched.
    pub fn grew(&self) -> i64 {
        self.growth.map_or(0, |growth| growth.regions)
    }

    /// What stands first has the lowest.
    fn rank(&self) -> impl Ord + use<> {
        let memory = (self.totals.resident.known(), self.totals.size.known());
        let amounts = Reverse((self.is_unmapped, self.grew(), memory, self.totals.regions));
        (amounts, self.pattern.clone(), self.holders.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::Holding;
    use crate::growth::Baseline;
    use crate::holder_name::HolderIdentity;
    use crate::made_up::{region, unmapped};
    use crate::region::CensusRegion;

    fn rows(holdings: &[Holding]) -> Vec<(String, usize, Option<i64>)> {
        let row = |holding: &Holding| {
            let growth = holding.growth.map(|growth| growth.regions);
            (holding.pattern.to_string(), holding.totals.regions, growth)
        };
        holdings.iter().map(row).collect()
    }

    #[test]
    fn many_regions_of_one_program_are_one_row() {
        let mut regions: Vec<CensusRegion> =
            (0..440).map(|id| unmapped(region(id, &format!("window {id}"), 7))).collect();
        regions.push(unmapped(region(900, "window 5", 8)));
        regions.push(region(901, "window 5", 7));
        let all: Vec<_> = regions.iter().collect();
        let leaks = Holding::leaks(&all, None, 0.0);
        let wanted = [("window #".to_owned(), 440, None), ("window #".to_owned(), 1, None)];
        assert_eq!(rows(&leaks), wanted, "what is mapped is no leak while nothing grew");
        assert_eq!(Holding::all_of(&all, None, 0.0).len(), 3);
        assert_eq!(leaks[0].totals.resident.known(), Some(440 * 4096));
        assert_eq!(leaks[0].holders[0].pid, Some(7));
    }

    #[test]
    fn what_stays_mapped_and_grows_is_a_leak_too() {
        let first = [region(1, "gralloc-1", 7), region(2, "cache", 8)];
        let baseline = Baseline::of(&[&first[0], &first[1]], 0.0, HolderIdentity::Process);
        let mut later = first.to_vec();
        later.extend([region(3, "gralloc-2", 7), region(4, "gralloc-3", 7)]);
        later.push(unmapped(region(5, "cache", 8)));
        later.remove(1);
        let all: Vec<_> = later.iter().collect();
        let leaks = Holding::leaks(&all, Some(&baseline), 60.0);
        let wanted = [("cache".to_owned(), 1, Some(1)), ("gralloc-#".to_owned(), 3, Some(2))];
        assert_eq!(rows(&leaks), wanted, "what is mapped nowhere stands first");
        assert_eq!(leaks[1].growth.map(|growth| growth.seconds), Some(60.0));
    }
}
