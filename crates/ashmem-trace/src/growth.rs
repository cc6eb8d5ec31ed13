// SPDX-License-Identifier: MIT OR Apache-2.0
//! What grows while a trace runs: regions and bytes made minus freed, by the family of their names,
//! a line for each second in which that changed.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::amount::{Bytes, Change, counted, saturated};
use crate::clock::TraceClock;
use crate::event::Event;
use crate::family::FamilyWord;
use crate::family_totals::{FamilyTotal, FamilyTotals};
use crate::glob::Glob;

/// Families that a line for people names, each with so many letters at most.
const FEW: usize = 8;
/// Families that an object of JSON has at most: names are the programs' to choose.
const MOST: usize = 1000;
/// Nanoseconds between two lines, at least.
const SECOND: u64 = 1_000_000_000;

/// The growth so far.
#[derive(Debug, Default)]
pub struct TraceGrowth {
    totals: FamilyTotals,
    has_changed: bool,
    /// Whether events were lost: a region's beginning or end, perhaps.
    is_uncertain: bool,
    /// Whether there was a line.
    has_line: bool,
    /// When the last line was written, in nanoseconds of `CLOCK_MONOTONIC`.
    told: Option<u64>,
}

/// A line of it. In JSON `{"type":"growth",…}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrowthLine {
    /// When, by the wall clock (UTC) as it stood when the trace began.
    pub time: String,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub mono_ns: u64,
    /// Regions made since the trace began, minus those freed.
    pub regions: i64,
    /// Their bytes, and what others have more than when they were first met. A sum that this has
    /// no room for stands at its end.
    pub bytes: i64,
    /// The same by family, of those that have grown or shrunk: the most bytes first.
    pub families: Vec<FamilyGrowth>,
    /// Families that are left out of `families`, because there are too many.
    pub families_left_out: u64,
    /// Whether events were lost since the trace began, so that the sums may be wrong.
    #[serde(default)]
    pub uncertain: bool,
}

/// The growth of one family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyGrowth {
    /// What their names begin with, escaped.
    pub family: String,
    /// Regions made minus freed.
    pub regions: i64,
    /// Bytes made minus freed.
    pub bytes: i64,
}

impl TraceGrowth {
    /// Of regions whose name matches one of these; of all, if there are none.
    pub fn of_names(names: Vec<Glob>) -> Self {
        Self { totals: FamilyTotals::of_names(names), ..Self::default() }
    }

    /// One event more.
    pub fn take(&mut self, event: &Event) {
        self.has_changed |= !self.totals.take(event).is_empty();
    }

    /// Events were lost: from now on no sum is certain.
    pub fn lost(&mut self) {
        self.has_changed |= !self.is_uncertain;
        self.is_uncertain = true;
    }

    /// The line that is due now, in nanoseconds of `CLOCK_MONOTONIC`: a second after the last one,
    /// if anything has changed since.
    pub fn due(&mut self, clock: &TraceClock, now: u64) -> Option<GrowthLine> {
        let told = *self.told.get_or_insert(now);
        (self.has_changed && now.saturating_sub(told) >= SECOND).then(|| self.line(clock, now))
    }

    /// The last line is due if anything has changed since the one before, and if there was none.
    pub fn end(&mut self) {
        (self.has_changed, self.told) = (self.has_changed || !self.has_line, Some(0));
    }

    /// The line as it is now.
    fn line(&mut self, clock: &TraceClock, now: u64) -> GrowthLine {
        (self.has_changed, self.has_line, self.told) = (false, true, Some(now));
        let mut all: Vec<_> =
            self.totals.all().filter(|(_, total)| (total.regions, total.bytes) != (0, 0)).collect();
        // Those of one growth stay in the order of their names.
        all.sort_by_key(|(_, total)| std::cmp::Reverse((total.bytes, total.regions)));
        let regions = all.iter().map(|(_, total)| total.regions).sum();
        let bytes = saturated(all.iter().map(|(_, total)| total.bytes).sum());
        let families_left_out = all.len().saturating_sub(MOST) as u64;
        let shown = |(family, total): (&Arc<str>, FamilyTotal)| FamilyGrowth {
            family: family.to_string(),
            regions: total.regions,
            bytes: saturated(total.bytes),
        };
        let families = all.into_iter().take(MOST).map(shown).collect();
        let time = clock.utc(now);
        let uncertain = self.is_uncertain;
        GrowthLine { time, mono_ns: now, regions, bytes, families, families_left_out, uncertain }
    }
}

impl GrowthLine {
    /// For people.
    pub(crate) fn shown<'a>(&'a self, clock: &'a TraceClock) -> impl fmt::Display + 'a {
        Shown { line: self, clock }
    }
}

struct Shown<'a> {
    line: &'a GrowthLine,
    clock: &'a TraceClock,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GrowthLine { mono_ns, regions, bytes, families, families_left_out, uncertain, .. } =
            self.line;
        write!(
            formatter,
            "{}  {}, {}",
            self.clock.time_of_day(*mono_ns),
            counted(Change(*regions, |regions| regions), "region"),
            Change(*bytes, Bytes)
        )?;
        if *uncertain {
            formatter.write_str(" (uncertain: events were lost)")?;
        }
        for (number, one) in families.iter().take(FEW).enumerate() {
            let between = if number == 0 { ": " } else { "; " };
            let regions = Change(one.regions, |regions| regions);
            let bytes = Change(one.bytes, Bytes);
            write!(formatter, "{between}{:.40} {regions}, {bytes}", FamilyWord(&one.family))?;
        }
        match families.len().saturating_sub(FEW) as u64 + families_left_out {
            0 => Ok(()),
            more => write!(formatter, "; and {more} more names"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FEW, SECOND, TraceGrowth};
    use crate::clock::TraceClock;
    use crate::event::{CallOutcome, Event, EventProcess, EventRegion, Source};
    use crate::operation::Operation;
    use crate::text::Text;

    fn opened(id: u64, name: &str) -> Event {
        Event {
            mono_ns: 0,
            source: Source::Agent,
            process: EventProcess::default(),
            operation: Operation::Open {},
            region: Some(EventRegion {
                id,
                name: Some(Text::from(name)),
                size: Some(4096 * id),
                ..EventRegion::default()
            }),
            outcome: CallOutcome::of_return(0),
            duration_ns: None,
        }
    }

    #[test]
    fn a_line_a_second_and_none_where_nothing_changed() {
        let clock = TraceClock::now();
        let mut growth = TraceGrowth::default();
        assert_eq!(growth.due(&clock, 5), None);
        growth.take(&opened(1, "gralloc-1"));
        assert_eq!(growth.due(&clock, 6), None, "not yet a second");
        let line = growth.due(&clock, 5 + SECOND).expect("a second has passed");
        let text = line.shown(&clock).to_string();
        assert!(text.ends_with("  +1 region, +4K: gralloc +1, +4K"), "{text}");
        assert_eq!(growth.due(&clock, 5 + 9 * SECOND), None, "nothing has changed");
        growth.end();
        assert_eq!(growth.due(&clock, 5 + 9 * SECOND), None, "it was told");
        let mut nothing = TraceGrowth::default();
        nothing.end();
        assert!(nothing.due(&clock, 5 + 9 * SECOND).is_some(), "that there was nothing is told");
    }

    #[test]
    fn after_a_loss_the_sums_are_uncertain() {
        let clock = TraceClock::now();
        let mut growth = TraceGrowth::default();
        growth.take(&opened(1, "gralloc-1"));
        assert!(!growth.line(&clock, 1).uncertain);
        growth.lost();
        let line = growth.due(&clock, 1 + SECOND).expect("that has changed");
        let text = line.shown(&clock).to_string();
        assert!(line.uncertain && text.contains(" +4K (uncertain: events were lost): "), "{text}");
        growth.lost();
        assert_eq!(growth.due(&clock, 1 + 9 * SECOND), None, "it was told");
    }

    #[test]
    fn a_sum_too_large_for_its_number_stands_at_its_end() {
        let mut growth = TraceGrowth::default();
        for id in 1..4 {
            let mut huge = opened(id, "huge");
            huge.region.as_mut().expect("a region").size = Some(u64::MAX);
            growth.take(&huge);
        }
        let line = growth.line(&TraceClock::now(), 1);
        assert_eq!((line.bytes, line.families[0].bytes), (i64::MAX, i64::MAX));
    }

    #[test]
    fn many_names_are_few_words() {
        let clock = TraceClock::now();
        let mut growth = TraceGrowth::default();
        for id in 0..3000 {
            growth.take(&opened(id, &format!("{id}\u{1b}")));
        }
        let line = growth.line(&clock, 1);
        assert_eq!((line.families.len(), line.families_left_out), (1000, 2000));
        let text = line.shown(&clock).to_string();
        assert!(text.contains(r#": "2999\x1b" +1, +12M; "2998\x1b" "#), "{text}");
        assert!(text.ends_with(&format!("; and {} more names", 3000 - FEW)), "{text}");
    }
}
