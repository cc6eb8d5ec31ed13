// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem purge`: takes unpinned pages now, and not only when memory is short.

mod device;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use ashmem_agent::notice;
use ashmem_inspect::amount::{Bytes, counted};
use ashmem_inspect::observer::Observer;
use ashmem_inspect::query::{ProcessName, RegionFilter, SortOrder};
use ashmem_inspect::region::{CensusRegion, RegionKind};
use ashmem_trace::glob::Glob;
use ashmem_trace_wire::ask;
use ashmem_trace_wire::question::{AnswerPart, Question};
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};

use crate::ending::ending_with;
use crate::output::print;

/// How long a supervisor may take to purge a region.
const PATIENCE: Duration = Duration::from_secs(2);

/// The options of which one is needed at least.
const WHICH: [&str; 4] = ["name", "pid", "container", "all"];

/// Purge unpinned pages now, as memory pressure would
///
/// What a program has unpinned is taken from it at once: its next PIN of these pages says
/// WAS_PURGED, and they are zero. So the way that a program goes then can be tried while it runs.
/// Pinned pages stay. Regions of `ashmem run` and `ashmem agent` are purged by their supervisor,
/// which does that for root and for whoever may look at it; those of the kernel module by the
/// module, for root alone.
#[derive(Args)]
#[command(
    group(ArgGroup::new("regions").args(WHICH).required(true).multiple(true)),
    after_help = "\
Examples:
  sudo ashmem purge --name 'CursorWindow*'
  ashmem purge --pid 4711                    # a program that I run under `ashmem run`
  sudo ashmem purge --all
  ashmem run --unpin at-once -- ./program    # each page as it is unpinned

Exit status: 0 if no unpinned page is left of what was asked for, as far as the caller may look; 1
if some could not be purged, or if a process or container that was asked for is not there or a
process may not be looked at; standard error says why."
)]
pub(crate) struct Arguments {
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
    /// Every region
    #[arg(long, conflicts_with_all = ["name", "pid", "container"])]
    all: bool,
}

/// What became of the regions.
#[derive(Default)]
struct PurgeCount {
    pages: u64,
    regions: u64,
    /// Why something is left, a sentence each.
    left: Vec<String>,
}

impl Arguments {
    pub(crate) fn run(self) -> ExitCode {
        ending_with(self.purge())
    }

    fn purge(self) -> Result<ExitCode> {
        let filter = RegionFilter {
            name: self.name,
            processes: self.pid,
            container: self.container,
            leaks: false,
        };
        let census = Observer::new().census()?;
        let regions = filter.apply(&census, SortOrder::Id);
        let of = |kind: RegionKind| regions.iter().filter(move |region| region.kind == kind);
        let mut count = PurgeCount { left: filter.absent(&census), ..PurgeCount::default() };
        of(RegionKind::Agent).for_each(|region| count.purge(region));
        // With its last descriptor all that was unpinned of a region becomes pinned for good.
        let unpinned = |region: &&&CensusRegion| {
            region.descriptors() != 0 && region.pages.is_none_or(|some| some.unpinned != 0)
        };
        let on_device = of(RegionKind::Device).filter(unpinned).count() as u64;
        if on_device != 0 && self.all {
            count.pages += device::purge_all()?;
            count.regions += on_device;
        } else {
            of(RegionKind::Device).filter(unpinned).for_each(|region| count.purge_device(region));
        }
        let bytes = Bytes(count.pages.saturating_mul(census.page_size));
        print(&format!(
            "purged {} ({bytes}) of {}\n",
            counted(count.pages, "page"),
            counted(count.regions, "region")
        ))?;
        count.left.iter().for_each(|why| notice!("{why}"));
        Ok(if count.left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl PurgeCount {
    /// Has a region purged by the kernel's device.
    fn purge_device(&mut self, region: &CensusRegion) {
        match device::purge_one(region) {
            Ok(pages) => {
                self.pages += pages;
                self.regions += 1;
            }
            Err(why) => self.left.push(format!("the region `{}`: {why}", region.name)),
        }
    }

    /// Has a region purged by its supervisor.
    fn purge(&mut self, region: &CensusRegion) {
        let name = &region.name;
        let (Some(pages), Some(supervisor), Some(inode)) =
            (region.pages, region.supervisor, region.id)
        else {
            self.left.push(format!(
                "the region `{name}`: its supervisor did not answer, has ended, or is another \
                 user's, whom only root may ask (sudo)"
            ));
            return;
        };
        if pages.unpinned == 0 {
            return;
        }
        let wanted = |part: &AnswerPart| matches!(part, AnswerPart::Purged(_));
        let answers = ask::ask(&[supervisor], Question::Purge(inode), PATIENCE, wanted);
        let parts = answers.into_iter().flat_map(|answer| answer.parts);
        match parts.into_iter().next() {
            Some(AnswerPart::Purged(0)) => self.left.push(format!(
                "the region `{name}`: nothing could be purged: its mask has lost WRITE, its pages \
                 were pinned meanwhile, or only mappings of it are left"
            )),
            Some(AnswerPart::Purged(pages)) => {
                self.pages += pages;
                self.regions += 1;
            }
            _ => self.left.push(format!(
                "the region `{name}`: its supervisor did not purge it within {} s: a program that \
                 holds the region is at work in it, or the supervisor is of another version; try \
                 again",
                PATIENCE.as_secs()
            )),
        }
    }
}
