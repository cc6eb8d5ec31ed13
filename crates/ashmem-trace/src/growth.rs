// SPDX-License-Identifier: MIT OR Apache-2.0
//! What grows while a trace runs: regions and bytes made minus freed, by the family of their names,
//! a line for each second in which that changed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::amount::{Bytes, Change};
use crate::clock::TraceClock;
use crate::event::Event;
use crate::family_totals::FamilyTotals;

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
    /// Their bytes, and what others have more than when they were first met.
    pub bytes: i64,
    /// The same by family, of those that have grown or shrunk: the most bytes first.
    pub families: Vec<FamilyGrowth>,
    /// Families that are left out of `families`, because there are too many.
    pub families_left_out: u64,
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
    /// One event more.
    pub fn take(&mut self, event: &Event) {
        self.has_changed |= !self.totals.take(event).is_empty();
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
        let mut families: Vec<FamilyGrowth> = self
            .totals
            .all()
            .filter(|(_, total)| (total.regions, total.bytes) != (0, 0))
            .map(|(family, total)| FamilyGrowth {
                family: family.to_string(),
                regions: total.regions,
                bytes: total.bytes,
            })
            .collect();
        // Those of one growth stay in the order of their names.
        families.sort_by_key(|one| std::cmp::Reverse((one.bytes, one.regions)));
        let sum = |figure: fn(&FamilyGrowth) -> i64| {
            families.iter().map(figure).fold(0, i64::saturating_add)
        };
        let (regions, bytes) = (sum(|one| one.regions), sum(|one| one.bytes));
        let families_left_out = families.len().saturating_sub(MOST) as u64;
        families.truncate(MOST);
        let time = clock.utc(now);
        GrowthLine { time, mono_ns: now, regions, bytes, families, families_left_out }
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
        let GrowthLine { mono_ns, regions, bytes, families, families_left_out, .. } = self.line;
        write!(
            formatter,
            "{}  {} regions, {}",
            self.clock.time_of_day(*mono_ns),
            Change(*regions, |regions| regions),
            Change(*bytes, Bytes)
        )?;
        for (number, one) in families.iter().take(FEW).enumerate() {
            let between = if number == 0 { ": " } else { "; " };
            let regions = Change(one.regions, |regions| regions);
            let bytes = Change(one.bytes, Bytes);
            write!(formatter, "{between}{:.40} {regions}, {bytes}", one.family)?;
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
        assert!(text.ends_with("  +1 regions, +4K: gralloc +1, +4K"), "{text}");
        assert_eq!(growth.due(&clock, 5 + 9 * SECOND), None, "nothing has changed");
        growth.end();
        assert_eq!(growth.due(&clock, 5 + 9 * SECOND), None, "it was told");
        let mut nothing = TraceGrowth::default();
        nothing.end();
        assert!(nothing.due(&clock, 5 + 9 * SECOND).is_some(), "that there was nothing is told");
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
        assert!(text.contains(r": 2999\x1b +1, +12M; 2998\x1b"), "{text}");
        assert!(text.ends_with(&format!("; and {} more names", 3000 - FEW)), "{text}");
    }
}
