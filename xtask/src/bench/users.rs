// SPDX-License-Identifier: MIT OR Apache-2.0
//! What people wait for: `ashmem doctor` on this host, and DKMS's build of the module where it is
//! installed. By the clock, so the figures are those of the host at hand and of what else it does;
//! the time on a processor stands beside.

use super::goals::{self, Goal};
use crate::build::static_program;
use crate::integration::packages;
use crate::util::process;
use anyhow::{Context, Result};
use comfy_table::Table;
use serde::Serialize;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often the doctor is asked: the median counts.
const TIMES: usize = 21;

/// Something people wait for.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    what: &'static str,
    unit: &'static str,
    elapsed: f64,
    /// Of that, on processors: more than elapsed where several work.
    processor: f64,
    goal: Goal,
    met: Option<bool>,
}

/// Measures both; the build where the caller is root.
pub(super) fn measure() -> Result<Vec<Row>> {
    let mut rows = vec![doctor()?];
    if rustix::process::geteuid().is_root() {
        let (elapsed, processor) = packages::build_time()?;
        rows.push(row(
            "DKMS's build of the module, Debian 12, prebuilt object",
            "s",
            1.0,
            elapsed,
            processor,
            60.0,
        ));
    } else {
        eprintln!("DKMS's build is measured for root alone, who can make a system to build in");
    }
    Ok(rows)
}

fn doctor() -> Result<Row> {
    let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
    let mut figures = Vec::new();
    for _ in 0..TIMES {
        let (before, started) = (process::children_time(), Instant::now());
        // Whether anything works here is no matter.
        let mut doctor = Command::new(&ashmem);
        doctor.arg("doctor").stdout(Stdio::null()).status().context("starting ashmem doctor")?;
        figures.push((started.elapsed(), process::children_time().saturating_sub(before)));
    }
    figures.sort();
    let (elapsed, processor) =
        figures.get(TIMES / 2).copied().context("the doctor was never asked")?;
    Ok(row("ashmem doctor", "ms", 1000.0, elapsed, processor, 300.0))
}

fn row(
    what: &'static str,
    unit: &'static str,
    in_a_second: f64,
    elapsed: Duration,
    processor: Duration,
    limit: f64,
) -> Row {
    let (goal, elapsed) = (Goal::AtMost(limit), elapsed.as_secs_f64() * in_a_second);
    let processor = processor.as_secs_f64() * in_a_second;
    Row { what, unit, elapsed, processor, goal, met: goal.is_met(elapsed) }
}

/// For people, in Markdown.
pub(super) fn table(rows: &[Row]) -> Table {
    let mut table = goals::markdown(&["What", "", "elapsed", "on processors", "goal", ""]);
    for row in rows {
        table.add_row([
            row.what.to_owned(),
            row.unit.to_owned(),
            format!("{:.1}", row.elapsed),
            format!("{:.1}", row.processor),
            row.goal.text(),
            row.met.map_or("", |met| if met { "✓" } else { "✗" }).to_owned(),
        ]);
    }
    goals::right(&mut table, &[2, 3, 4]);
    table
}
