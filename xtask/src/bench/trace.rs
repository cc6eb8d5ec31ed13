// SPDX-License-Identifier: MIT OR Apache-2.0
//! What being traced costs: the module's tracepoints while nobody listens, in instructions, and a
//! region's life under `ashmem trace`, by the clock and beside strace in the same run.

use crate::build::module::{self, Flavour};
use crate::build::static_program;
use crate::debian::kernel::{Kernel, Line};
use crate::machine::{self, Options, VmRequest};
use crate::util::{process, tools};
use anyhow::{Context, Result, bail};
use ashmem_bench::figure;
use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::process::Command;

/// The line on which both are measured.
const KERNEL: Line = Line::V6_1;

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    module: Cost,
    agent: Cost,
    /// By source.
    busy: Vec<(&'static str, Busy)>,
    rows: Vec<Row>,
}

/// What `ashmem-trace-test busy` prints.
#[derive(Debug, Serialize, Deserialize)]
struct Busy {
    untraced_ns: f64,
    traced_ns: f64,
    tracer_ns: f64,
    ratio: f64,
}

/// What `ashmem-trace-test cost` prints.
#[derive(Debug, Serialize, Deserialize)]
struct Cost {
    untraced_ns: f64,
    traced_ns: f64,
    strace_ns: f64,
    calls: u64,
    missing: u64,
    lost: u64,
    peak_kib: u64,
    peak_longer_kib: u64,
}

/// One line of the table.
#[derive(Debug, Serialize)]
struct Row {
    what: &'static str,
    source: &'static str,
    figure: f64,
    unit: &'static str,
    /// None: shown for comparison alone.
    at_most: Option<f64>,
    met: Option<bool>,
}

/// Builds, measures, compares.
pub(super) fn measure() -> Result<Report> {
    eprintln!("counting GET_SIZE and PIN with tracepoints and without ...");
    let kernel = Kernel::fetch(KERNEL)?;
    let (plain, untraced) =
        (counted(&kernel, Flavour::Plain)?, counted(&kernel, Flavour::Untraced)?);
    eprintln!("measuring lives in a machine with the module ...");
    let module = in_machine()?;
    eprintln!("measuring lives on this host under the agent ...");
    let agent = on_host()?;
    eprintln!("measuring what a busy host pays ...");
    let mut busy = vec![("module", busy_in_machine()?)];
    if rustix::process::getuid().is_root() {
        busy.push(("syscalls", busy_on_host()?));
    }
    let mut rows = Vec::new();
    let mut row = |what, source, figure: f64, unit, at_most: Option<f64>| {
        // Judged as shown.
        let met = at_most.map(|most| (figure * 100.0).round() <= (most * 100.0).round());
        rows.push(Row { what, source, figure, unit, at_most, met });
    };
    for (what, name) in [
        ("tracepoints that nobody reads, GET_SIZE", figure::GET_SIZE.to_owned()),
        ("tracepoints that nobody reads, UNPIN and PIN", figure::pins(0)),
    ] {
        let figure = |report: &ashmem_bench::Report| {
            report.figures.get(&name).copied().with_context(|| format!("{name} was not measured"))
        };
        row(what, "module", figure(&plain)? - figure(&untraced)?, "instructions more", Some(4.0));
    }
    for (source, cost) in [("module", &module), ("agent", &agent)] {
        row(
            "a life under ashmem trace",
            source,
            cost.traced_ns / cost.untraced_ns,
            "× untraced",
            Some(1.5),
        );
        row("the same under strace", source, cost.strace_ns / cost.untraced_ns, "× untraced", None);
        row(
            "calls at full speed that are not told",
            source,
            cost.missing as f64,
            "calls",
            Some(0.0),
        );
        row("events lost", source, cost.lost as f64, "events", Some(0.0));
        row("the tracer's memory", source, cost.peak_kib as f64 / 1024.0, "MiB", Some(32.0));
        let growth = cost.peak_longer_kib as f64 / cost.peak_kib as f64;
        row("the same over a trace ten times as long", source, growth, "×", Some(1.25));
    }
    for (source, cost) in &busy {
        let what = "a busy host without regions, traced as a whole";
        row(what, source, cost.ratio, "× untraced", Some(1.05));
    }
    Ok(Report { module, agent, busy, rows })
}

/// GET_SIZE and PIN in instructions.
fn counted(kernel: &Kernel, flavour: Flavour) -> Result<ashmem_bench::Report> {
    let module_path = Some(module::build_flavour(kernel, flavour)?);
    let options = Options { icount: true, module_path, ..Options::default() };
    let arguments = ["--only=get-size", "--only=pins"].map(str::to_owned).to_vec();
    let program = static_program::build("ashmem-bench")?;
    run(&VmRequest { kernel: KERNEL.into(), options, program, arguments, live: false })
}

fn in_machine() -> Result<Cost> {
    let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
    let mut file = vec![format!("{}:/bin/ashmem", ashmem.display())];
    file.extend(tools::programs(&["strace"])?);
    let options = Options { smp: 2, file, ..Options::default() };
    let arguments =
        ["cost", "module", "/bin/ashmem", "/usr/bin/strace"].map(str::to_owned).to_vec();
    let program = static_program::build("ashmem-trace-test")?;
    run(&VmRequest { kernel: KERNEL.into(), options, program, arguments, live: false })
}

fn on_host() -> Result<Cost> {
    let trial: PathBuf = static_program::build("ashmem-trace-test")?;
    let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
    let text = process::capture(
        Command::new(trial).args(["cost", "agent"]).arg(ashmem).arg("/usr/bin/strace"),
    )?;
    serde_json::from_str(&text).context("reading what the trial measured")
}

fn busy_in_machine() -> Result<Busy> {
    let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
    let file = vec![format!("{}:/bin/ashmem", ashmem.display())];
    // What is counted repeats, so that one turn is enough.
    let options = Options { icount: true, file, ..Options::default() };
    let arguments = ["busy", "module", "/bin/ashmem", "1"].map(str::to_owned).to_vec();
    let program = static_program::build("ashmem-trace-test")?;
    run(&VmRequest { kernel: KERNEL.into(), options, program, arguments, live: false })
}

/// The kernel's system calls are recorded on the host itself, which is root's right.
fn busy_on_host() -> Result<Busy> {
    let trial: PathBuf = static_program::build("ashmem-trace-test")?;
    let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
    let text = process::capture(Command::new(trial).args(["busy", "syscalls"]).arg(ashmem))?;
    serde_json::from_str(&text).context("reading what the trial measured")
}

/// Runs a program that prints JSON in a machine.
fn run<T: serde::de::DeserializeOwned>(request: &VmRequest) -> Result<T> {
    let outcome = machine::run(request)?;
    if !outcome.status.is_success() {
        bail!(
            "measuring: {}\n{}",
            outcome.status,
            String::from_utf8_lossy(&outcome.stderr).trim_end()
        );
    }
    serde_json::from_slice(&outcome.stdout).context("reading what was measured")
}

impl Report {
    /// For people.
    pub(super) fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN);
        table.set_header(["What", "source", "", "", "goal", ""]);
        for row in &self.rows {
            table.add_row([
                row.what.to_owned(),
                row.source.to_owned(),
                format!("{:.2}", row.figure),
                row.unit.to_owned(),
                row.at_most.map_or_else(String::new, |most| format!("≤ {most}")),
                row.met.map_or("", |met| if met { "✓" } else { "✗" }).to_owned(),
            ]);
        }
        for column in [2, 4] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }
}
