// SPDX-License-Identifier: MIT OR Apache-2.0
//! The columns of regions.

use ashmem_inspect::amount::{Age, Bytes, Change, or_unknown};
use ashmem_inspect::growth::Growth;
use ashmem_inspect::listing;
use ashmem_inspect::region::CensusRegion;
use ratatui::style::Style;

use super::Column;
use crate::theme::Theme;

/// One region in a table.
pub(crate) struct RegionRow<'a> {
    pub(crate) region: &'a CensusRegion,
    /// Since the baseline.
    pub(crate) growth: Growth,
    /// In seconds.
    pub(crate) age: Option<f64>,
}

type RegionColumn<'a> = Column<RegionRow<'a>>;

/// All of them.
pub(crate) fn columns<'a>() -> Vec<RegionColumn<'a>> {
    let unpinned = |theme: Theme, row: &RegionRow<'a>| match row.region.pages {
        Some(pages) if pages.unpinned > 0 => theme.unpinned(),
        _ => Style::new(),
    };
    let purged = |theme: Theme, row: &RegionRow<'a>| match row.region.pages {
        Some(pages) if pages.purged > 0 => theme.purged(),
        _ => Style::new(),
    };
    vec![
        RegionColumn::<'a>::right("ID", 10, 7, |row| {
            row.region.id.map_or_else(|| "-".to_owned(), |id| id.to_string())
        }),
        RegionColumn::<'a>::left("KIND", 6, 8, |row| row.region.kind.word().to_owned()),
        RegionColumn::<'a>::right("SIZE", 6, 3, |row| listing::size(row.region)),
        RegionColumn::<'a>::right("RESIDENT", 9, 0, |row| {
            or_unknown(row.region.resident.map(Bytes))
        })
        .styled(|theme, _| theme.memory()),
        RegionColumn::<'a>::right("SHARE", 6, 4, |row| Bytes(row.region.share()).to_string()),
        RegionColumn::<'a>::right("MASK", 4, 10, |row| or_unknown(row.region.mask)),
        RegionColumn::<'a>::right("PINNED", 8, 9, |row| {
            or_unknown(row.region.pages.map(|pages| pages.pinned))
        }),
        RegionColumn::<'a>::right("UNPINNED", 9, 1, |row| {
            or_unknown(row.region.pages.map(|pages| pages.unpinned))
        })
        .styled(unpinned),
        RegionColumn::<'a>::right("PURGED", 7, 2, |row| {
            or_unknown(row.region.pages.map(|pages| pages.purged))
        })
        .styled(purged),
        RegionColumn::<'a>::right("HOLDERS", 8, 6, |row| row.region.holders.len().to_string()),
        RegionColumn::<'a>::left("HELD BY", 22, 11, |row| who(row.region)),
        RegionColumn::<'a>::right("AGE", 4, 12, |row| or_unknown(row.age.map(Age))),
        RegionColumn::<'a>::right("GREW BY", 8, 13, |row| grew(&row.growth)).styled(
            |theme, row| {
                if row.growth.resident > Some(0) { theme.growing() } else { Style::new() }
            },
        ),
    ]
}

/// Memory that came, or that the whole region did.
fn grew(growth: &Growth) -> String {
    if growth.regions > 0 {
        return "new".to_owned();
    }
    or_unknown(growth.resident.map(|bytes| Change(bytes, Bytes)))
}

/// The first holder, and how many more there are.
fn who(region: &CensusRegion) -> String {
    let Some(first) = region.holders.first() else { return String::new() };
    let more = match region.holders.len() - 1 {
        0 => String::new(),
        more => format!(" +{more}"),
    };
    let container = (first.process.container.as_ref())
        .map_or_else(String::new, |container| format!(" in {container}"));
    format!("{} {}{more}{container}", first.process.pid, first.process.command)
}
