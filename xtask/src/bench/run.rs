//! The module-less way: what `ashmem run` costs, by the clock, on this host.
//!
//! Everything in one run and as ratios, for the clock of a busy machine says little else. `strace`, which stops a program at
//! each call by ptrace as a debugger does, is measured beside it.

use crate::{process, workspace};
use anyhow::{Context, Result, bail};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// Figures by name, in nanoseconds for one operation.
type Figures = BTreeMap<String, f64>;

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    bare: Figures,
    full: Figures,
    fast: Figures,
    strace: Figures,
    rows: Vec<Row>,
}

/// One line of the table.
#[derive(Debug, Serialize)]
struct Row {
    what: &'static str,
    level: &'static str,
    nanoseconds: f64,
    against: &'static str,
    ratio: f64,
    at_most: f64,
    met: bool,
}

/// Builds, measures, compares.
pub(super) fn measure() -> Result<Report> {
    let programs = Programs::build()?;
    eprintln!("measuring on this host: bare, under ashmem run at both levels, under strace ...");
    let bare = programs.figures(&[], "plain")?;
    let level = |level: &str| -> Result<Figures> {
        let run = [
            programs.ashmem.to_string_lossy().into_owned(),
            "run".into(),
            "--fidelity".into(),
            level.into(),
            "--".into(),
        ];
        let mut figures = programs.figures(&run, "plain")?;
        figures.extend(programs.figures(&run, "device")?);
        Ok(figures)
    };
    let (full, fast) = (level("full")?, level("fast")?);
    let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=ioctl"].map(str::to_owned);
    let strace = programs.figures(&strace, "ioctls")?;
    let rows = rows(&bare, &full, &fast, &strace)?;
    Ok(Report { bare, full, fast, strace, rows })
}

fn rows(bare: &Figures, full: &Figures, fast: &Figures, strace: &Figures) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut row = |what, level, figure: Option<&f64>, against, of: Option<&f64>, at_most: f64| -> Result<()> {
        let missing = || format!("{what} was not measured");
        let (nanoseconds, of) = (*figure.with_context(missing)?, *of.with_context(missing)?);
        let ratio = nanoseconds / of;
        // Judged as shown.
        let met = (ratio * 100.0).round() <= (at_most * 100.0).round();
        rows.push(Row { what, level, nanoseconds, against, ratio, at_most, met });
        Ok(())
    };
    let memfd = bare.get("memfd_lifecycle");
    for (level, figures) in [("full", full), ("fast", fast)] {
        let pages = bare.get("memfd_touch_64_mib");
        row("page faults and stores, 64 MiB", level, figures.get("ashmem_touch_64_mib"), "memfd", pages, 1.00)?;
        row("a named region's life", level, figures.get("ashmem_lifecycle"), "memfd's", memfd, 3.50)?;
        row("an unnamed region's life", level, figures.get("ashmem_lifecycle_unnamed"), "memfd's", memfd, 3.50)?;
        let ioctl = figures.get("ashmem_get_size");
        row("one ioctl", level, ioctl, "the same under strace", strace.get("ioctl_of_the_device"), 1.0 / 12.0)?;
        row("one ioctl", level, ioctl, "an unfiltered ioctl", bare.get("ioctl_of_the_device"), 25.0)?;
        for (what, name) in [
            ("getppid", "getppid"),
            ("read", "read"),
            ("write", "write"),
            ("open read-only, close", "open_read_only"),
            ("an ioctl that is not ours", "ioctl_not_ours"),
        ] {
            row(what, level, figures.get(name), "bare", bare.get(name), 1.10)?;
        }
    }
    for (what, name) in [("stat", "stat"), ("fstat", "fstat")] {
        row(what, "fast", fast.get(name), "bare", bare.get(name), 1.10)?;
    }
    Ok(rows)
}

impl Report {
    /// For people.
    pub(super) fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN);
        table.set_header(["What", "level", "ns", "against", "ratio", "goal", ""]);
        for row in &self.rows {
            table.add_row([
                row.what.to_owned(),
                row.level.to_owned(),
                format!("{:.0}", row.nanoseconds),
                row.against.to_owned(),
                format!("{:.2}", row.ratio),
                format!("≤ {:.2}", row.at_most),
                if row.met { "✓" } else { "✗" }.to_owned(),
            ]);
        }
        for column in [2, 4, 5] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }
}

/// `ashmem` and the program that is timed.
struct Programs {
    ashmem: PathBuf,
    bench: PathBuf,
}

impl Programs {
    fn build() -> Result<Self> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--release", "--package", "ashmem-cli", "--bin", "ashmem"]);
        cargo.args(["--package", "ashmem-agent", "--example", "run-bench"]).current_dir(workspace::root());
        let (text, status) = process::capture_both(&mut cargo)?;
        if !status.success() {
            bail!("{} ended with {}:\n{text}", process::line(&cargo), process::describe(status));
        }
        let target = workspace::built();
        Ok(Self { ashmem: target.join("release/ashmem"), bench: target.join("release/examples/run-bench") })
    }

    /// What the program prints under `before`.
    fn figures(&self, before: &[String], what: &str) -> Result<Figures> {
        let mut command = match before.split_first() {
            None => Command::new(&self.bench),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.bench);
                command
            }
        };
        let text = process::capture(command.arg(what))?;
        serde_json::from_str(&text).with_context(|| format!("{} printed no figures", process::line(&command)))
    }
}
