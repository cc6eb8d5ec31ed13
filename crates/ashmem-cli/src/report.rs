// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem report`: one HTML page of shared memory, to attach to a report.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ashmem_agent::notice;
use ashmem_inspect::observer::Observer;
use ashmem_report::census_file::{self, SavedCensus};
use ashmem_report::comparison::Comparison;
use ashmem_report::moment::Watch;
use ashmem_report::sheet::Sheet;
use ashmem_report::{file, trace_file};
use clap::Args;

use crate::duration::duration;
use crate::ending::ending;
use crate::output::print;
use crate::selection::RegionSelection;

/// Write one HTML page of the host's regions or of a trace, to attach to a report
///
/// The page shows treemaps and bars by name and by process, time lines, possible leaks, groups that
/// unfold, and tables that can be searched and sorted. It loads nothing, works without a network,
/// needs JavaScript only for what tables do, and can be printed.
///
/// With --compare it tells what grew between two moments that `ashmem list --json` wrote down: on
/// standard output, with --json as JSON, with --output as a page.
#[derive(Args)]
#[command(after_help = "\
The page names processes, containers and regions of this host: read it before you publish it.

Examples:
  ashmem report -o now.html                        # this moment; root sees all users' regions
  ashmem report --for 10 -o while.html             # with memory and purges over ten seconds
  ashmem report --container waydroid -o droid.html
  ashmem trace --json -o trace.json -- ./program && ashmem report --trace trace.json -o trace.html

What grew overnight:
  sudo ashmem list --json > evening.json           # and in the morning
  sudo ashmem list --json > morning.json
  ashmem report --compare evening.json morning.json
  ashmem report --compare evening.json morning.json -o grown.html

Of a file that `ashmem list --json --watch` wrote the last moment counts. Programs are the same if
their names and containers are, also when they were started again in between.

Exit status: 0, or 1 if no page was written; FILE is unchanged then.")]
pub(crate) struct Arguments {
    /// Where to write the page
    #[arg(short, long, value_name = "FILE", required_unless_present = "compare")]
    output: Option<PathBuf>,
    /// Tell what grew from the moment in file A to that in file B
    #[arg(
        long,
        value_names = ["A", "B"],
        num_args = 2,
        conflicts_with_all = ["trace", "name", "pid", "container", "leaks", "seconds"]
    )]
    compare: Option<Vec<PathBuf>>,
    /// Print what --compare finds as JSON
    #[arg(long, requires = "compare")]
    json: bool,
    /// Show this trace, which `ashmem trace --json -o` wrote; an incomplete one too
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["name", "pid", "container", "leaks", "seconds"]
    )]
    trace: Option<PathBuf>,
    /// Watch so long (10, 90s, 5m) first, for the time lines
    #[arg(long = "for", id = "seconds", value_name = "DURATION", value_parser = duration)]
    seconds: Option<Duration>,
    #[command(flatten)]
    selection: RegionSelection,
}

impl Arguments {
    pub(crate) fn run(self) -> ExitCode {
        ending(self.report())
    }

    fn report(self) -> Result<()> {
        if let Some([before, after]) = self.compare.as_deref() {
            return compare(before, after, self.output.as_deref(), self.json);
        }
        let sheet = match &self.trace {
            Some(path) => {
                let from =
                    File::open(path).with_context(|| format!("opening {}", path.display()))?;
                let past = trace_file::read(BufReader::new(from))
                    .with_context(|| path.display().to_string())?;
                past.sheet()
            }
            None => watched(Watch::new(self.selection.into()), self.seconds)?,
        };
        sheet.limits().iter().for_each(|limit| notice!("{limit}"));
        let output = self.output.context("--output FILE says where the page goes")?;
        Ok(file::write(&output, &sheet.html())?)
    }
}

/// Tells what grew from one file's moment to the other's.
fn compare(before: &Path, after: &Path, page: Option<&Path>, json: bool) -> Result<()> {
    let comparison = Comparison::between(&saved(before)?, &saved(after)?);
    comparison.limits().iter().for_each(|limit| notice!("{limit}"));
    if let Some(page) = page {
        file::write(page, &comparison.sheet().html())?;
    }
    let text = match (json, page) {
        (true, _) => serde_json::to_string_pretty(&comparison).context("writing JSON")? + "\n",
        (false, None) => comparison.to_string(),
        (false, Some(_)) => String::new(),
    };
    print(&text)
}

fn saved(path: &Path) -> Result<SavedCensus> {
    let from = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    census_file::read(BufReader::new(from)).with_context(|| path.display().to_string())
}

/// Takes one census, or one after the other for so long.
fn watched(mut watch: Watch, time: Option<Duration>) -> Result<Sheet> {
    /// Looks in the time, at most and at least so far apart.
    const LOOKS: u32 = 100;
    const LEAST: Duration = Duration::from_millis(200);
    let time = time.unwrap_or_default();
    let pause = (time / LOOKS).max(LEAST);
    let interrupted = Arc::new(AtomicBool::new(false));
    if !time.is_zero() {
        signal_hook::flag::register(libc::SIGINT, Arc::clone(&interrupted))
            .context("catching Ctrl-C")?;
    }
    let began = Instant::now();
    let mut observer = Observer::new();
    let mut census = observer.census()?;
    watch.take(&census);
    while began.elapsed() < time && !interrupted.load(Ordering::Relaxed) {
        std::thread::sleep(pause.min(time.saturating_sub(began.elapsed())));
        census = observer.census()?;
        watch.take(&census);
    }
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Ok(watch.sheet(&census, &host))
}
