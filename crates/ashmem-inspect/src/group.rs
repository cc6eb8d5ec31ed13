// SPDX-License-Identifier: MIT OR Apache-2.0
//! Regions whose names begin alike, and what they come to.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde::Serialize;

use ashmem_trace::family::family;

use crate::region::CensusRegion;

/// What several regions come to. A region counts once, however many processes have it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// What they have in common.
    pub name: String,
    /// How many.
    pub regions: usize,
    /// Bytes.
    pub size: Sum,
    /// Bytes.
    pub resident: Sum,
    /// Pages.
    pub pinned: Sum,
    /// Pages.
    pub unpinned: Sum,
    /// Pages.
    pub purged: Sum,
    /// Of how many the size is unknown.
    pub size_unknown: usize,
    /// Of how many the memory is unknown.
    pub resident_unknown: usize,
    /// Of how many the pages' state is unknown.
    pub pages_unknown: usize,
    /// How many are held and mapped nowhere.
    pub unmapped: usize,
    /// Bytes of memory of these.
    pub unmapped_resident: Sum,
    /// When the oldest of them was made of which that is known, in seconds since 1970.
    pub oldest: Option<f64>,
}

/// A sum of what is known: of nothing it is 0, of unknown figures alone it is unknown, and of both
/// it is a least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(into = "Option<u64>")]
pub struct Sum {
    known: Option<u64>,
    lacks: bool,
}

impl Sum {
    /// What is known of it: `None`, nothing is, though there is something.
    pub fn known(self) -> Option<u64> {
        self.known.or((!self.lacks).then_some(0))
    }

    /// Whether something is missing in it.
    pub fn is_least(self) -> bool {
        self.lacks
    }

    /// Adds one figure, or one that is unknown.
    pub fn add(&mut self, figure: Option<u64>) {
        match figure {
            Some(figure) => self.known = Some(self.known.unwrap_or(0).saturating_add(figure)),
            None => self.lacks = true,
        }
    }

    /// Adds another sum.
    pub fn join(&mut self, other: Self) {
        if other.known.is_some() {
            self.add(other.known);
        }
        self.lacks |= other.lacks;
    }

    /// The sum as people read it: `20`, `≥20` where something is missing in it, `?`.
    pub fn shown<T: Display>(self, unit: impl Fn(u64) -> T) -> String {
        match (self.known(), self.lacks) {
            (None, _) => "?".to_owned(),
            (Some(known), true) => format!("≥{}", unit(known)),
            (Some(known), false) => unit(known).to_string(),
        }
    }
}

impl From<Sum> for Option<u64> {
    fn from(sum: Sum) -> Self {
        sum.known()
    }
}

impl Totals {
    /// What these regions come to.
    pub fn of<'a>(name: &str, regions: impl Iterator<Item = &'a CensusRegion>) -> Self {
        let mut totals = Self { name: name.to_owned(), ..Self::default() };
        regions.for_each(|region| totals.add(region));
        totals
    }

    /// What several come to that have no region in common.
    pub fn sum<'a>(name: &str, parts: impl Iterator<Item = &'a Self>) -> Self {
        let mut totals = Self { name: name.to_owned(), ..Self::default() };
        for part in parts {
            totals.regions += part.regions;
            totals.size.join(part.size);
            totals.resident.join(part.resident);
            totals.pinned.join(part.pinned);
            totals.unpinned.join(part.unpinned);
            totals.purged.join(part.purged);
            totals.size_unknown += part.size_unknown;
            totals.resident_unknown += part.resident_unknown;
            totals.pages_unknown += part.pages_unknown;
            totals.unmapped += part.unmapped;
            totals.unmapped_resident.join(part.unmapped_resident);
            totals.join_oldest(part.oldest);
        }
        totals
    }

    fn join_oldest(&mut self, other: Option<f64>) {
        self.oldest = match (self.oldest, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    fn add(&mut self, region: &CensusRegion) {
        let pages = region.pages;
        self.regions += 1;
        self.size.add(region.size);
        self.resident.add(region.resident);
        self.pinned.add(pages.map(|pages| pages.pinned));
        self.unpinned.add(pages.map(|pages| pages.unpinned));
        self.purged.add(pages.map(|pages| pages.purged));
        self.size_unknown += usize::from(region.size.is_none());
        self.resident_unknown += usize::from(region.resident.is_none());
        self.pages_unknown += usize::from(pages.is_none());
        if region.is_unmapped() {
            self.unmapped += 1;
            self.unmapped_resident.add(region.resident);
        }
        self.join_oldest(region.created);
    }
}

/// Regions by the family of their names, the family with most memory first; within one the order
/// stays.
pub fn by_family<'a>(regions: &[&'a CensusRegion]) -> Vec<(Totals, Vec<&'a CensusRegion>)> {
    let mut families: BTreeMap<String, Vec<&CensusRegion>> = BTreeMap::new();
    for region in regions {
        families.entry(family(&region.name)).or_default().push(region);
    }
    let totals = |(name, regions): (String, Vec<&'a CensusRegion>)| {
        (Totals::of(&name, regions.iter().copied()), regions)
    };
    let mut groups: Vec<_> = families.into_iter().map(totals).collect();
    groups.sort_by_key(|(totals, _)| {
        std::cmp::Reverse((totals.resident.known(), totals.size.known()))
    });
    groups
}

#[cfg(test)]
mod tests {
    use super::{Sum, Totals};
    use crate::made_up::{region, unmapped};
    use crate::region::CensusRegion;

    #[test]
    fn what_is_unknown_is_not_nothing() {
        let sum = |figures: &[Option<u64>]| {
            let mut sum = Sum::default();
            figures.iter().for_each(|figure| sum.add(*figure));
            (sum.known(), sum.shown(|figure| figure))
        };
        assert_eq!(sum(&[]), (Some(0), "0".to_owned()));
        assert_eq!(sum(&[None, None]), (None, "?".to_owned()));
        assert_eq!(sum(&[Some(2), None]), (Some(2), "≥2".to_owned()));
        assert_eq!(sum(&[Some(2), Some(u64::MAX)]), (Some(u64::MAX), u64::MAX.to_string()));
    }

    #[test]
    fn the_sum_of_parts_is_that_of_all() {
        let mut regions: Vec<_> = (0..6).map(|id| region(id, "x", 7)).collect();
        regions[1] = unmapped(regions[1].clone());
        regions[2].resident = None;
        regions[3].pages = None;
        (regions[4].created, regions[5].created) = (Some(9.0), Some(5.0));
        let of = |some: &[CensusRegion]| Totals::of("all", some.iter());
        for at in 0..=regions.len() {
            let (some, others) = regions.split_at(at);
            assert_eq!(Totals::sum("all", [of(some), of(others)].iter()), of(&regions), "{at}");
        }
    }
}
