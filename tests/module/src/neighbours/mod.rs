// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module among hostile neighbours: what a user without rights, a tight machine or root's own
//! tools do to it.
//!
//! Each trial runs in a process of its own with a time limit. It fails when a call has no end, when
//! a process cannot be killed, or when somebody else pays; that the kernel has nothing to report is
//! for whoever started the machine to see.

mod collapse;
mod flood;
mod latency;
mod mapped;
mod memory;
mod nodes;
mod part;
mod ranges;
mod text;
mod tight;
mod unload;

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use part::{Part, SKIPPED};

/// The first argument of this program when these trials are wanted; the names of some may follow.
pub(crate) const ARGUMENT: &str = "--neighbours";

struct Trial {
    name: &'static str,
    sentence: &'static str,
    /// Seconds.
    limit: u64,
    /// Whether it is left out unless it is named or all are wanted.
    long: bool,
    run: fn() -> Result<String>,
}

const TRIALS: &[Trial] = &[
    Trial {
        name: "move-pages",
        sentence: "unpinned pages moved to a full node: the mover ends, and others are not kept \
                   waiting",
        limit: 240,
        long: false,
        run: nodes::move_pages,
    },
    Trial {
        name: "mbind",
        sentence: "unpinned pages bound to a full node: the caller ends, and others are not kept \
                   waiting",
        limit: 240,
        long: false,
        run: nodes::bind,
    },
    Trial {
        name: "collapse",
        sentence: "huge pages collapsed under pressure with swap: the caller ends, and pinned \
                   pages stay whole",
        limit: 240,
        long: false,
        run: collapse::under_pressure,
    },
    Trial {
        name: "cgroup",
        sentence: "a memory cgroup at its limit gets its own unpinned pages back, and nobody else \
                   loses any",
        limit: 120,
        long: false,
        run: tight::cgroup,
    },
    Trial {
        name: "endless-regions",
        sentence: "8,300 unpinned regions of 2^63 - 1 bytes come and go: others' unpinned pages \
                   are still given back",
        limit: 240,
        long: false,
        run: tight::endless_regions,
    },
    Trial {
        name: "mapped-often",
        sentence: "a sparse region of 2^17 ranges is mapped 50,000 times: others' unpinned pages \
                   are still given back",
        limit: 400,
        long: false,
        run: mapped::sparse,
    },
    Trial {
        name: "half-a-million-ranges",
        sentence: "2^19 ranges in one region are pinned at once, and closed: nobody waits long for \
                   the processor",
        limit: 400,
        long: false,
        run: ranges::half_a_million,
    },
    Trial {
        name: "flood",
        sentence: "a user at the cap on ranges and regions has ENOMEM, others have not, and a \
                   close makes room",
        limit: 120,
        long: false,
        run: flood::capped,
    },
    Trial {
        name: "many-numbers",
        sentence: "40,000 user numbers have a region each: nobody's open waits for a look at all",
        limit: 300,
        long: false,
        run: flood::many_numbers,
    },
    Trial {
        name: "flood-default",
        sentence: "a user who takes all ranges that the default allows leaves the machine its \
                   memory",
        limit: 900,
        long: true,
        run: flood::by_default,
    },
    Trial {
        name: "purge-all",
        sentence: "PURGE_ALL_CACHES ends while four processes unpin without end, and obeys SIGKILL",
        limit: 500,
        long: false,
        run: ranges::purge_all,
    },
    Trial {
        name: "forged-lines",
        sentence: "no name makes a line of its own in fdinfo, in maps or in the trace",
        limit: 60,
        long: false,
        run: text::forged,
    },
    Trial {
        name: "unload",
        sentence: "unloading is refused while anybody is at it, succeeds after, and races with \
                   openers",
        limit: 240,
        long: false,
        run: unload::against_all,
    },
];

/// Runs the trials whose names are given, or all short ones; `all` for all.
pub(crate) fn run(names: &[String]) -> ExitCode {
    let is_wanted = |trial: &Trial| match names {
        [] => !trial.long,
        [all] if all == "all" => true,
        _ => names.iter().any(|name| name == trial.name),
    };
    if let Err(error) = prepare() {
        eprintln!("ashmem-module-test: {error:#}");
        return ExitCode::from(2);
    }
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for trial in TRIALS.iter().filter(|trial| is_wanted(trial)) {
        let started = Instant::now();
        // Ends what the trial started, too, for each of a trial's processes ends with its parent.
        let outcome = Part::run(0, Duration::from_secs(trial.limit), trial.run);
        let (mark, text) = match &outcome {
            Ok(text) if text.starts_with(SKIPPED) => ('-', text.as_str()),
            Ok(text) => ('✓', text.as_str()),
            Err(error) => ('✗', &*format!("{error:#}")),
        };
        match mark {
            '-' => skipped += 1,
            '✓' => passed += 1,
            _ => failed += 1,
        }
        let seconds = started.elapsed().as_secs_f64();
        println!("{mark} {}: {} ({seconds:.1} s)", trial.name, trial.sentence);
        for line in text.lines() {
            println!("      {line}");
        }
    }
    if passed + failed + skipped == 0 {
        eprintln!("ashmem-module-test: no trial is called {}", names.join(" or "));
        return ExitCode::from(2);
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What must outlive a machine without memory says so; and a user may have as many descriptors as
/// he needs.
fn prepare() -> Result<()> {
    fs::write("/proc/self/oom_score_adj", "-900").context("asking not to be killed for memory")?;
    let limit = libc::rlimit { rlim_cur: 70_000, rlim_max: 70_000 };
    // SAFETY: a structure that the kernel reads.
    part::check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }.into())
        .context("asking for 70,000 descriptors")?;
    Ok(())
}
