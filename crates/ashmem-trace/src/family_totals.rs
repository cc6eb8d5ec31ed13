// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the regions of a trace come to, by the family of their names.
//!
//! A family's growth is what its regions are, minus what those of them were that the trace found
//! there. A region counts for the family that it has now; one that was there before the trace is
//! taken away once and for all from the family in which it was found. Where nobody can tell whether
//! a region was there before, neither its meeting nor its end counts.
//!
//! Kept of each region that is there, and of each family that differs from nothing: what ended, and
//! what grew and shrank again, needs no memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::event::{Event, EventRegion};
use crate::family::{NAMELESS, family};
use crate::glob::Glob;
use crate::operation::Operation;
use crate::text::Text;

/// All families so far.
#[derive(Debug, Default)]
pub struct FamilyTotals {
    /// Only regions whose name matches one of these, if there are any.
    wanted: Vec<Glob>,
    regions: HashMap<u64, FamilyMember>,
    families: BTreeMap<Arc<str>, FamilyTotal>,
}

/// What one family comes to. Programs choose sizes up to 2^64 each: the sums have room for that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FamilyTotal {
    /// Regions made since the trace began, minus those that ended.
    pub regions: i64,
    /// Bytes that there are more than when the trace began.
    pub bytes: i128,
    /// Bytes of all that are there, as far as their sizes are known.
    pub size: i128,
}

/// What an event changed of a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyChange {
    /// Which.
    pub family: Arc<str>,
    /// Before it.
    pub before: FamilyTotal,
    /// After it.
    pub after: FamilyTotal,
}

/// A region that is there.
#[derive(Clone, Debug)]
struct FamilyMember {
    origin: MemberOrigin,
    name: Option<Text>,
    /// None: it is none of those that are wanted.
    family: Option<Arc<str>>,
    /// Bytes, where they are known.
    size: Option<u64>,
    /// The family in which it was found, and its first size that was known.
    found: (Option<Arc<str>>, Option<u64>),
}

/// Where a region came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MemberOrigin {
    /// It was made while the trace ran.
    Made,
    /// It was there before.
    Before,
    /// One of these two: which, nobody saw.
    Unknown,
    /// Its open failed: nobody has it.
    Failed,
}

/// Regions, bytes more, and bytes.
type FamilyFigures = [i128; 3];

impl FamilyTotals {
    /// Only of regions whose name matches one of these; of all, if there are none.
    pub fn of_names(wanted: Vec<Glob>) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// Takes an event, and tells what it changed: nothing, a family, or, of a region that was
    /// renamed, two.
    pub fn take(&mut self, event: &Event) -> Vec<FamilyChange> {
        let Some(seen) = &event.region else { return Vec::new() };
        let ends = matches!(event.operation, Operation::Release {});
        // Most events change nothing of this.
        if !ends && self.regions.get(&seen.id).is_some_and(|known| known.is_as(seen)) {
            return Vec::new();
        }
        let old = self.regions.remove(&seen.id);
        let mut new = old.clone().unwrap_or_else(|| self.met_by(event, seen));
        if seen.name.is_some() && seen.name != new.name {
            new.family = self.family_of(seen.name.as_ref());
            new.name.clone_from(&seen.name);
        }
        new.size = seen.size.or(new.size);
        new.found.1 = new.found.1.or(seen.size);
        let mut more: Vec<(Arc<str>, FamilyFigures)> = Vec::new();
        let mut add = |family: &Option<Arc<str>>, figures: FamilyFigures, sign: i128| {
            let Some(family) = family else { return };
            let figures = figures.map(|figure| sign * figure);
            match more.iter_mut().find(|(known, _)| known == family) {
                Some((_, sum)) => sum.iter_mut().zip(figures).for_each(|(sum, one)| *sum += one),
                None => more.push((Arc::clone(family), figures)),
            }
        };
        if let Some(old) = &old {
            add(&old.family, old.figures(), -1);
            add(&old.found.0, old.figures_when_found(), 1);
        }
        if !ends {
            add(&new.family, new.figures(), 1);
        }
        add(&new.found.0, new.figures_when_found(), -1);
        if !ends {
            self.regions.insert(seen.id, new);
        }
        more.into_iter().filter_map(|(family, figures)| self.add(family, figures)).collect()
    }

    /// Every family that differs from nothing, in the order of their names.
    pub fn all(&self) -> impl Iterator<Item = (&Arc<str>, FamilyTotal)> {
        self.families.iter().map(|(family, total)| (family, *total))
    }

    fn met_by(&self, event: &Event, seen: &EventRegion) -> FamilyMember {
        let makes = matches!(event.operation, Operation::Open {} | Operation::MemfdCreate { .. });
        let origin = match (makes, event.outcome.errno(), seen.made_in_trace) {
            (true, Some(_), _) => MemberOrigin::Failed,
            (true, None, _) | (false, _, Some(true)) => MemberOrigin::Made,
            (false, _, Some(false)) => MemberOrigin::Before,
            (false, _, None) => MemberOrigin::Unknown,
        };
        let family = self.family_of(seen.name.as_ref());
        let found = (family.clone(), seen.size);
        FamilyMember { origin, name: seen.name.clone(), family, size: seen.size, found }
    }

    fn family_of(&self, name: Option<&Text>) -> Option<Arc<str>> {
        let is_wanted = self.wanted.is_empty()
            || name.is_some_and(|name| {
                let name = name.to_string();
                self.wanted.iter().any(|pattern| pattern.matches(&name))
            });
        let family = || name.map_or_else(|| NAMELESS.into(), |name| family(name).into());
        is_wanted.then(family)
    }

    fn add(
        &mut self,
        family: Arc<str>,
        [regions, bytes, size]: FamilyFigures,
    ) -> Option<FamilyChange> {
        if [regions, bytes, size] == [0; 3] {
            return None;
        }
        let before = self.families.get(&family).copied().unwrap_or_default();
        let after = FamilyTotal {
            // One region more or less.
            regions: before.regions + regions as i64,
            bytes: before.bytes + bytes,
            size: before.size + size,
        };
        if after == FamilyTotal::default() {
            self.families.remove(&family);
        } else {
            self.families.insert(Arc::clone(&family), after);
        }
        Some(FamilyChange { family, before, after })
    }
}

impl FamilyMember {
    /// Whether nothing else is known of it by now.
    fn is_as(&self, seen: &EventRegion) -> bool {
        (seen.name.is_none() || seen.name == self.name)
            && (seen.size.is_none() || seen.size == self.size)
    }

    /// What it is while it is there.
    fn figures(&self) -> FamilyFigures {
        let size = bytes(self.size);
        match self.origin {
            MemberOrigin::Made | MemberOrigin::Before => [1, size, size],
            MemberOrigin::Unknown => [0, 0, size],
            MemberOrigin::Failed => [0; 3],
        }
    }

    /// What of it was there when the trace began.
    fn figures_when_found(&self) -> FamilyFigures {
        match self.origin {
            MemberOrigin::Before => [1, bytes(self.found.1), 0],
            MemberOrigin::Made | MemberOrigin::Unknown | MemberOrigin::Failed => [0; 3],
        }
    }
}

/// As a figure that can be added and taken away.
fn bytes(size: Option<u64>) -> i128 {
    size.unwrap_or(0).into()
}

#[cfg(test)]
mod tests {
    use super::{FamilyTotal, FamilyTotals};
    use crate::event::{CallOutcome, Event, EventProcess, EventRegion, Source};
    use crate::operation::Operation;
    use crate::text::Text;

    fn event(id: u64, name: &str, size: u64, operation: Operation, result: i64) -> Event {
        Event {
            mono_ns: 0,
            source: Source::Agent,
            process: EventProcess::default(),
            operation,
            region: Some(EventRegion {
                id,
                name: (!name.is_empty()).then(|| Text::from(name)),
                size: Some(size),
                made_in_trace: Some(false),
                ..EventRegion::default()
            }),
            outcome: CallOutcome::of_return(result),
            duration_ns: None,
        }
    }

    /// The same of a region of which is known that it was made during the trace, or nothing.
    fn of(made_in_trace: Option<bool>, mut event: Event) -> Event {
        event.region.as_mut().expect("a region").made_in_trace = made_in_trace;
        event
    }

    fn all(totals: &FamilyTotals) -> Vec<(String, i64, i128, i128)> {
        let row = |(family, FamilyTotal { regions, bytes, size }): (&std::sync::Arc<str>, _)| {
            (family.to_string(), regions, bytes, size)
        };
        totals.all().map(row).collect()
    }

    #[test]
    fn what_is_made_counts_until_it_ends_and_what_was_there_counts_as_freed() {
        let mut totals = FamilyTotals::default();
        totals.take(&event(1, "", 0, Operation::Open {}, 0));
        totals.take(&event(2, "", 0, Operation::Open {}, -24));
        let open = all(&totals);
        assert_eq!(open, [("(no name)".to_owned(), 1, 0, 0)], "the second open failed");
        let name = Operation::SetName { name: Some(Text::from("gralloc-1")) };
        let changes = totals.take(&event(1, "gralloc-1", 0, name, 0));
        assert_eq!(changes.len(), 2, "it left one family for another: {changes:?}");
        totals.take(&event(1, "gralloc-1", 8192, Operation::SetSize { bytes: 8192 }, 0));
        totals.take(&event(3, "dalvik-main", 4096, Operation::GetSize {}, 0));
        let both = [("dalvik-".to_owned(), 0, 0, 4096), ("gralloc".to_owned(), 1, 8192, 8192)];
        assert_eq!(all(&totals), both);
        for (id, name, size) in [(1, "gralloc-1", 8192), (2, "", 0), (3, "dalvik-main", 4096)] {
            totals.take(&event(id, name, size, Operation::Release {}, 0));
        }
        assert_eq!(all(&totals), [("dalvik-".to_owned(), -1, -4096, 0)]);
        assert!(totals.regions.is_empty(), "what ended needs no memory");
    }

    #[test]
    fn what_a_stranger_made_during_the_trace_comes_and_goes() {
        let mut totals = FamilyTotals::default();
        let got = event(1, "gralloc", 4096, Operation::GetSize {}, 0);
        totals.take(&of(Some(true), got));
        assert_eq!(all(&totals), [("gralloc".to_owned(), 1, 4096, 4096)]);
        totals.take(&of(Some(true), event(1, "gralloc", 4096, Operation::Release {}, 0)));
        assert_eq!(all(&totals), []);
    }

    #[test]
    fn what_may_have_been_there_counts_neither_when_met_nor_at_its_end() {
        let mut totals = FamilyTotals::default();
        totals.take(&of(None, event(1, "gralloc", 4096, Operation::GetSize {}, 0)));
        assert_eq!(all(&totals), [("gralloc".to_owned(), 0, 0, 4096)]);
        totals.take(&of(None, event(1, "gralloc", 4096, Operation::Release {}, 0)));
        assert_eq!(all(&totals), []);
    }

    #[test]
    fn what_was_there_is_less_where_it_was_found_and_not_where_it_went() {
        let mut totals = FamilyTotals::default();
        totals.take(&event(1, "old", 4096, Operation::GetSize {}, 0));
        totals.take(&event(1, "new", 4096, Operation::GetSize {}, 0));
        let moved = [("new".to_owned(), 1, 4096, 4096), ("old".to_owned(), -1, -4096, 0)];
        assert_eq!(all(&totals), moved);
        totals.take(&event(1, "new", 4096, Operation::Release {}, 0));
        assert_eq!(all(&totals), [("old".to_owned(), -1, -4096, 0)]);
    }

    #[test]
    fn a_region_counts_among_the_wanted_while_its_name_is_wanted() {
        let wanted = || FamilyTotals::of_names(vec!["cache*".parse().expect("a pattern")]);
        let mut totals = wanted();
        totals.take(&event(1, "", 4096, Operation::Open {}, 0));
        assert_eq!(all(&totals), [], "it has no name yet");
        totals.take(&event(1, "cache-1", 4096, Operation::GetSize {}, 0));
        assert_eq!(all(&totals), [("cache".to_owned(), 1, 4096, 4096)]);
        totals.take(&event(1, "other", 4096, Operation::GetSize {}, 0));
        assert_eq!(all(&totals), [], "it was renamed");
        // One that was there under another name, and is renamed into a wanted one.
        let mut totals = wanted();
        totals.take(&event(1, "other", 4096, Operation::GetSize {}, 0));
        totals.take(&event(1, "cache", 4096, Operation::GetSize {}, 0));
        assert_eq!(all(&totals), [("cache".to_owned(), 1, 4096, 4096)]);
        totals.take(&event(1, "cache", 4096, Operation::Release {}, 0));
        assert_eq!(all(&totals), []);
        // However many have no name yet, the next one counts.
        for id in 0..10_000 {
            totals.take(&event(id, "", 0, Operation::Open {}, 0));
        }
        totals.take(&event(10_000, "", 0, Operation::Open {}, 0));
        totals.take(&event(10_000, "cache", 1, Operation::GetSize {}, 0));
        assert_eq!(all(&totals), [("cache".to_owned(), 1, 1, 1)]);
    }

    #[test]
    fn the_largest_sizes_add_up() {
        let mut totals = FamilyTotals::default();
        for id in 0..3 {
            totals.take(&event(id, "huge", u64::MAX, Operation::Open {}, 0));
        }
        let three = 3 * i128::from(u64::MAX);
        assert_eq!(all(&totals), [("huge".to_owned(), 3, three, three)]);
        for id in 0..3 {
            totals.take(&event(id, "huge", u64::MAX, Operation::Release {}, 0));
        }
        assert_eq!(all(&totals), []);
    }

    #[test]
    fn an_event_that_changes_nothing_tells_nothing() {
        let mut totals = FamilyTotals::default();
        totals.take(&event(1, "cache", 4096, Operation::GetSize {}, 0));
        assert!(totals.take(&event(1, "cache", 4096, Operation::GetSize {}, 0)).is_empty());
    }
}
