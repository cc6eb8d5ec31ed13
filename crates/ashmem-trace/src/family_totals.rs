// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the regions of a trace come to, by the family of their names.
//!
//! Kept of each region that is there, and of each family that differs from nothing: what ended, and
//! what grew and shrank again, needs no memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::event::Event;
use crate::family::{NAMELESS, family};
use crate::operation::Operation;
use crate::text::Text;

/// All families so far.
#[derive(Debug, Default)]
pub struct FamilyTotals {
    regions: HashMap<u64, FamilyMember>,
    families: BTreeMap<Arc<str>, FamilyTotal>,
}

/// What one family comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FamilyTotal {
    /// Regions made since the trace began, minus those that ended.
    pub regions: i64,
    /// Bytes that they, and the others by a new size, have more than when the trace began or first
    /// met them.
    pub bytes: i64,
    /// Bytes of all that are there, as far as their sizes are known.
    pub size: u64,
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
    origin: Origin,
    name: Option<Text>,
    family: Arc<str>,
    /// Bytes, where they are known; and when they first were.
    size: Option<u64>,
    first: Option<u64>,
}

/// Where a region came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The trace saw it made.
    Made,
    /// It was there before.
    Before,
    /// Its open failed: nobody has it.
    Failed,
}

impl FamilyTotals {
    /// Takes an event, and tells what it changed: nothing, a family, or, of a region that was
    /// renamed, two.
    pub fn take(&mut self, event: &Event) -> Vec<FamilyChange> {
        let Some(seen) = &event.region else { return Vec::new() };
        let old = self.regions.remove(&seen.id);
        let mut new = old.clone().unwrap_or_else(|| FamilyMember::met_by(event));
        if seen.name.is_some() && seen.name != new.name {
            new.family =
                seen.name.as_ref().map_or_else(|| NAMELESS.into(), |name| family(name).into());
            new.name.clone_from(&seen.name);
        }
        new.size = seen.size.or(new.size);
        new.first = new.first.or(seen.size);
        let before = old.as_ref().map_or([0; 3], FamilyMember::figures);
        let ends = matches!(event.operation, Operation::Release {});
        let after = if ends { new.figures_of_the_ended() } else { new.figures() };
        let mut changes = Vec::new();
        match &old {
            Some(old) if old.family != new.family => {
                changes.extend(self.add(&old.family, before.map(|figure| -figure)));
                changes.extend(self.add(&new.family, after));
            }
            _ => {
                let [regions, bytes, size] = after;
                let more = [regions - before[0], bytes - before[1], size - before[2]];
                changes.extend(self.add(&new.family, more));
            }
        }
        if !ends {
            self.regions.insert(seen.id, new);
        }
        changes
    }

    /// Every family that differs from nothing, in the order of their names.
    pub fn all(&self) -> impl Iterator<Item = (&Arc<str>, FamilyTotal)> {
        self.families.iter().map(|(family, total)| (family, *total))
    }

    fn add(&mut self, family: &Arc<str>, [regions, bytes, size]: [i64; 3]) -> Option<FamilyChange> {
        if [regions, bytes, size] == [0; 3] {
            return None;
        }
        let before = self.families.get(family).copied().unwrap_or_default();
        let after = FamilyTotal {
            regions: before.regions + regions,
            bytes: before.bytes.saturating_add(bytes),
            size: before.size.saturating_add_signed(size),
        };
        if after == FamilyTotal::default() {
            self.families.remove(family);
        } else {
            self.families.insert(Arc::clone(family), after);
        }
        Some(FamilyChange { family: Arc::clone(family), before, after })
    }
}

impl FamilyMember {
    fn met_by(event: &Event) -> Self {
        let makes = matches!(event.operation, Operation::Open {} | Operation::MemfdCreate { .. });
        let origin = match (makes, event.outcome.errno()) {
            (true, Some(_)) => Origin::Failed,
            (true, None) => Origin::Made,
            (false, _) => Origin::Before,
        };
        Self { origin, name: None, family: NAMELESS.into(), size: None, first: None }
    }

    /// Regions and bytes more than at the beginning, and bytes.
    fn figures(&self) -> [i64; 3] {
        let [size, first] = [self.size, self.first].map(bytes);
        match self.origin {
            Origin::Made => [1, size, size],
            Origin::Before => [0, size - first, size],
            Origin::Failed => [0; 3],
        }
    }

    fn figures_of_the_ended(&self) -> [i64; 3] {
        match self.origin {
            Origin::Made | Origin::Failed => [0; 3],
            Origin::Before => [-1, -bytes(self.first), 0],
        }
    }
}

/// As a figure that can be added and taken away.
fn bytes(size: Option<u64>) -> i64 {
    i64::try_from(size.unwrap_or(0)).unwrap_or(i64::MAX)
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
                ..EventRegion::default()
            }),
            outcome: CallOutcome::of_return(result),
            duration_ns: None,
        }
    }

    fn all(totals: &FamilyTotals) -> Vec<(String, i64, i64, u64)> {
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
    fn an_event_that_changes_nothing_tells_nothing() {
        let mut totals = FamilyTotals::default();
        totals.take(&event(1, "cache", 4096, Operation::GetSize {}, 0));
        assert!(totals.take(&event(1, "cache", 4096, Operation::GetSize {}, 0)).is_empty());
    }
}
