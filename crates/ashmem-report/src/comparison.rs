// SPDX-License-Identifier: MIT OR Apache-2.0
//! What grew between two moments that were written down: as text, as JSON, as a page.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};

use ashmem_inspect::amount::{Age, Bytes, Change, counted, or_unknown};
use ashmem_inspect::group::Totals;
use ashmem_inspect::growth::{Baseline, Grower, Growth, Stock};
use ashmem_inspect::holder_name::{HolderIdentity, HolderName};
use ashmem_inspect::holding::Holding;
use ashmem_inspect::leak_listing::LeakListing;
use ashmem_inspect::pattern::pattern;
use ashmem_inspect::region::CensusRegion;
use ashmem_trace::family::NAMELESS;
use serde::Serialize;

use crate::cell::{Cell, ColumnKind};
use crate::census_file::SavedCensus;
use crate::sheet::{Figure, Sheet, Table, date, name_of};

/// The version of what is printed as JSON, as that of a census.
const VERSION: u32 = 1;

/// Two moments beside each other. A program counts as the same at both if its name and container
/// are, however often it was started. docs/schemas/compare.json describes its JSON.
#[derive(Debug, Serialize)]
pub struct Comparison {
    version: u32,
    /// Seconds since 1970.
    from: f64,
    until: f64,
    /// What all regions come to at the second moment, and how much more that is.
    total: Grown,
    /// What grew: the regions of one pattern that the same programs hold.
    holdings: Vec<Holding>,
    /// The same by patterns alone, and by programs alone.
    patterns: Vec<Grown>,
    programs: Vec<Grown>,
    /// What could not be seen, a sentence each.
    limits: Vec<String>,
}

/// Something that grew.
#[derive(Clone, Debug, Serialize)]
struct Grown {
    totals: Totals,
    growth: Growth,
}

impl Comparison {
    /// What grew from one moment to the other.
    pub fn between(before: &SavedCensus, after: &SavedCensus) -> Self {
        let regions: Vec<&CensusRegion> = after.regions.iter().collect();
        let earlier: Vec<&CensusRegion> = before.regions.iter().collect();
        let baseline = Baseline::of(&earlier, before.taken, HolderIdentity::Program);
        let grown = |name: &str, grower: &Grower, regions: &[&CensusRegion]| {
            let stock = Stock::of(regions.iter().copied());
            let growth = baseline.growth(grower, &stock, after.taken);
            Grown { totals: Totals::of(name, regions.iter().copied()), growth }
        };
        let gathered = |all: HashMap<Grower, (String, Vec<&CensusRegion>)>| {
            let mut rows: Vec<Grown> = all
                .iter()
                .map(|(grower, (name, regions))| grown(name, grower, regions))
                .filter(|row| has_grown(&row.growth))
                .collect();
            rows.sort_by_key(rank);
            rows
        };
        let (mut patterns, mut programs) = (HashMap::new(), HashMap::new());
        for region in &regions {
            let pattern = pattern(&region.name);
            let name = if pattern.is_empty() { NAMELESS.to_owned() } else { pattern.to_string() };
            add(&mut patterns, Grower::Pattern(pattern), name, region);
            for holder in HolderName::all_of(region, HolderIdentity::Program) {
                let name = holder.to_string();
                add(&mut programs, Grower::Holder(holder), name, region);
            }
        }
        let mut holdings = Holding::all_of(&regions, Some(&baseline), after.taken);
        holdings.retain(|holding| holding.growth.as_ref().is_some_and(has_grown));
        Self {
            version: VERSION,
            from: before.taken,
            until: after.taken,
            total: grown("total", &Grower::All, &regions),
            holdings,
            patterns: gathered(patterns),
            programs: gathered(programs),
            limits: limits(before, after),
        }
    }

    /// What could not be seen, a sentence each.
    pub fn limits(&self) -> &[String] {
        &self.limits
    }

    /// The page of it.
    pub fn sheet(&self) -> Sheet {
        let Growth { regions, size, resident, seconds } = self.total.growth;
        let bytes = |bytes: Option<i64>| or_unknown(bytes.map(|bytes| Change(bytes, Bytes)));
        Sheet {
            title: "What grew between two moments".to_owned(),
            about: vec![
                format!("From {} to {}", date(self.from), date(self.until)),
                format!("{} between them", Age(seconds)),
            ],
            limits: self.limits.clone(),
            figures: vec![
                Figure::new("regions", self.total.totals.regions),
                Figure::new("more of them", Change(regions, |regions| regions)).bad_if(regions > 0),
                Figure::new("resident", self.total.totals.resident.shown(Bytes)),
                Figure::new("more resident", bytes(resident)).bad_if(resident > Some(0)),
                Figure::new("more in size", bytes(size)),
                Figure::new("mapped nowhere", self.total.totals.unmapped),
            ],
            maps: Vec::new(),
            flames: Vec::new(),
            charts: Vec::new(),
            leaks: self.held(),
            folds: Vec::new(),
            tables: vec![
                table("patterns", "By name", "Name", &self.patterns),
                table("programs", "By program", "Program", &self.programs),
            ],
        }
    }

    fn held(&self) -> Table {
        let mut columns = vec![("Name", ColumnKind::Words)];
        columns.extend(FIGURES);
        columns.push(("Mapped", ColumnKind::Words));
        columns.push(("Held by", ColumnKind::Words));
        let table = Table {
            id: "grown",
            title: "What grew",
            about: "Regions of the same programs whose names differ in numbers alone; # stands \
                    for each number. What is mapped nowhere stands first."
                .to_owned(),
            if_empty: "Nothing: no program holds more regions or more memory than before.",
            columns,
            rows: Vec::new(),
            left_out: 0,
        };
        table.fill(&self.holdings, |holding| {
            let mut cells = vec![Cell::words(name_of(holding.name()))];
            cells.extend(figures(&holding.totals, holding.growth.as_ref()));
            cells.push(Cell::words(if holding.is_unmapped { "nowhere" } else { "yes" }));
            cells.push(Cell::words(HolderName::line(&holding.holders)));
            cells
        })
    }
}

/// The columns of every table.
const FIGURES: [(&str, ColumnKind); 6] = [
    ("Regions", ColumnKind::Number),
    ("More", ColumnKind::Number),
    ("Size", ColumnKind::Number),
    ("More", ColumnKind::Number),
    ("Resident", ColumnKind::Number),
    ("More", ColumnKind::Number),
];

fn figures(totals: &Totals, growth: Option<&Growth>) -> [Cell; 6] {
    let bytes = |bytes: Option<i64>| bytes.map_or_else(Cell::unknown, Cell::change_of_bytes);
    [
        Cell::count(totals.regions as u64),
        growth.map_or_else(Cell::unknown, |growth| Cell::change(growth.regions)),
        Cell::sum(totals.size),
        bytes(growth.and_then(|growth| growth.size)),
        Cell::sum(totals.resident),
        bytes(growth.and_then(|growth| growth.resident)),
    ]
}

fn table(id: &'static str, title: &'static str, first: &'static str, rows: &[Grown]) -> Table {
    let mut columns = vec![(first, ColumnKind::Words)];
    columns.extend(FIGURES);
    let about = "Most new memory first.".to_owned();
    let if_empty = "Nothing grew.";
    let table = Table { id, title, about, if_empty, columns, rows: Vec::new(), left_out: 0 };
    table.fill(rows, |row| {
        let mut cells = vec![Cell::words(name_of(&row.totals.name))];
        cells.extend(figures(&row.totals, Some(&row.growth)));
        cells
    })
}

fn add<'a>(
    all: &mut HashMap<Grower, (String, Vec<&'a CensusRegion>)>,
    grower: Grower,
    name: String,
    region: &'a CensusRegion,
) {
    all.entry(grower).or_insert_with(|| (name, Vec::new())).1.push(region);
}

/// More regions, or more of anything that is known.
fn has_grown(growth: &Growth) -> bool {
    growth.regions > 0 || growth.size > Some(0) || growth.resident > Some(0)
}

fn rank(row: &Grown) -> impl Ord + use<> {
    let Growth { regions, size, resident, .. } = row.growth;
    (Reverse((resident, size, regions)), row.totals.name.clone())
}

/// What could not be seen at either moment, each sentence once.
fn limits(before: &SavedCensus, after: &SavedCensus) -> Vec<String> {
    let mut limits = Vec::new();
    if after.taken < before.taken {
        limits.push(format!(
            "the second moment is {} before the first by its clock: were they given the other way \
             round?",
            Age(before.taken - after.taken)
        ));
    }
    for (when, census) in [("first", before), ("second", after)] {
        limits.extend(census.limits.iter().map(|limit| format!("at the {when} moment: {limit}")));
    }
    limits
}

impl Display for Comparison {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Growth { regions, resident, seconds, .. } = self.total.growth;
        writeln!(
            out,
            "From {} to {}, {}: {}, {} resident",
            date(self.from),
            date(self.until),
            Age(seconds),
            counted(Change(regions, |regions| regions), "region"),
            or_unknown(resident.map(|bytes| Change(bytes, Bytes)))
        )?;
        if self.holdings.is_empty() {
            return writeln!(out, "No program holds more regions or more memory than before.");
        }
        let (leaks, seconds) = (&self.holdings, Some(seconds));
        let listing = LeakListing { leaks, taken: self.until, seconds, in_colour: false };
        write!(out, "\n{listing}")?;
        rows(out, "By name", &self.patterns)?;
        rows(out, "By program", &self.programs)
    }
}

fn rows(out: &mut Formatter<'_>, title: &str, rows: &[Grown]) -> fmt::Result {
    writeln!(out, "\n{title}:")?;
    for Grown { totals, growth } in rows {
        let regions = counted(Change(growth.regions, |regions| regions), "region");
        let (number, regions) = regions.split_once(' ').unwrap_or_default();
        let resident = or_unknown(growth.resident.map(|bytes| Change(bytes, Bytes)));
        writeln!(out, "{number:>8} {regions:<7} {resident:>7}  {}", totals.name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Comparison;
    use crate::census_file::{SavedCensus, read};

    /// Regions of a program `app`: their names and whether they are mapped.
    fn census(taken: f64, pid: i32, regions: &[(&str, bool)]) -> SavedCensus {
        let regions: Vec<String> = regions
            .iter()
            .enumerate()
            .map(|(id, (name, is_mapped))| {
                let mapping = r#"{"start": 4096, "end": 8192, "offset": 0, "rights": "rw-s"}"#;
                let mapping = if *is_mapped { mapping } else { "" };
                format!(
                    r#"{{"id": {id}, "kind": "memfd", "name": "{name}", "size": 8192,
                    "resident": 4096, "holders": [{{"mappings": [{mapping}], "process":
                    {{"pid": {pid}, "inner_pid": {pid}, "command": "app", "container": null}}}}]}}"#
                )
            })
            .collect();
        let text =
            format!(r#"{{"version": 1, "taken": {taken}, "regions": [{}]}}"#, regions.join(","));
        read(text.as_bytes()).expect("a census")
    }

    #[test]
    fn what_grew_is_told_of_programs_that_were_started_again() {
        let before = census(1000.0, 7, &[("w-1", true), ("cache", true)]);
        let after = census(
            1060.0,
            900,
            &[("w-5", true), ("w-6", true), ("w-7", true), ("cache", true), ("<b>", false)],
        );
        let comparison = Comparison::between(&before, &after);
        let text = comparison.to_string();
        assert!(text.contains("60s: +3 regions, +12K resident"), "{text}");
        assert!(text.contains("+2    +8K  w-#\n"), "{text}");
        assert!(!text.contains("cache"), "it did not grow:\n{text}");
        assert!(text.find("<b>") < text.find("w-#"), "mapped nowhere stands first:\n{text}");
        assert!(text.contains("      +3 regions    +12K  app\n"), "{text}");
        let json = serde_json::to_value(&comparison).expect("JSON");
        assert_eq!(json["holdings"][1]["growth"]["regions"], 2);
        assert_eq!(json["holdings"][1]["holders"][0]["pid"], serde_json::Value::Null);
        let html = comparison.sheet().html();
        assert!(html.contains(">w-#</td>") && html.contains("&lt;b&gt;"), "{html}");
        assert!(!html.contains(">cache</td>"), "{html}");
    }

    #[test]
    fn nothing_new_and_the_wrong_order_are_said() {
        let (before, after) =
            (census(1060.0, 7, &[("a", true)]), census(1000.0, 7, &[("a", true)]));
        let comparison = Comparison::between(&before, &after);
        let text = comparison.to_string();
        assert!(text.contains("No program holds more regions or more memory"), "{text}");
        assert!(comparison.limits()[0].contains("the other way round?"));
    }

    #[test]
    fn unknown_memory_grows_by_nobody_knows_what() {
        let before = census(1000.0, 7, &[("a", true)]);
        let mut after = census(1060.0, 7, &[("a", true), ("a", true)]);
        after.regions[0].resident = None;
        let comparison = Comparison::between(&before, &after);
        let text = comparison.to_string();
        assert!(text.contains("+1 region, ? resident"), "{text}");
        let json = serde_json::to_value(&comparison).expect("JSON");
        assert_eq!(json["total"]["growth"]["resident"], serde_json::Value::Null);
    }
}
