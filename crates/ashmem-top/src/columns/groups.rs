// SPDX-License-Identifier: MIT OR Apache-2.0
//! The columns of groups: regions of one pattern that the same processes hold.

use ashmem_inspect::amount::{Age, Bytes, Change, or_unknown};
use ashmem_inspect::holder_name::HolderName;
use ashmem_inspect::holding::Holding;
use ratatui::style::Style;

use super::{Column, SortKey};
use crate::theme::Theme;

/// One group in a table.
#[derive(Debug)]
pub(crate) struct GroupRow {
    pub(crate) holding: Holding,
    /// Of its oldest region, in seconds.
    pub(crate) age: Option<f64>,
}

type GroupColumn = Column<GroupRow>;

/// All of them.
pub(crate) fn columns() -> Vec<GroupColumn> {
    vec![
        GroupColumn::right("REGIONS", 8, 0, |row| row.holding.totals.regions.to_string())
            .by(|row| SortKey::Most(Some(row.holding.totals.regions as f64))),
        GroupColumn::right("GREW BY", 8, 1, |row| {
            let growth = row.holding.growth.map(|growth| growth.regions);
            or_unknown(growth.map(|regions| Change(regions, |regions| regions)))
        })
        .by(|row| SortKey::Most(row.holding.growth.map(|growth| growth.regions as f64)))
        .styled(growing),
        GroupColumn::right("SIZE", 7, 5, |row| row.holding.totals.size.shown(Bytes))
            .by(|row| SortKey::Most(row.holding.totals.size.known().map(|bytes| bytes as f64))),
        GroupColumn::right("RESIDENT", 9, 2, |row| row.holding.totals.resident.shown(Bytes))
            .by(|row| SortKey::Most(row.holding.totals.resident.known().map(|bytes| bytes as f64)))
            .styled(|theme, _| theme.memory()),
        GroupColumn::right("AND BY", 7, 3, |row| {
            let growth = row.holding.growth.and_then(|growth| growth.resident);
            or_unknown(growth.map(|bytes| Change(bytes, Bytes)))
        })
        .by(|row| {
            let growth = row.holding.growth.and_then(|growth| growth.resident);
            SortKey::Most(growth.map(|bytes| bytes as f64))
        })
        .styled(growing),
        GroupColumn::right("OLDEST", 6, 4, |row| or_unknown(row.age.map(Age)))
            .by(|row| SortKey::Most(row.age)),
        GroupColumn::left("HELD BY", 36, 6, |row| HolderName::line(&row.holding.holders))
            .by(|row| SortKey::Words(HolderName::line(&row.holding.holders))),
    ]
}

fn growing(theme: Theme, row: &GroupRow) -> Style {
    if row.holding.grew() > 0 { theme.growing() } else { Style::new() }
}
