// SPDX-License-Identifier: MIT OR Apache-2.0
//! The memory of each family of names over time, or what there is more of it than at the beginning;
//! of which those are drawn that grew or shrank most.

use std::collections::{BTreeMap, BTreeSet};

use ashmem_inspect::amount::{Bytes, Change};
use ashmem_trace::amount::saturated;
use ashmem_trace::family::FamilyWord;

use crate::chart::{Chart, ChartLine, Series};

/// Families that are followed, at most: those met first.
const MOST_FOLLOWED: usize = 512;
/// Families that are drawn.
const MOST_DRAWN: usize = 6;

/// All families so far.
#[derive(Debug, Default)]
pub(crate) struct FamilyLines {
    lines: BTreeMap<String, FamilyLine>,
    /// Whether they are of what there is more than at the beginning, when each had nothing.
    are_of_growth: bool,
    /// Whether some were not followed.
    has_more: bool,
}

#[derive(Debug, Default)]
struct FamilyLine {
    line: ChartLine,
    /// Bytes at the beginning.
    first: i128,
    /// The most by which it was larger or smaller than then.
    change: i128,
}

impl FamilyLine {
    fn push(&mut self, seconds: f64, bytes: i128) {
        self.line.push(seconds, bytes as f64);
        let change = bytes - self.first;
        if change.unsigned_abs() > self.change.unsigned_abs() {
            self.change = change;
        }
    }
}

impl FamilyLines {
    /// Of what there is more than at the beginning, or less.
    pub(crate) fn of_growth() -> Self {
        Self { are_of_growth: true, ..Self::default() }
    }

    /// From now on a family has these bytes. One that is met later than at the beginning had none.
    pub(crate) fn push(&mut self, seconds: f64, family: &str, bytes: i128) {
        if !self.lines.contains_key(family) {
            if self.lines.len() >= MOST_FOLLOWED {
                self.has_more = true;
                return;
            }
            let mut fresh = FamilyLine::default();
            if seconds > 0.0 || self.are_of_growth {
                fresh.line.push(0.0, 0.0);
            } else {
                fresh.first = bytes;
            }
            self.lines.insert(family.to_owned(), fresh);
        }
        if let Some(known) = self.lines.get_mut(family) {
            known.push(seconds, bytes);
        }
    }

    /// From now on the families that are not among these have nothing.
    pub(crate) fn end_others(&mut self, seconds: f64, present: &BTreeSet<&str>) {
        for (family, known) in &mut self.lines {
            if !present.contains(family.as_str()) {
                known.push(seconds, 0);
            }
        }
    }

    /// The picture of those that changed most; none where nothing changed.
    pub(crate) fn chart(self, seconds: f64) -> Option<Chart> {
        let Self { lines, are_of_growth, has_more } = self;
        let mut lines: Vec<(String, FamilyLine)> =
            lines.into_iter().filter(|(_, one)| one.change != 0).collect();
        lines.sort_by_key(|(_, one)| std::cmp::Reverse(one.change.unsigned_abs()));
        let left_out = lines.len().saturating_sub(MOST_DRAWN);
        let series: Vec<(String, Series)> = lines
            .into_iter()
            .take(MOST_DRAWN)
            .map(|(family, one)| {
                let change = Change(saturated(one.change), Bytes);
                (format!("{} {change}", FamilyWord(&family)), Series::Line(one.line))
            })
            .collect();
        let rest = match (left_out, has_more) {
            (0, false) => String::new(),
            (few, false) => format!(" {few} others changed less and are not drawn."),
            (_, true) => " There were too many to follow them all.".to_owned(),
        };
        let of = if are_of_growth {
            "Sizes of regions made since the beginning minus those that ended, by what their names \
             begin with"
        } else {
            "Memory of the regions whose names begin alike"
        };
        (!series.is_empty()).then(|| Chart {
            title: "Growth by name",
            about: format!(
                "{of}, of those that changed most, with the most by which each was larger or \
                 smaller than at the beginning.{rest}"
            ),
            seconds,
            is_bytes: true,
            series,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{FamilyLines, MOST_DRAWN, MOST_FOLLOWED};

    #[test]
    fn those_that_changed_most_are_drawn_with_how_much() {
        let mut lines = FamilyLines::default();
        for number in 0..2 * MOST_FOLLOWED as i128 {
            lines.push(0.0, &format!("a{number}"), 4096);
            lines.push(1.0, &format!("a{number}"), 4096 + 1024 * (number % 9));
        }
        let late = lines.lines.len();
        assert_eq!(late, MOST_FOLLOWED);
        let chart = lines.chart(1.0).expect("they grew");
        assert_eq!(chart.series.len(), MOST_DRAWN);
        assert!(chart.series.iter().all(|(name, _)| name.ends_with("\" +8K")), "{chart:?}");
        assert!(chart.about.contains("too many"), "{}", chart.about);
    }

    #[test]
    fn what_comes_later_grew_from_nothing_and_what_ends_shrinks_to_it() {
        let mut lines = FamilyLines::default();
        lines.push(0.0, "old", 8192);
        lines.push(1.0, "new", 4096);
        lines.end_others(1.0, &["new"].into());
        let chart = lines.chart(2.0).expect("both changed");
        let names: Vec<_> = chart.series.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["old -8K", "new +4K"]);
        assert!(FamilyLines::default().chart(1.0).is_none());
        // What was there before counts as nothing until it ends.
        let mut lines = FamilyLines::of_growth();
        lines.push(0.0, "old", -8192);
        let chart = lines.chart(2.0).expect("it shrank");
        assert_eq!((chart.series[0].0.as_str(), chart.least()), ("old -8K", -8192.0));
        // What came and went is drawn too.
        let mut lines = FamilyLines::default();
        for (at, bytes) in [(0.5, 4096), (1.0, 8192), (1.5, 0)] {
            lines.push(at, "brief", bytes);
        }
        assert_eq!(lines.chart(2.0).expect("it changed").series[0].0, "brief +8K");
    }
}
