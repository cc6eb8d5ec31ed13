// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which screen is shown.

use ashmem_inspect::which::Which;

use crate::columns::{groups, processes, regions};

/// A table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopView {
    /// Each region a row.
    #[default]
    Regions,
    /// A row for all regions of one pattern that the same processes hold.
    Groups,
    /// Each process a row.
    Processes,
}

/// A screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// A table.
    Table(TopView),
    /// One region of the table of regions.
    Region(Which),
}

impl View {
    /// The table, or the one behind.
    pub(crate) fn table(self) -> TopView {
        match self {
            Self::Table(table) => table,
            Self::Region(_) => TopView::Regions,
        }
    }
}

impl TopView {
    /// The next one, round and round.
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Regions => Self::Groups,
            Self::Groups => Self::Processes,
            Self::Processes => Self::Regions,
        }
    }

    /// The heads of all its columns.
    pub(crate) fn heads(self) -> Vec<&'static str> {
        match self {
            Self::Regions => regions::columns().iter().map(|column| column.head).collect(),
            Self::Groups => groups::columns().iter().map(|column| column.head).collect(),
            Self::Processes => processes::columns().iter().map(|column| column.head).collect(),
        }
    }
}
