// SPDX-License-Identifier: MIT OR Apache-2.0
//! The columns of processes.

use ashmem_inspect::amount::{Bytes, Change, or_unknown};
use ratatui::style::Style;

use super::{Column, SortKey};
use crate::process_row::ProcessRow;
use crate::theme::Theme;

type ProcessColumn = Column<ProcessRow>;

/// All of them.
pub(crate) fn columns() -> Vec<ProcessColumn> {
    vec![
        ProcessColumn::right("PID", 8, 0, |row| row.process.pid.to_string())
            .by(|row| SortKey::Most(Some(-f64::from(row.process.pid)))),
        ProcessColumn::right("REGIONS", 8, 1, |row| row.regions.to_string())
            .by(|row| SortKey::Most(Some(row.regions as f64))),
        ProcessColumn::right("GREW BY", 8, 2, |row| {
            Change(row.growth.regions, |more| more).to_string()
        })
        .by(|row| SortKey::Most(Some(row.growth.regions as f64)))
        .styled(growing),
        ProcessColumn::right("LEAKS", 6, 3, |row| row.unmapped.to_string())
            .by(|row| SortKey::Most(Some(row.unmapped as f64)))
            .styled(|theme, row| if row.unmapped > 0 { theme.leak() } else { Style::new() }),
        ProcessColumn::right("PSS", 7, 4, |row| Bytes(row.share).to_string())
            .by(|row| SortKey::Most(Some(row.share as f64)))
            .styled(|theme, _| theme.memory()),
        ProcessColumn::right("RESIDENT", 9, 5, |row| row.resident.shown(Bytes))
            .by(|row| SortKey::Most(row.resident.known().map(|bytes| bytes as f64))),
        ProcessColumn::right("AND BY", 7, 6, |row| {
            or_unknown(row.growth.resident.map(|bytes| Change(bytes, Bytes)))
        })
        .by(|row| SortKey::Most(row.growth.resident.map(|bytes| bytes as f64)))
        .styled(growing),
        ProcessColumn::right("SIZE", 7, 8, |row| row.size.shown(Bytes))
            .by(|row| SortKey::Most(row.size.known().map(|bytes| bytes as f64))),
        ProcessColumn::right("USER", 8, 9, |row| or_unknown(row.process.user))
            .by(|row| SortKey::Most(row.process.user.map(|user| -f64::from(user)))),
        ProcessColumn::left("CONTAINER", 24, 7, container).by(|row| SortKey::Words(container(row))),
    ]
}

fn container(row: &ProcessRow) -> String {
    row.process.container.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)
}

fn growing(theme: Theme, row: &ProcessRow) -> Style {
    if row.growth.regions > 0 { theme.growing() } else { Style::new() }
}
