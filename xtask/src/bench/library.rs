// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the C library's functions cost beside the bare calls that a program would make instead:
//! instructions, the kernel's among them, for that is what a caller pays.

use super::goals::{self, Goal};
use super::measure;
use crate::build::static_program;
use crate::machine::Provider;
use crate::util::arch::Arch;
use anyhow::{Context, Result};
use ashmem_bench::{Report, figure};
use comfy_table::Table;
use serde::Serialize;

/// A call of the library beside what it stands for.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    what: &'static str,
    bare: f64,
    library: f64,
    ratio: f64,
    goal: Goal,
    met: Option<bool>,
}

/// A name for people, the figure's, the goal.
const ROWS: &[(&str, &str, f64)] = &[
    ("ASharedMemory_getSize", "get-size", 1.03),
    ("ASharedMemory_setProt", "set-prot", 1.03),
    ("ashmem_unpin_region, ashmem_pin_region", "pins", 1.03),
    ("ASharedMemory_create on the device", "create", 1.03),
    ("ASharedMemory_create on memfd", "memfd.create", 1.05),
];

/// Counts both sides in one boot with the module.
pub(super) fn measure() -> Result<Vec<Row>> {
    let program = static_program::build("ashmem-bench")?;
    let report = measure::counted(Arch::X86_64, &program, Provider::Module, &["library"])?;
    ROWS.iter().map(|(what, name, goal)| row(what, name, Goal::AtMost(*goal), &report)).collect()
}

fn row(what: &'static str, name: &str, goal: Goal, report: &Report) -> Result<Row> {
    let get = |name: &str| {
        report.figures.get(name).copied().with_context(|| format!("no figure {name} was measured"))
    };
    let (bare, library) = (get(&figure::bare(name))?, get(&figure::library(name))?);
    let ratio = library / bare;
    // Not by hundredths: a hundredth is a third of what is allowed.
    Ok(Row { what, bare, library, ratio, goal, met: goal.is_met(ratio) })
}

/// For people, in Markdown.
pub(super) fn table(rows: &[Row]) -> Table {
    let mut table = goals::markdown(&["What", "bare calls", "library", "ratio", "goal", ""]);
    for row in rows {
        table.add_row([
            row.what.to_owned(),
            goals::amount(row.bare, ""),
            goals::amount(row.library, ""),
            format!("{:.3}", row.ratio),
            row.goal.text(),
            row.met.map_or("", |met| if met { "✓" } else { "✗" }).to_owned(),
        ]);
    }
    goals::right(&mut table, &[1, 2, 3, 4]);
    table
}
