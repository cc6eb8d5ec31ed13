// SPDX-License-Identifier: MIT OR Apache-2.0
//! What grew between two moments, told in one way for everything that can: a region, the regions of
//! one pattern, what a process holds, what the same processes hold of one pattern, all together.

use std::collections::HashMap;

use serde::Serialize;

use ashmem_trace::text::Text;

use crate::group::Sum;
use crate::holder_name::{HolderIdentity, HolderName};
use crate::pattern::pattern;
use crate::region::CensusRegion;
use crate::which::Which;

/// How much more there is than there was; less is negative.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Growth {
    /// Regions.
    pub regions: i64,
    /// Bytes. `None` where the size of some region was unknown at one of the two moments.
    pub size: Option<i64>,
    /// Bytes of memory. `None` as for the size.
    pub resident: Option<i64>,
    /// Seconds between the two moments.
    pub seconds: f64,
}

/// Whose growth it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Grower {
    /// Of all regions.
    All,
    /// Of one.
    Region(Which),
    /// Of those of one pattern, whoever holds them.
    Pattern(Text),
    /// Of those that this one holds or maps, others besides or not.
    Holder(HolderName),
    /// Of those of one pattern that just these hold, and that are mapped nowhere or not.
    Holding(Text, Vec<HolderName>, bool),
}

/// A moment that later ones are compared with.
#[derive(Debug)]
pub struct Baseline {
    identity: HolderIdentity,
    seconds: f64,
    stocks: HashMap<Grower, Stock>,
}

/// How much there is at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stock {
    regions: u64,
    size: Sum,
    resident: Sum,
}

impl Grower {
    /// Whether a region is among those whose growth this is, of holders that are processes.
    pub fn takes_in(&self, region: &CensusRegion) -> bool {
        let holders = || HolderName::all_of(region, HolderIdentity::Process);
        match self {
            Self::All => true,
            Self::Region(which) => Which::of(region) == *which,
            Self::Pattern(wanted) => pattern(&region.name) == *wanted,
            Self::Holder(holder) => holders().contains(holder),
            Self::Holding(wanted, all, is_unmapped) => {
                region.is_unmapped() == *is_unmapped
                    && pattern(&region.name) == *wanted
                    && holders() == *all
            }
        }
    }
}

impl Stock {
    /// What these regions come to.
    pub fn of<'a>(regions: impl IntoIterator<Item = &'a CensusRegion>) -> Self {
        let mut stock = Self::default();
        regions.into_iter().for_each(|region| stock.add(region));
        stock
    }

    /// One region more.
    pub fn add(&mut self, region: &CensusRegion) {
        self.regions += 1;
        self.size.add(region.size);
        self.resident.add(region.resident);
    }

    /// How much more this is than what was `before`, so many seconds earlier.
    fn since(&self, before: &Self, seconds: f64) -> Growth {
        Growth {
            regions: difference(self.regions, before.regions),
            size: of_sums(self.size, before.size),
            resident: of_sums(self.resident, before.resident),
            seconds,
        }
    }
}

impl Baseline {
    /// How these regions are at this moment, in seconds of any clock that later moments have too.
    pub fn of(regions: &[&CensusRegion], seconds: f64, identity: HolderIdentity) -> Self {
        let mut stocks: HashMap<Grower, Stock> = HashMap::new();
        let mut add = |grower, region| stocks.entry(grower).or_default().add(region);
        for region in regions {
            let (pattern, holders) = (pattern(&region.name), HolderName::all_of(region, identity));
            add(Grower::All, region);
            add(Grower::Region(Which::of(region)), region);
            add(Grower::Pattern(pattern.clone()), region);
            holders.iter().for_each(|holder| add(Grower::Holder(holder.clone()), region));
            add(Grower::Holding(pattern, holders, region.is_unmapped()), region);
        }
        Self { identity, seconds, stocks }
    }

    /// Which holders are the same at both moments.
    pub fn identity(&self) -> HolderIdentity {
        self.identity
    }

    /// Seconds from it to this moment.
    pub fn seconds(&self, now: f64) -> f64 {
        (now - self.seconds).max(0.0)
    }

    /// How much more there is now of something, at this moment. What it did not know then it had
    /// none of.
    pub fn growth(&self, grower: &Grower, now: &Stock, seconds: f64) -> Growth {
        let before = self.stocks.get(grower).copied().unwrap_or_default();
        now.since(&before, self.seconds(seconds))
    }
}

fn of_sums(now: Sum, before: Sum) -> Option<i64> {
    let whole = |sum: Sum| sum.known().filter(|_| !sum.is_least());
    Some(difference(whole(now)?, whole(before)?))
}

fn difference(now: u64, before: u64) -> i64 {
    let size = i64::try_from(now.abs_diff(before)).unwrap_or(i64::MAX);
    if now >= before { size } else { -size }
}

#[cfg(test)]
mod tests {
    use super::{Baseline, Grower, Growth, HolderIdentity, Stock};
    use crate::holder_name::HolderName;
    use crate::made_up::{held_by, region};
    use crate::region::CensusRegion;
    use crate::which::Which;
    use ashmem_trace::text::Text;

    fn baseline(regions: &[CensusRegion]) -> Baseline {
        Baseline::of(&regions.iter().collect::<Vec<_>>(), 10.0, HolderIdentity::Process)
    }

    fn growth(regions: i64, size: Option<i64>, resident: Option<i64>) -> Growth {
        Growth { regions, size, resident, seconds: 5.0 }
    }

    #[test]
    fn more_is_told_of_all_of_a_pattern_of_a_holder_and_of_both() {
        let before = baseline(&[region(1, "w-1", 7), region(2, "x", 8)]);
        let now = [region(1, "w-1", 7), region(3, "w-2", 7), region(2, "x", 8), region(4, "x", 7)];
        let of = |grower: Grower, ids: &[u64]| {
            let stock = Stock::of(now.iter().filter(|one| ids.contains(&one.id.unwrap_or(0))));
            before.growth(&grower, &stock, 15.0)
        };
        let holder = |at: usize| HolderName::all_of(&now[at], HolderIdentity::Process);
        let pattern = Text::from("w-#");
        for (grower, wanted) in [
            (Grower::All, 4),
            (Grower::Pattern(pattern.clone()), 2),
            (Grower::Region(Which::Memory(3)), 1),
            (Grower::Holder(holder(0).remove(0)), 3),
            (Grower::Holding(pattern.clone(), holder(0), false), 2),
            (Grower::Holding(pattern.clone(), holder(0), true), 0),
        ] {
            assert_eq!(now.iter().filter(|one| grower.takes_in(one)).count(), wanted, "{grower:?}");
        }
        let one_more = growth(1, Some(8192), Some(4096));
        assert_eq!(of(Grower::All, &[1, 2, 3, 4]), growth(2, Some(16384), Some(8192)));
        assert_eq!(of(Grower::Pattern(pattern.clone()), &[1, 3]), one_more);
        assert_eq!(of(Grower::Holding(pattern, holder(0), false), &[1, 3]), one_more);
        let holds = Grower::Holder(holder(0).remove(0));
        assert_eq!(of(holds, &[1, 3, 4]), growth(2, Some(16384), Some(8192)));
        assert_eq!(of(Grower::Region(Which::Memory(1)), &[1]), growth(0, Some(0), Some(0)));
        assert_eq!(of(Grower::Region(Which::Memory(4)), &[4]), one_more, "it is new");
    }

    #[test]
    fn less_is_negative_and_what_was_unknown_grows_by_nobody_knows_what() {
        let mut blind = region(1, "x", 7);
        let before = baseline(&[region(1, "x", 7), region(2, "x", 7)]);
        let now = |region: &CensusRegion| before.growth(&Grower::All, &Stock::of([region]), 15.0);
        assert_eq!(now(&blind), growth(-1, Some(-8192), Some(-4096)));
        blind.resident = None;
        assert_eq!(now(&blind), growth(-1, Some(-8192), None));
        let before = baseline(std::slice::from_ref(&blind));
        let known = region(1, "x", 7);
        let now = before.growth(&Grower::All, &Stock::of([&known]), 15.0);
        assert_eq!(now, growth(0, Some(0), None), "it may have had it before");
    }

    #[test]
    fn a_program_that_was_started_again_is_the_same_program() {
        let (first, second) =
            (held_by(region(1, "x", 7), "app"), held_by(region(2, "x", 9), "app"));
        for (identity, more) in [(HolderIdentity::Process, 1), (HolderIdentity::Program, 0)] {
            let before = Baseline::of(&[&first], 10.0, identity);
            let holders = HolderName::all_of(&second, identity);
            let grower = Grower::Holding(Text::from("x"), holders, false);
            let now = before.growth(&grower, &Stock::of([&second]), 15.0);
            assert_eq!(now.regions, more, "{identity:?}");
        }
    }
}
