// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem top`: the list, live on a terminal.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use ashmem_inspect::query::RegionFilter;
use ashmem_top::app::{App, TopOptions, Wish};
use ashmem_top::keys::Keys;
use ashmem_top::live;
use ashmem_top::snapshot::{Size, Snapshot};
use ashmem_top::view::TopView;
use clap::{Args, ValueEnum};

use crate::duration::duration;
use crate::ending::ending;
use crate::output::print;
use crate::selection::{RegionSelection, SortBy};

/// Watch the host's shared memory regions, live on the terminal
///
/// Shows the regions that `ashmem list` lists, with charts of memory, unpinned pages and purges,
/// and for each region its holders and its page map: which pages are pinned, unpinned, without
/// memory. Two more tables gather them: groups, of the same holders and of names that differ in
/// numbers alone, and processes; both tell what grew. Possible leaks stand first, in colour. `?`
/// shows the keys and what the colours are; the mouse selects, sorts and steps in. The terminal is
/// restored at the end, also after a signal, a panic or a kill.
#[derive(Args)]
#[command(after_help = "\
Without a terminal, or for a report, --snapshot writes one screen as text or as an SVG picture.
--keys presses keys before it, --refreshes waits for N censuses.

Examples:
  ashmem top
  ashmem top --view groups                     # what grows, gathered by names and holders
  ashmem top --view processes --container waydroid
  ashmem top --name 'gralloc*' --sort unpinned --every 0.5
  ashmem top --snapshot --size 132x40
  ashmem top --snapshot --keys '/CursorWindow<enter><enter>'   # the largest one's page map
  ashmem top --snapshot=svg --refreshes 30 > top.svg

For scripts use `ashmem list --json`, with --watch for a document at each interval.

Without --every it looks once a second, or as seldom as keeps it below 1 % of a processor.

Purges per second count pages that became purged between two refreshes; pages that are purged and
pinned again in between are not counted (`ashmem trace` shows them). NO_COLOR turns colours off.

Exit status: 0, or 1 if there is no terminal or no census could be taken; a signal ends it like
any program.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: RegionSelection,
    /// The column to sort by
    #[arg(long, value_name = "COLUMN", default_value = "resident")]
    sort: SortBy,
    /// The interval between two censuses
    #[arg(long, short = 'd', value_name = "DURATION", value_parser = duration)]
    every: Option<Duration>,
    /// The table to begin with
    #[arg(long, value_name = "TABLE", default_value = "regions")]
    view: TableName,
    /// Leave the mouse to the terminal
    #[arg(long)]
    no_mouse: bool,
    /// Write one screen to standard output instead
    #[arg(
        long,
        value_name = "FORMAT",
        num_args = 0..=1,
        default_missing_value = "text",
        require_equals = true
    )]
    snapshot: Option<SnapshotFormat>,
    /// The size of the screen that --snapshot writes
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "100x30", requires = "snapshot")]
    size: Size,
    /// Keys to press before --snapshot: characters, and in angle brackets enter, esc, tab, up,
    /// down, pageup, pagedown, home, end, backspace, wheelup, wheeldown, click:COLUMN,ROW
    #[arg(long, value_name = "KEYS", requires = "snapshot")]
    keys: Option<Keys>,
    /// Censuses to take before --snapshot, at the interval of --every
    #[arg(long, value_name = "N", default_value = "1", requires = "snapshot")]
    refreshes: u32,
}

/// What a screen is written as.
#[derive(Clone, Copy, ValueEnum)]
enum SnapshotFormat {
    /// Lines of text
    Text,
    /// A picture
    Svg,
}

/// A table.
#[derive(Clone, Copy, ValueEnum)]
enum TableName {
    /// Each region a row
    Regions,
    /// Regions of the same holders whose names differ in numbers alone
    Groups,
    /// Each process a row
    Processes,
}

impl From<TableName> for TopView {
    fn from(name: TableName) -> Self {
        match name {
            TableName::Regions => Self::Regions,
            TableName::Groups => Self::Groups,
            TableName::Processes => Self::Processes,
        }
    }
}

impl Arguments {
    pub(crate) fn run(self) -> ExitCode {
        ending(self.show())
    }

    fn show(self) -> Result<()> {
        let in_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let options = TopOptions {
            filter: RegionFilter::from(self.selection),
            order: self.sort.into(),
            every: self.every,
            view: self.view.into(),
            in_colour,
            with_mouse: !self.no_mouse,
        };
        let Some(format) = self.snapshot else { return Ok(live::run(options)?) };
        let every = options.every.unwrap_or(Duration::from_secs(1));
        let mut app = App::new(options)?;
        for _ in 1..self.refreshes {
            std::thread::sleep(every);
            app.refresh()?;
        }
        for key in self.keys.unwrap_or_default().0 {
            // A click is of the screen before it.
            Snapshot::of(&mut app, self.size);
            match app.press(key) {
                Wish::Refresh => app.refresh()?,
                Wish::Show | Wish::Suspend => {}
                Wish::Quit => break,
            }
        }
        let snapshot = Snapshot::of(&mut app, self.size);
        let text = match format {
            SnapshotFormat::Text => snapshot.text(),
            SnapshotFormat::Svg => snapshot.svg(),
        };
        print(&text)
    }
}
