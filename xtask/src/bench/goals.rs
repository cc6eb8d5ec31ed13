// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is to be reached, and the tables that say whether it is.

use super::results::Results;
use ashmem_bench::{MEMFD_PIECES, PIECES, RANGES, Report, figure};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// Nobody is to wait longer than this, in nanoseconds.
const MILLISECOND: f64 = 1e6;

/// One line of the table of goals.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    what: &'static str,
    unit: &'static str,
    reference: Option<f64>,
    memfd: Option<f64>,
    module: Option<f64>,
    /// What the module is compared with, in words.
    against: &'static str,
    ratio: Option<f64>,
    /// What the ratio is to be: at most, or at least.
    goal: Goal,
    met: Option<bool>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Goal {
    AtMost(f64),
    AtLeast(f64),
    /// Shown for comparison alone.
    Nothing,
}

impl Goal {
    pub(super) fn is_met(self, ratio: f64) -> Option<bool> {
        match self {
            Self::AtMost(limit) => Some(ratio <= limit),
            Self::AtLeast(limit) => Some(ratio >= limit),
            Self::Nothing => None,
        }
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::AtMost(limit) => format!("≤ {limit:.2}"),
            Self::AtLeast(limit) => format!("≥ {limit:.2}"),
            Self::Nothing => String::new(),
        }
    }
}

/// What a row divides the module's figure by.
enum Against<'a> {
    Reference,
    Memfd(&'a str),
    /// A memfd's and `/dev/null`'s figures together.
    MemfdAndNull(&'a str, &'a str),
    /// So many nanoseconds.
    Time(f64),
    /// Another figure of the module's own.
    Itself(&'a str),
    /// The figure is a ratio already.
    Nothing,
}

/// The rows of the table of goals, as far as they were measured.
pub(super) fn rows(results: &Results) -> Vec<Row> {
    let row = |what, unit, name: &str, against: Against<'_>, goal| {
        let reference = get(results.reference.as_ref(), name);
        let module = get(results.module.as_ref(), name);
        // Of the module's own boot, where there is one.
        let beside = |name| get(results.module.as_ref().or(results.reference.as_ref()), name);
        let memfd = match against {
            Against::Memfd(memfd) => beside(memfd),
            Against::MemfdAndNull(memfd, null) => {
                beside(memfd).zip(beside(null)).map(|(memfd, null)| memfd + null)
            }
            _ => None,
        };
        let (against, base) = match against {
            Against::Reference => ("reference", reference),
            Against::Memfd(_) => ("memfd", memfd),
            Against::MemfdAndNull(..) => ("memfd + null", memfd),
            Against::Time(limit) => ("1 ms", Some(limit)),
            Against::Itself(other) => ("none", get(results.module.as_ref(), other)),
            Against::Nothing => ("one thread", Some(1.0)),
        };
        let ratio = module.zip(base).map(|(module, base)| module / base);
        let met = ratio.and_then(|ratio| goal_met(goal, ratio));
        Row { what, unit, reference, memfd, module, against, ratio, goal, met }
    };
    let wait =
        |what, name: &str| row(what, "ms", name, Against::Time(MILLISECOND), Goal::AtMost(1.0));
    let back = |what, name: &str| row(what, "ms", name, Against::Reference, Goal::AtMost(1.1));
    vec![
        row(
            "open, name, size, map, touch, unmap, close of 4 KiB",
            "ns",
            figure::LIFECYCLE,
            Against::Memfd(figure::LIFECYCLE_MEMFD),
            Goal::Nothing,
        ),
        row(
            "the same, beside a memfd's and open and close of /dev/null",
            "ns",
            figure::LIFECYCLE,
            Against::MemfdAndNull(figure::LIFECYCLE_MEMFD, figure::OPEN_CLOSE_NULL),
            Goal::AtMost(1.0),
        ),
        row("open and close", "ns", figure::OPEN_CLOSE, Against::Reference, Goal::AtMost(1.0)),
        row(
            "the same of /dev/null",
            "ns",
            figure::OPEN_CLOSE_NULL,
            Against::Reference,
            Goal::Nothing,
        ),
        row("GET_SIZE", "ns", figure::GET_SIZE, Against::Reference, Goal::AtMost(1.0)),
        row(
            "first touch of a page",
            "ns",
            figure::TOUCH,
            Against::Memfd(figure::TOUCH_MEMFD),
            Goal::AtMost(1.02),
        ),
        row(
            "unpin and pin one page, nothing else unpinned",
            "ns",
            &figure::pins(0),
            Against::Reference,
            Goal::AtMost(0.85),
        ),
        row(
            "unpin and pin, 8,192 unpinned ranges in the region",
            "ns",
            &figure::pins(8192),
            Against::Itself(&figure::pins(0)),
            Goal::AtMost(1.25),
        ),
        wait(
            "longest wait for the processor, 2^19 ranges pinned",
            &figure::wait_for_processor("pin"),
        ),
        wait("the same, 2^19 ranges swallowed by one UNPIN", &figure::wait_for_processor("unpin")),
        wait("the same, 2^19 ranges closed", &figure::wait_for_processor("close")),
        wait("longest wait for the region, 2^19 ranges pinned", &figure::wait_for_region("pin")),
        wait("the same, 2^19 ranges swallowed by one UNPIN", &figure::wait_for_region("unpin")),
        back("240 MiB given back under pressure, unpinned at once", &figure::given_back(1)),
        back("the same, unpinned as 64 ranges", &figure::given_back(64)),
        back("the same, unpinned as 1,024 ranges", &figure::given_back(1024)),
        row(
            "two threads on two regions, unpin and pin",
            "×",
            figure::THREADS,
            Against::Nothing,
            Goal::AtLeast(1.8),
        ),
        row(
            "the same with a call that shares nothing",
            "×",
            figure::THREADS_MACHINE,
            Against::Nothing,
            Goal::Nothing,
        ),
        row(
            "kernel memory of an open, sized, named region",
            "bytes",
            figure::MEMORY_REGION,
            Against::Reference,
            Goal::AtMost(1.0),
        ),
        row(
            "kernel memory of an unpinned range",
            "bytes",
            figure::MEMORY_RANGE,
            Against::Reference,
            Goal::AtMost(1.25),
        ),
    ]
}

/// Ratios are judged as they are shown: by hundredths.
fn goal_met(goal: Goal, ratio: f64) -> Option<bool> {
    goal.is_met((ratio * 100.0).round() / 100.0)
}

/// The table of goals, in Markdown.
pub(super) fn table(rows: &[Row]) -> Table {
    let mut table =
        markdown(&["What", "", "reference", "memfd", "module", "module / …", "ratio", "goal", ""]);
    for row in rows {
        let number =
            |value: Option<f64>| value.map_or_else(String::new, |value| amount(value, row.unit));
        table.add_row([
            row.what.to_owned(),
            row.unit.to_owned(),
            number(row.reference),
            number(row.memfd),
            number(row.module),
            row.against.to_owned(),
            row.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            row.goal.text(),
            row.met.map_or("", |met| if met { "✓" } else { "✗" }).to_owned(),
        ]);
    }
    right(&mut table, &[2, 3, 4, 6, 7]);
    table
}

/// What one pair of calls costs by the number of other ranges, in Markdown.
pub(super) fn ranges(results: &Results) -> Table {
    let mut table = markdown(&["other unpinned ranges", "reference", "module"]);
    for ranges in RANGES {
        let name = figure::pins(ranges);
        table.add_row([
            amount(ranges.into(), ""),
            number(results.reference.as_ref(), &name),
            number(results.module.as_ref(), &name),
        ]);
    }
    right(&mut table, &[0, 1, 2]);
    table
}

/// Where the time of a life goes, call by call, in Markdown.
pub(super) fn pieces(results: &Results) -> Table {
    let mut table = markdown(&["call", "reference", "module", "call of memfd", "memfd"]);
    let any = results.module.as_ref().or(results.reference.as_ref());
    let mut memfd = MEMFD_PIECES.iter();
    for piece in PIECES {
        let name = figure::piece(piece);
        // Calls stand beside what a memfd wants instead.
        let beside = if matches!(piece, "set-name" | "later-mmap" | "later-munmap") {
            None
        } else {
            memfd.next()
        };
        table.add_row([
            piece.to_owned(),
            number(results.reference.as_ref(), &name),
            number(results.module.as_ref(), &name),
            beside.map_or_else(String::new, |call| call.trim_start_matches("memfd.").to_owned()),
            beside.map_or_else(String::new, |call| number(any, &figure::piece(call))),
        ]);
    }
    right(&mut table, &[1, 2, 4]);
    table
}

fn get(report: Option<&Report>, name: &str) -> Option<f64> {
    report?.figures.get(name).copied()
}

fn number(report: Option<&Report>, name: &str) -> String {
    get(report, name).map_or_else(String::new, |value| amount(value, "ns"))
}

/// A number as people read it: thousands apart, a ratio with two decimals.
pub(super) fn amount(value: f64, unit: &str) -> String {
    match unit {
        "×" => return format!("{value:.2}"),
        // Everything is measured in nanoseconds.
        "ms" => return format!("{:.2}", value / MILLISECOND),
        _ => {}
    }
    let digits = format!("{value:.0}");
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or(""))
        .collect();
    groups.join(",")
}

pub(super) fn markdown(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header(header);
    table
}

pub(super) fn right(table: &mut Table, columns: &[usize]) {
    for column in columns {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Goal, amount, goal_met};

    #[test]
    fn a_ratio_is_judged_as_it_is_shown() {
        assert_eq!(goal_met(Goal::AtMost(1.0), 1.004), Some(true));
        assert_eq!(goal_met(Goal::AtMost(1.0), 1.006), Some(false));
        assert_eq!(goal_met(Goal::AtLeast(1.8), 1.79), Some(false));
        assert_eq!(goal_met(Goal::Nothing, 7.0), None);
    }

    #[test]
    fn numbers_have_their_thousands_apart() {
        assert_eq!(amount(63.5, "bytes"), "64");
        assert_eq!(amount(324_350.2, "ns"), "324,350");
        assert_eq!(amount(1_916.0, "ns"), "1,916");
        assert_eq!(amount(1.916, "×"), "1.92");
        assert_eq!(amount(53_924.0, "ms"), "0.05");
    }
}
