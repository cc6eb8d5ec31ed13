// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem top`: the list, live on a terminal.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use ashmem_inspect::query::RegionFilter;
use ashmem_top::app::{App, TopOptions, Wish};
use ashmem_top::keys::Keys;
use ashmem_top::live;
use ashmem_top::snapshot::{Size, Snapshot};
use clap::{Args, ValueEnum};

use crate::ending::ending;
use crate::selection::{RegionSelection, SortBy};

/// Watch the host's shared memory regions, live on the terminal
///
/// Shows the regions that `ashmem list` lists, with charts of memory, unpinned pages and purges,
/// and for each region its holders and its page map: which pages are pinned, unpinned, without
/// memory. `?` shows the keys. The terminal is restored at the end, also after a signal, a panic or
/// a kill.
#[derive(Args)]
#[command(after_help = "\
Without a terminal, or for a report, --snapshot writes one screen as text or as an SVG picture.
--keys presses keys before it, --refreshes waits for N censuses.

Examples:
  ashmem top
  ashmem top --name 'gralloc*' --sort unpinned --every 0.5
  ashmem top --snapshot --size 132x40
  ashmem top --snapshot --keys '/CursorWindow<enter><enter>'   # the largest one's page map
  ashmem top --snapshot=svg --refreshes 30 > top.svg

For scripts use `ashmem list --json`, with --watch for a document at each interval.

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
    #[arg(long, short = 'd', value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    every: Duration,
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
    /// Keys to press before --snapshot: characters, and in angle brackets enter, esc, up, down,
    /// pageup, pagedown, home, end
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

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|seconds| !seconds.is_zero())
        .ok_or_else(|| "give seconds, such as 1 or 0.5".to_owned())
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
            in_colour,
        };
        let Some(format) = self.snapshot else { return Ok(live::run(options)?) };
        let every = options.every;
        let mut app = App::new(options)?;
        for _ in 1..self.refreshes {
            std::thread::sleep(every);
            app.refresh()?;
        }
        for key in self.keys.unwrap_or_default().0 {
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
        io::stdout().write_all(text.as_bytes()).context("writing to standard output")
    }
}
