// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `ashmem run` costs a day's work: walks of a large tree, a compiler, a million regions, two
//! hundred processes.

use super::figures::{Programs, Row, Unit};
use crate::debian::kernel::{Kernel, Line};
use crate::util::{process, workspace};
use anyhow::{Result, ensure};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Each is run so often bare and at each level, alternately; the fastest counts.
const ROUNDS: usize = 5;
/// Copies of a kernel's headers in the tree: together some 65,000 files, about as many as the
/// kernel's sources are.
const COPIES: usize = 10;
const PROCESSES: usize = 8;
const REGIONS: usize = 1_000_000;
const CROWD: usize = 200;

/// All rows.
pub(super) fn rows(programs: &Programs) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let tree = tree()?;
    let target = workspace::cache("bench")?.join("check");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let check = format!(
        "touch crates/ashmem-core/src/lib.rs && {cargo} check --quiet --offline --package \
         ashmem-cli --target-dir {}",
        target.display()
    );
    for (what, folder, script) in [
        ("git status of a large tree", tree.as_path(), "git status --porcelain | wc -l"),
        ("tar of a large tree", tree.as_path(), "tar -c --exclude=.git . | wc -c"),
        ("cargo check of this project", workspace::root(), check.as_str()),
    ] {
        eprintln!("timing {what} ...");
        let ([bare, filtered, full, fast], said) = in_turns(programs, folder, script)?;
        // What is left without a supervisor: the filter's look at each call that it could notify.
        let filter = "full, the filter alone";
        rows.push(Row::new(what, filter, Unit::Milliseconds, filtered, "bare", bare, None));
        rows.push(Row::new(what, "full", Unit::Milliseconds, full, "bare", bare, 1.05));
        rows.push(Row::new(what, "fast", Unit::Milliseconds, fast, "bare", bare, 1.03));
        eprintln!("  it printed {}, each time", said.trim());
    }
    let ([bare, _, full, fast], _) = in_turns(programs, workspace::root(), "true")?;
    for (level, figure) in [("full", full), ("fast", fast)] {
        rows.push(Row::new(
            "a shell that does nothing",
            level,
            Unit::Milliseconds,
            figure,
            "bare",
            bare,
            None,
        ));
    }
    for (level, inside) in [("full", "auto"), ("full, notified", "never")] {
        eprintln!("{level}: making and dropping {REGIONS} regions in {PROCESSES} processes ...");
        let churn: Churn = programs
            .load(inside, &["churn".to_owned(), PROCESSES.to_string(), REGIONS.to_string()])?;
        let crowd: Crowd = programs.load(inside, &["crowd".to_owned(), CROWD.to_string()])?;
        for (what, unit, figure, at_most) in [
            (
                "the supervisor's growth over 10^6 regions",
                Unit::Mebibytes,
                churn.growth_kib as f64 / 1024.0,
                4.0,
            ),
            ("descriptors left", Unit::Count, churn.descriptors as f64, 0.0),
            ("watches left", Unit::Count, churn.watches as f64, 0.0),
            ("processes of 8 that failed", Unit::Count, churn.failed_processes as f64, 0.0),
            (
                "processes of 200 at once that failed",
                Unit::Count,
                crowd.failed_processes as f64,
                0.0,
            ),
        ] {
            rows.push(Row::absolute(what, level, unit, figure, at_most));
        }
    }
    Ok(rows)
}

/// What `run-load churn` prints.
#[derive(Deserialize)]
struct Churn {
    failed_processes: u64,
    growth_kib: i64,
    descriptors: i64,
    watches: i64,
}

/// What `run-load crowd` prints.
#[derive(Deserialize)]
struct Crowd {
    failed_processes: u64,
}

/// Milliseconds of the fastest run bare, under full's filter without its notifications, at full and
/// at fast; and what the script printed, the same each time.
fn in_turns(programs: &Programs, folder: &Path, script: &str) -> Result<([f64; 4], String)> {
    let mut fastest = [f64::INFINITY; 4];
    let mut said = None;
    // The first round warms the caches.
    for round in 0..=ROUNDS {
        for (best, before) in fastest.iter_mut().zip([
            Vec::new(),
            programs.filtered(),
            programs.under("full", "auto"),
            programs.under("fast", "auto"),
        ]) {
            let mut words = before.iter().map(String::as_str).chain(["sh", "-ec", script]);
            let mut command = Command::new(words.next().unwrap_or("sh"));
            command.args(words).current_dir(folder);
            let started = Instant::now();
            let text = process::capture(&mut command)?;
            if round > 0 {
                *best = best.min(started.elapsed().as_secs_f64() * 1000.0);
            }
            let same = said.get_or_insert_with(|| text.clone());
            ensure!(
                *same == text,
                "{} printed {text:?}, and {same:?} before",
                process::line(&command)
            );
        }
    }
    Ok((fastest, said.unwrap_or_default()))
}

/// A git repository with a kernel's headers in it, [`COPIES`] times.
fn tree() -> Result<PathBuf> {
    let kernel = Kernel::fetch(Line::V6_1)?;
    let tree = workspace::cache("bench")?.join(format!("tree-{}-{COPIES}", kernel.version));
    if tree.exists() {
        return Ok(tree);
    }
    eprintln!("copying a tree of headers ...");
    workspace::make_whole(&tree, |tree| {
        for copy in 0..COPIES {
            process::capture(
                Command::new("cp")
                    .arg("-a")
                    .arg(kernel.headers()?)
                    .arg(tree.join(format!("headers-{copy}"))),
            )?;
        }
        for words in [&["init", "-q"][..], &["add", "-A"]] {
            process::capture(Command::new("git").args(words).current_dir(tree))?;
        }
        Ok(())
    })?;
    Ok(tree)
}
