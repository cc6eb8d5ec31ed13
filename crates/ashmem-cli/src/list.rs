// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem list`: every region of shared memory on this host, and its holders; or its leaks.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ashmem_agent::notice;
use ashmem_inspect::amount::Age;
use ashmem_inspect::census::{Census, Document};
use ashmem_inspect::growth::Baseline;
use ashmem_inspect::holder_name::HolderIdentity;
use ashmem_inspect::holding::Holding;
use ashmem_inspect::leak_listing::LeakListing;
use ashmem_inspect::listing::Listing;
use ashmem_inspect::observer::Observer;
use ashmem_inspect::query::{RegionFilter, SortOrder};
use clap::Args;

use crate::duration::duration;
use crate::ending::ending_with;
use crate::output::{can_be_drawn_on, print_next};
use crate::selection::{RegionSelection, SortBy};

/// List the host's shared memory regions, their cost and their holders
///
/// Lists every region once: those of the kernel module (kind `device`), of `ashmem run` and `ashmem
/// agent` (`agent`), and plain memfds (`memfd`). Regions whose names begin alike form a group with
/// totals; below each region stand the processes that hold or map it. The listing changes nothing.
///
/// With --leaks, all regions of one holder whose names differ in numbers alone are one row, with
/// their number, their memory and the age of the oldest. Most leaks stay mapped: watched --for a
/// while, regions that grow in number are rows too.
#[derive(Args)]
#[command(after_help = "\
Columns:
  ID        inode of the memory, as in maps and fdinfo; - before a device region's first mmap
  RESIDENT  memory it has, in a cache or swapped out included
  SHARE     of that, what processes have mapped, each page divided by its mappings (PSS)
  MASK      rights that mappings may still have
  PINNED UNPINNED PURGED   pages
  MAPPERS   processes that map it

Columns of --leaks:
  REGIONS   how many; names that differ in numbers alone are one, with # for each number
  OLDEST    how long ago the oldest one's memory was made
  GREW BY   how many more there are since the beginning of --for or --watch
  AND       how much more memory they have

? stands for what could not be read; standard error says why. A region that is open but not mapped
by any process is marked as a possible leak: its memory appears in no process's own figures.

Names are shown escaped (\\n, \\xff, \\u{1b}), a backslash doubled; --name matches what is shown.

Examples:
  ashmem list --leaks
  ashmem list --leaks --for 60               # what grows in a minute, mapped or not
  ashmem list --leaks --watch                # the same every two seconds
  ashmem list --leaks --flat                 # each region by itself
  ashmem list --name 'CursorWindow*' --sort share
  ashmem list --container waydroid --json | jq '.regions[].name'
  ashmem list --pid waydroid:1234            # by its number inside the container

Exit status: 0, or 1 if no census could be taken, or if a process or container that was asked for is
not there or a process may not be looked at. Leaks that were found are no error. What else may not
be read is left out, and standard error says so.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    selection: RegionSelection,
    /// The column to sort by; with --leaks, only of --flat and --json
    #[arg(long, value_name = "COLUMN", default_value = "resident")]
    sort: SortBy,
    /// One list, not grouped by name; with --leaks, of those that are mapped nowhere
    #[arg(long)]
    flat: bool,
    /// One JSON document (one a line with --watch)
    #[arg(long)]
    json: bool,
    /// Watch so long (60, 90s, 5m), and tell what grew; Ctrl-C ends it earlier
    #[arg(long = "for", id = "time", value_name = "DURATION", value_parser = duration)]
    time: Option<Duration>,
    /// Repeat so often (2 seconds; 0.5, 90s, 5m), until interrupted or as long as --for says
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        default_missing_value = "2",
        value_parser = duration
    )]
    watch: Option<Duration>,
}

/// How a census is written.
struct ListForm {
    filter: RegionFilter,
    order: SortOrder,
    flat: bool,
    json: bool,
    again: bool,
    interrupted: Arc<AtomicBool>,
}

impl Arguments {
    pub(crate) fn run(self) -> ExitCode {
        ending_with(self.show())
    }

    fn show(self) -> Result<ExitCode> {
        /// Looking more often costs more than it tells.
        const LEAST: Duration = Duration::from_millis(100);
        let Self { selection, sort, flat, json, time, watch } = self;
        let interrupted = Arc::new(AtomicBool::new(false));
        if time.is_some() {
            signal_hook::flag::register(libc::SIGINT, Arc::clone(&interrupted))
                .context("catching Ctrl-C")?;
        }
        let (filter, order) = (RegionFilter::from(selection), sort.into());
        let form = ListForm { filter, order, flat, json, again: watch.is_some(), interrupted };
        let pause = watch.map(|pause| pause.max(LEAST));
        form.show(time, pause)
    }
}

impl ListForm {
    /// Takes a census and writes it; at each pause, and at the end of the time.
    fn show(&self, time: Option<Duration>, pause: Option<Duration>) -> Result<ExitCode> {
        let began = Instant::now();
        let mut observer = Observer::new();
        let mut census = observer.census()?;
        // One moment by itself tells no growth.
        let baseline = (time.is_some() || pause.is_some()).then(|| self.baseline(&census));
        let is_over = || match time {
            Some(time) => began.elapsed() >= time || self.interrupted.load(Ordering::Relaxed),
            None => pause.is_none(),
        };
        // However slow the host is, growth is told of two moments.
        let mut is_second = time.is_none() || pause.is_none();
        let mut told = Vec::new();
        if let (Some(time), None) = (time, pause) {
            self.sleep(time);
            census = observer.census()?;
        }
        loop {
            let absent = self.filter.absent(&census);
            let code = if absent.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
            let limits = [census.limits(&self.filter.apply(&census, self.order)), absent].concat();
            let text = self.text(&census, baseline.as_ref())?;
            if print_next(&text)?.is_break() {
                return Ok(code);
            }
            // Said once, not with every round; but a terminal was cleared since.
            let are_new = told.is_empty() || (!self.json && sentences(&limits) != sentences(&told));
            if are_new || self.clears() {
                limits.iter().for_each(|limit| notice!("{limit}"));
                told = limits;
            }
            let is_last = is_second && is_over();
            let Some(pause) = pause.filter(|_| !is_last) else { return Ok(code) };
            is_second = true;
            let left = time.map_or(pause, |time| time.saturating_sub(began.elapsed()));
            self.sleep(pause.min(left));
            census = observer.census()?;
        }
    }

    /// Sleeps, unless Ctrl-C is to end it.
    fn sleep(&self, time: Duration) {
        const STEP: Duration = Duration::from_millis(100);
        let until = Instant::now() + time;
        while !self.interrupted.load(Ordering::Relaxed) {
            match until.saturating_duration_since(Instant::now()) {
                Duration::ZERO => return,
                left => std::thread::sleep(left.min(STEP)),
            }
        }
    }

    /// Whether each census takes the place of the one before it.
    fn clears(&self) -> bool {
        self.again && !self.json && can_be_drawn_on()
    }

    fn baseline(&self, census: &Census) -> Baseline {
        let regions = self.mapped_too().apply(census, SortOrder::Id);
        Baseline::of(&regions, census.seconds, HolderIdentity::Process)
    }

    /// The filter without its word on leaks: what grows while it stays mapped is none by itself.
    fn mapped_too(&self) -> RegionFilter {
        RegionFilter { leaks: false, ..self.filter.clone() }
    }

    fn text(&self, census: &Census, baseline: Option<&Baseline>) -> Result<String> {
        /// To the upper left corner; what is below it is cleared.
        const HOME: &str = "\u{1b}[H\u{1b}[J";
        let regions = self.filter.apply(census, self.order);
        let all = self.mapped_too().apply(census, SortOrder::Id);
        let leaks = Holding::leaks(&all, baseline, census.seconds);
        if self.json {
            let document = Document::new(census, regions, leaks);
            let text = if self.again {
                serde_json::to_string(&document)
            } else {
                serde_json::to_string_pretty(&document)
            };
            return Ok(text.context("writing JSON")? + "\n");
        }
        let in_colour =
            can_be_drawn_on() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let mut text = if self.clears() { HOME.to_owned() } else { String::new() };
        let is_list = !self.filter.leaks || self.flat;
        if is_list {
            let listing = Listing { regions: &regions, is_flat: self.flat, in_colour };
            text.push_str(&listing.to_string());
        }
        // A list has marks of its own at what is mapped nowhere; below it stands what grew.
        if !is_list || baseline.is_some() {
            let leaks: Vec<_> = leaks
                .into_iter()
                .filter(|leak| !is_list || leak.growth.is_some_and(|growth| growth.regions > 0))
                .collect();
            let seconds = baseline.map(|baseline| baseline.seconds(census.seconds));
            let listing = LeakListing { leaks: &leaks, taken: census.taken, seconds, in_colour };
            text.push_str(if is_list { "\n" } else { "" });
            match seconds.filter(|_| is_list && leaks.is_empty()) {
                Some(seconds) => {
                    text.push_str(&format!("In {} nothing grew in number.\n", Age(seconds)));
                }
                None => text.push_str(&listing.to_string()),
            }
        }
        Ok(text)
    }
}

/// What is said, whatever the numbers in it are: how many processes there are changes all the time.
fn sentences(limits: &[String]) -> Vec<String> {
    limits.iter().map(|limit| limit.replace(|digit: char| digit.is_ascii_digit(), "")).collect()
}
