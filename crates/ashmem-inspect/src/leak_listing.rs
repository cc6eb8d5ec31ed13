// SPDX-License-Identifier: MIT OR Apache-2.0
//! Possible leaks as text for people: a row for all regions of one pattern and holder.

use std::fmt::{self, Display, Formatter};

use crate::amount::{Age, Bytes, Change, or_unknown};
use crate::group::Totals;
use crate::holder_name::HolderName;
use crate::holding::Holding;
use crate::style::{BOLD, PLAIN, WARN};

/// Possible leaks, one below the other.
pub struct LeakListing<'a> {
    /// In the order in which they are shown.
    pub leaks: &'a [Holding],
    /// When they were so, in seconds since 1970: ages are told from it.
    pub taken: f64,
    /// How long was watched, in seconds; `None` if it was not, and growth is unknown.
    pub seconds: Option<f64>,
    /// Whether what stands out is marked by escape sequences, as a terminal wants them.
    pub in_colour: bool,
}

impl Display for LeakListing<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        if self.leaks.is_empty() {
            return writeln!(out, "{}", self.none());
        }
        self.styled(out, BOLD, &self.line(HEAD.map(str::to_owned), "NAME"))?;
        self.leaks.iter().try_for_each(|leak| self.row(out, leak))?;
        writeln!(out)?;
        let cells =
            self.cells(&Totals::sum("total", self.leaks.iter().map(|leak| &leak.totals)), None);
        self.styled(out, BOLD, &self.line(cells, "total"))?;
        if self.seconds.is_none() {
            writeln!(out, "{UNWATCHED}")?;
        }
        Ok(())
    }
}

const HEAD: [&str; 6] = ["REGIONS", "SIZE", "RESIDENT", "OLDEST", "GREW BY", "AND"];

/// What a single moment cannot show.
const UNWATCHED: &str = "Regions that stay mapped leak too: --for 60 tells which of them grow in \
                         number.";

impl LeakListing<'_> {
    /// What is said where there is no row.
    fn none(&self) -> String {
        let unmapped = "No region is open without being mapped by a process";
        match self.seconds {
            Some(seconds) => {
                format!("{unmapped}, and in {} none came to be held in addition.", Age(seconds))
            }
            None => format!("{unmapped}. {UNWATCHED}"),
        }
    }

    fn row(&self, out: &mut Formatter<'_>, leak: &Holding) -> fmt::Result {
        let cells = self.cells(&leak.totals, Some(leak));
        writeln!(out, "{}", self.line(cells, &leak.name()))?;
        let what = if leak.is_unmapped {
            "possible leak: open but not mapped by any process"
        } else if leak.grew() > 0 {
            "possible leak: mapped, and more of them than before"
        } else {
            "mapped, as many as before, with more memory"
        };
        self.styled(out, WARN, &format!("    {what}"))?;
        writeln!(out, "    held by {}", HolderName::line(&leak.holders))
    }

    fn cells(&self, totals: &Totals, leak: Option<&Holding>) -> [String; 6] {
        let age = totals.oldest.map(|oldest| self.taken - oldest).filter(|age| *age >= 0.0);
        let growth = leak.and_then(|leak| leak.growth);
        let (regions, resident) = match growth {
            Some(growth) => (
                Change(growth.regions, |regions| regions).to_string(),
                or_unknown(growth.resident.map(|bytes| Change(bytes, Bytes))),
            ),
            None => Default::default(),
        };
        [
            totals.regions.to_string(),
            totals.size.shown(Bytes),
            totals.resident.shown(Bytes),
            or_unknown(age.map(Age)),
            regions,
            resident,
        ]
    }

    /// Without what is unknown of all.
    fn line(&self, cells: [String; 6], name: &str) -> String {
        let [regions, size, resident, oldest, more, bytes] = cells;
        let grew = match self.seconds {
            Some(_) => format!(" {more:>8} {bytes:>6}"),
            None => String::new(),
        };
        format!("{regions:>8} {size:>6} {resident:>8} {oldest:>6}{grew}  {name}")
    }

    fn styled(&self, out: &mut Formatter<'_>, style: &str, text: &str) -> fmt::Result {
        if self.in_colour { writeln!(out, "{style}{text}{PLAIN}") } else { writeln!(out, "{text}") }
    }
}

#[cfg(test)]
mod tests {
    use super::LeakListing;
    use crate::growth::Baseline;
    use crate::holder_name::HolderIdentity;
    use crate::holding::Holding;
    use crate::made_up::{region, unmapped};
    use crate::region::CensusRegion;

    fn text(regions: &[CensusRegion], baseline: Option<&Baseline>) -> String {
        let all: Vec<_> = regions.iter().collect();
        let leaks = Holding::leaks(&all, baseline, 60.0);
        let seconds = baseline.map(|baseline| baseline.seconds(60.0));
        LeakListing { leaks: &leaks, taken: 1000.0, seconds, in_colour: false }.to_string()
    }

    #[test]
    fn many_regions_are_one_row_with_the_age_of_the_oldest() {
        let mut regions: Vec<CensusRegion> =
            (0..440).map(|id| unmapped(region(id, &format!("window {id}"), 7))).collect();
        regions[3].created = Some(900.0);
        regions[4].created = Some(550.0);
        let text = text(&regions, None);
        assert_eq!(text.matches("window").count(), 1, "{text}");
        assert!(text.contains("     440   3.4M     1.7M     7m  window #\n"), "{text}");
        assert!(text.contains("    held by 7 process-7\n"), "{text}");
        assert!(text.contains("--for 60"), "{text}");
    }

    #[test]
    fn growth_is_told_where_somebody_watched_and_what_is_unknown_is_no_zero() {
        let before = [region(1, "x", 7)];
        let baseline = Baseline::of(&[&before[0]], 0.0, HolderIdentity::Process);
        let mut blind = region(3, "x", 7);
        blind.resident = None;
        let shown = text(&[region(1, "x", 7), region(2, "x", 7), blind], Some(&baseline));
        assert!(shown.contains("       3    24K      ≥8K      ?       +2      ?  x\n"), "{shown}");
        assert!(shown.contains("mapped, and more of them than before"), "{shown}");
        assert!(!shown.contains("--for"), "{shown}");
        let shown = text(&before, Some(&baseline));
        assert!(shown.contains("in 60s none came to be held"), "{shown}");
        assert!(text(&before, None).contains("--for 60"));
    }
}
