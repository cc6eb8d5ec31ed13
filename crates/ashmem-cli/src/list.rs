// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem list`: every region of shared memory on this host, and its holders.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use ashmem_inspect::census::{Census, Document};
use ashmem_inspect::listing::Listing;
use ashmem_inspect::observer::Observer;
use ashmem_inspect::query::RegionFilter;
use ashmem_inspect::region::CensusRegion;
use clap::Args;

use crate::ending::ending_with;
use crate::selection::{RegionSelection, SortBy};

/// List the host's shared memory regions, their cost and their holders
///
/// Lists every region once: those of the kernel module (kind `device`), of `ashmem run` and `ashmem
/// agent` (`agent`), and plain memfds (`memfd`). Regions whose names begin alike form a group with
/// totals; below each region stand the processes that hold or map it. The listing changes nothing.
#[derive(Args)]
#[command(after_help = "\
Columns:
  ID        inode of the memory, as in maps and fdinfo; - before a device region's first mmap
  RESIDENT  memory it has, in a cache or swapped out included
  SHARE     of that, what processes have mapped, each page divided by its mappings (PSS)
  MASK      rights that mappings may still have
  PINNED UNPINNED PURGED   pages
  MAPPERS   processes that map it

? stands for what could not be read; standard error says why. A region that is open but not mapped
by any process is marked as a possible leak: its memory appears in no process's own figures.

Names are shown escaped (\\n, \\xff, \\u{1b}), a backslash doubled; --name matches what is shown.

Examples:
  ashmem list --leaks
  ashmem list --name 'CursorWindow*' --sort share
  ashmem list --container waydroid --json | jq '.regions[].name'
  ashmem list --pid waydroid:1234            # by its number inside the container

Exit status: 0, or 1 if no census could be taken, or if a process or container that was asked for is
not there. What may not be read is left out, and standard error says so.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: RegionSelection,
    /// The column to sort by
    #[arg(long, value_name = "COLUMN", default_value = "resident")]
    sort: SortBy,
    /// One list, not grouped by name
    #[arg(long)]
    flat: bool,
    /// One JSON document (one a line with --watch)
    #[arg(long)]
    json: bool,
    /// Repeat every SECONDS seconds, until interrupted
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2")]
    watch: Option<f64>,
}

impl Arguments {
    pub(crate) fn run(self) -> ExitCode {
        ending_with(self.show())
    }

    fn show(self) -> Result<ExitCode> {
        let filter = RegionFilter::from(self.selection);
        let mut observer = Observer::new();
        let mut told = Vec::new();
        loop {
            let census = observer.census()?;
            let regions = filter.apply(&census, self.sort.into());
            let absent = filter.absent(&census);
            let code = if absent.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
            let limits = [census.limits(&regions), absent].concat();
            let text = text(&census, regions, self.flat, self.json, self.watch.is_some())?;
            let written =
                io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
            match written {
                // The reader has read enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(code),
                written => written.context("writing to standard output")?,
            }
            // Said once, not with every round.
            if limits != told && (told.is_empty() || !self.json) {
                limits.iter().for_each(|limit| eprintln!("ashmem: {limit}"));
                told = limits;
            }
            let Some(seconds) = self.watch else { return Ok(code) };
            std::thread::sleep(
                Duration::try_from_secs_f64(seconds.max(0.1)).unwrap_or(Duration::from_secs(2)),
            );
        }
    }
}

fn text(
    census: &Census,
    regions: Vec<&CensusRegion>,
    flat: bool,
    json: bool,
    again: bool,
) -> Result<String> {
    /// To the upper left corner; what is below it is cleared.
    const HOME: &str = "\u{1b}[H\u{1b}[J";
    if json {
        let document = Document::new(census, regions);
        let text = if again {
            serde_json::to_string(&document)
        } else {
            serde_json::to_string_pretty(&document)
        };
        return Ok(text.context("writing JSON")? + "\n");
    }
    let is_terminal = io::stdout().is_terminal();
    let in_colour =
        is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let listing = Listing { regions: &regions, is_flat: flat, in_colour };
    Ok(format!("{}{listing}", if again && is_terminal { HOME } else { "" }))
}
