// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem report`: one HTML page of shared memory, to attach to a report.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ashmem_inspect::observer::Observer;
use ashmem_report::moment::Watch;
use ashmem_report::sheet::Sheet;
use ashmem_report::{file, trace_file};
use clap::Args;

use crate::ending::ending;
use crate::selection::RegionSelection;

/// Write one HTML page of the host's regions or of a trace, to attach to a report
///
/// The page shows possible leaks, treemaps by name and by process, time lines, and tables that
/// sort. It loads nothing, works without a network, needs JavaScript only to sort, and can be
/// printed.
#[derive(Args)]
#[command(after_help = "\
The page names processes, containers and regions of this host: read it before you publish it.

Examples:
  ashmem report -o now.html                        # this moment; root sees all users' regions
  ashmem report --for 10 -o while.html             # with memory and purges over ten seconds
  ashmem report --container waydroid -o droid.html
  ashmem trace --json -o trace.json -- ./program && ashmem report --trace trace.json -o trace.html

Exit status: 0, or 1 if no page was written; FILE is unchanged then.")]
pub(crate) struct Arguments {
    /// Where to write the page
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Show this trace, which `ashmem trace --json -o` wrote; an incomplete one too
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["name", "pid", "container", "leaks", "seconds"]
    )]
    trace: Option<PathBuf>,
    /// Watch for SECONDS first, for the time lines
    #[arg(long = "for", id = "seconds", value_name = "SECONDS")]
    seconds: Option<f64>,
    #[command(flatten)]
    selection: RegionSelection,
}

impl Arguments {
    pub(crate) fn run(self) -> ExitCode {
        ending(self.report())
    }

    fn report(self) -> Result<()> {
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
        sheet.limits().iter().for_each(|limit| eprintln!("ashmem: {limit}"));
        Ok(file::write(&self.output, &sheet.html())?)
    }
}

/// Takes one census, or one after the other for this many seconds.
fn watched(mut watch: Watch, seconds: Option<f64>) -> Result<Sheet> {
    /// Looks in the time, at most and at least so far apart.
    const LOOKS: u32 = 100;
    const LEAST: Duration = Duration::from_millis(200);
    let time = Duration::try_from_secs_f64(seconds.unwrap_or(0.0))
        .context("--for wants seconds, such as 10")?;
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
