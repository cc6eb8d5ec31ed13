// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which regions a verb shows, and in what order.

use ashmem_inspect::query::{ProcessName, RegionFilter, SortOrder};
use ashmem_trace::glob::Glob;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};

/// The selection of regions, for every verb that shows some.
#[derive(Args)]
pub(crate) struct RegionSelection {
    /// Regions whose whole name matches: *, ?, [a-z], {one,other}
    #[arg(long, value_name = "GLOB")]
    name: Option<Glob>,
    /// Regions that this process holds or maps
    #[arg(long, value_name = "PID|CONTAINER:PID")]
    pid: Vec<ProcessName>,
    /// Regions held or mapped in this container: its name, the beginning of its id or of its pod's
    /// UID
    #[arg(long, value_name = "CONTAINER", value_parser = NonEmptyStringValueParser::new())]
    container: Option<String>,
    /// Possible leaks: regions that are open but not mapped by any process
    #[arg(long)]
    leaks: bool,
}

impl From<RegionSelection> for RegionFilter {
    fn from(selection: RegionSelection) -> Self {
        Self {
            name: selection.name,
            processes: selection.pid,
            container: selection.container,
            leaks: selection.leaks,
        }
    }
}

/// The column to sort by.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum SortBy {
    Resident,
    Size,
    Share,
    Name,
    Id,
    Holders,
    Unpinned,
    Purged,
    Age,
}

impl From<SortBy> for SortOrder {
    fn from(by: SortBy) -> Self {
        match by {
            SortBy::Resident => Self::Resident,
            SortBy::Size => Self::Size,
            SortBy::Share => Self::Share,
            SortBy::Name => Self::Name,
            SortBy::Id => Self::Id,
            SortBy::Holders => Self::Holders,
            SortBy::Unpinned => Self::Unpinned,
            SortBy::Purged => Self::Purged,
            SortBy::Age => Self::Age,
        }
    }
}
