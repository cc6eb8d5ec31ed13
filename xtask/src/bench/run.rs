// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module-less way: what `ashmem run` costs, by the clock, on this host.
//!
//! Everything in one run and as ratios, for the clock of a busy machine says little else. `strace`,
//! which stops a program at each call by ptrace as a debugger does, is measured beside it.

use super::figures::{Figures, Programs, Row, Unit};
use super::load;
use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// The figures are taken so often, bare and at each level alternately, so that a busy moment
/// disturbs all of them alike; of each the least counts.
const ROUNDS: usize = 3;

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    bare: Figures,
    full: Figures,
    fast: Figures,
    full_notified: Figures,
    fast_notified: Figures,
    strace: Figures,
    rows: Vec<Row>,
}

/// Builds, measures, compares.
pub(super) fn measure() -> Result<Report> {
    let programs = Programs::build()?;
    let [mut bare, mut full, mut fast, mut strace] = [const { Figures::new() }; 4];
    let [mut full_notified, mut fast_notified] = [const { Figures::new() }; 2];
    let tracer = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=ioctl"].map(str::to_owned);
    for round in 1..=ROUNDS {
        eprintln!(
            "measuring calls bare, under ashmem run at both levels, under strace: round {round} of \
             {ROUNDS} ..."
        );
        for what in ["plain", "floor"] {
            keep_least(&mut bare, programs.figures(&[], what)?);
        }
        for (figures, level, inside) in [
            (&mut full, "full", "auto"),
            (&mut fast, "fast", "auto"),
            (&mut full_notified, "full", "never"),
            (&mut fast_notified, "fast", "never"),
        ] {
            for what in ["plain", "device"] {
                keep_least(figures, programs.figures(&programs.under(level, inside), what)?);
            }
        }
        for (figures, level) in [(&mut full_notified, "full"), (&mut fast_notified, "fast")] {
            keep_least(figures, programs.figures(&programs.under(level, "never"), "crowd")?);
        }
        for (figures, inside) in [(&mut full, "auto"), (&mut full_notified, "never")] {
            keep_least(figures, programs.figures(&programs.under("full", inside), "new")?);
        }
        keep_least(&mut strace, programs.figures(&tracer, "ioctls")?);
    }
    let mut rows = rows(&bare, &full, &fast)?;
    rows.extend(first_lives(&full, &full_notified)?);
    rows.extend(notified(&bare, &full_notified, &fast_notified, &strace)?);
    rows.extend(load::rows(&programs)?);
    Ok(Report { bare, full, fast, full_notified, fast_notified, strace, rows })
}

fn keep_least(all: &mut Figures, new: Figures) {
    for (name, figure) in new {
        all.entry(name).and_modify(|least| *least = least.min(figure)).or_insert(figure);
    }
}

/// What it costs where every call is notified, as in containers and with `--inside never`.
fn notified(bare: &Figures, full: &Figures, fast: &Figures, strace: &Figures) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut row = |what,
                   level,
                   figure: Option<&f64>,
                   against,
                   of: Option<&f64>,
                   at_most: Option<f64>|
     -> Result<()> {
        let missing = || format!("{what} was not measured");
        let (figure, of) = (*figure.with_context(missing)?, *of.with_context(missing)?);
        rows.push(Row::new(what, level, Unit::Nanoseconds, figure, against, of, at_most));
        Ok(())
    };
    let (memfd, unseen) = (bare.get("memfd_lifecycle"), bare.get("notification"));
    // What no supervisor can be faster than on this machine: the kernel's part of a notification,
    // and memfd's own life.
    row(
        "a notification answered unseen",
        "",
        unseen,
        "an unfiltered ioctl",
        bare.get("ioctl_of_the_device"),
        None,
    )?;
    for (what, calls) in
        [("memfd's life and three of them", 3.0), ("memfd's life and four of them", 4.0)]
    {
        let least = memfd.zip(unseen).map(|(memfd, unseen)| memfd + calls * unseen);
        row(what, "", least.as_ref(), "memfd's", memfd, None)?;
    }
    row(
        "getppid, a filter that allows all",
        "",
        bare.get("allowed_getppid"),
        "bare",
        bare.get("getppid"),
        None,
    )?;
    for (level, figures) in [("full, notified", full), ("fast, notified", fast)] {
        let pages = bare.get("memfd_touch_64_mib");
        row(
            "page faults and stores, 64 MiB",
            level,
            figures.get("ashmem_touch_64_mib"),
            "memfd",
            pages,
            Some(1.00),
        )?;
        row(
            "a named region's life",
            level,
            figures.get("ashmem_lifecycle"),
            "memfd's",
            memfd,
            Some(3.50),
        )?;
        row(
            "an unnamed region's life",
            level,
            figures.get("ashmem_lifecycle_unnamed"),
            "memfd's",
            memfd,
            Some(3.50),
        )?;
        let ioctl = figures.get("ashmem_get_size");
        row(
            "one ioctl",
            level,
            ioctl,
            "the same under strace",
            strace.get("ioctl_of_the_device"),
            Some(1.0 / 12.0),
        )?;
        row(
            "one ioctl",
            level,
            ioctl,
            "an unfiltered ioctl",
            bare.get("ioctl_of_the_device"),
            Some(25.0),
        )?;
        row("one ioctl", level, ioctl, "a notification answered unseen", unseen, None)?;
        row(
            "a round of calls, four processes at once",
            level,
            figures.get("calls_of_four"),
            "one process alone",
            figures.get("calls_of_one"),
            Some(1.0 / 1.7),
        )?;
        for (what, name) in [
            ("getppid", "getppid"),
            ("read", "read"),
            ("write", "write"),
            ("open read-only, close", "open_read_only"),
            ("an ioctl that is not ours", "ioctl_not_ours"),
            ("stat", "stat"),
        ] {
            row(what, level, figures.get(name), "bare", bare.get(name), Some(1.10))?;
        }
    }
    row("fstat", "fast, notified", fast.get("fstat"), "bare", bare.get("fstat"), Some(1.10))?;
    Ok(rows)
}

/// What it costs by itself: most calls are answered inside a program that uses the device.
fn rows(bare: &Figures, full: &Figures, fast: &Figures) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    // An answer to GET_SIZE asks the kernel for what it says.
    let mut least = bare.clone();
    if let (Some(stat), Some(seals)) = (bare.get("fstat"), bare.get("memfd_seals")) {
        least.insert("fstat_and_seals".to_owned(), stat + seals);
    }
    let life = |goal| [Some(goal), None];
    let call = |goal| [Some(goal); 2];
    for (what, name, against, of, at_most) in [
        (
            "an unnamed region's life",
            "ashmem_lifecycle_unnamed",
            "memfd's",
            "memfd_lifecycle",
            life(1.8),
        ),
        ("a named region's life", "ashmem_lifecycle", "memfd's", "memfd_lifecycle", life(3.0)),
        ("one ioctl", "ashmem_get_size", "an unfiltered ioctl", "ioctl_of_the_device", call(3.0)),
        (
            "one ioctl",
            "ashmem_get_size",
            "fstat and F_GET_SEALS, bare",
            "fstat_and_seals",
            [None; 2],
        ),
        (
            "open O_RDWR of another file, close",
            "user_open_read_write",
            "bare",
            "open_read_write",
            call(1.4),
        ),
        ("fstat of another file", "user_fstat", "bare", "fstat", call(1.4)),
        ("mmap of a file, munmap", "user_mmap_file", "bare", "mmap_file", call(1.4)),
        (
            "an ioctl that is not ours",
            "ioctl_not_ours",
            "an allow-all filter's",
            "allowed_ioctl_not_ours",
            call(1.15),
        ),
        ("getppid", "getppid", "an allow-all filter's", "allowed_getppid", call(1.05)),
        ("read", "read", "an allow-all filter's", "allowed_read", call(1.05)),
        ("write", "write", "an allow-all filter's", "allowed_write", call(1.05)),
    ] {
        for ((level, figures), at_most) in [("full", full), ("fast", fast)].into_iter().zip(at_most)
        {
            let missing = || format!("{what} was not measured");
            let figure = *figures.get(name).with_context(missing)?;
            let of = *least.get(of).with_context(missing)?;
            rows.push(Row::new(what, level, Unit::Nanoseconds, figure, against, of, at_most));
        }
    }
    Ok(rows)
}

/// What a new process pays until its calls are answered inside, and for that.
fn first_lives(full: &Figures, notified: &Figures) -> Result<Vec<Row>> {
    let row = |(what, name, at_most): (&'static str, &str, Option<f64>)| {
        let missing = || format!("{what} was not measured");
        let figure = *full.get(name).with_context(missing)?;
        let of = *notified.get(name).with_context(missing)?;
        Ok(Row::new(what, "full", Unit::Nanoseconds, figure, "notified", of, at_most))
    };
    [
        ("a new process's first unnamed life", "new_1", Some(1.1)),
        ("each of its first 16", "new_16", Some(2.0)),
        ("each of its first 64", "new_64", None),
    ]
    .into_iter()
    .map(row)
    .collect()
}

impl Report {
    /// For people.
    pub(super) fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN);
        table.set_header(["What", "level", "", "", "against", "ratio", "goal", ""]);
        for row in &self.rows {
            table.add_row([
                row.what.to_owned(),
                row.level.to_owned(),
                match row.unit {
                    Unit::Mebibytes => format!("{:.2}", row.figure),
                    _ => format!("{:.0}", row.figure),
                },
                row.unit.word().to_owned(),
                row.against.to_owned(),
                row.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
                row.at_most.map_or_else(String::new, |at_most| format!("≤ {at_most:.2}")),
                row.met.map_or("", |met| if met { "✓" } else { "✗" }).to_owned(),
            ]);
        }
        for column in [2, 5, 6] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }
}
