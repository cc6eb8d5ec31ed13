// SPDX-License-Identifier: MIT OR Apache-2.0
//! A diagnosis on one screen, and the causes of a log's messages.

use std::fmt::{self, Display, Write};

use anstyle::{AnsiColor, Style};

use crate::diagnosis::{Diagnosis, DiagnosisRow};
use crate::explain::Explanation;
use crate::finding::FindingStatus;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// A diagnosis as a person reads it, with colours; who prints it takes them out where they do not
/// belong.
pub struct DiagnosisScreen<'a>(pub &'a Diagnosis);

impl Display for DiagnosisScreen<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let diagnosis = self.0;
        writeln!(formatter, "{BOLD}{}{BOLD:#}\n", headline(diagnosis))?;
        for verdict in &diagnosis.ways {
            let (style, word) = if verdict.works { (good(), "works") } else { (DIM, "no") };
            let note = if verdict.works { verdict.way.describe() } else { &verdict.because };
            writeln!(
                formatter,
                "  {style}{word:5}{style:#}  {:14}{}",
                verdict.way.name(),
                clean(note)
            )?;
        }
        writeln!(formatter)?;
        for row in &diagnosis.checks {
            let (style, word) = match diagnosis.status(row) {
                FindingStatus::Ok => (good(), "ok"),
                FindingStatus::Absent => (DIM, "-"),
                FindingStatus::Warning => (AnsiColor::Yellow.on_default().bold(), "look"),
                FindingStatus::Fault => (AnsiColor::Red.on_default().bold(), "FAULT"),
            };
            writeln!(
                formatter,
                "  {style}{word:5}{style:#}  {:14}{}",
                row.check,
                clean(&row.finding.summary)
            )?;
        }
        advice(diagnosis, formatter)
    }
}

/// A log's causes as a person reads them, with colours.
pub struct Causes<'a>(pub &'a Explanation);

impl Display for Causes<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explanation { explained, unknown, unrecognised, .. } = self.0;
        for known in explained {
            writeln!(formatter, "{DIM}{}{DIM:#}", known.line)?;
            if known.count > 1 {
                writeln!(formatter, "{DIM}  and {} more of its kind{DIM:#}", known.count - 1)?;
            }
            writeln!(formatter, "{BOLD}{}{BOLD:#}: {}", known.message.id, known.message.cause)?;
            for command in known.message.next {
                writeln!(formatter, "    {command}")?;
            }
            writeln!(formatter)?;
        }
        for line in unknown {
            writeln!(formatter, "not known: {line}")?;
        }
        match (explained.is_empty(), *unrecognised) {
            (_, 0) if !explained.is_empty() => Ok(()),
            (true, 0) => writeln!(formatter, "There was nothing to read."),
            (true, count) => writeln!(
                formatter,
                "Not recognised: {count} line(s). What this machine can do tells `ashmem doctor`; \
                 a message that should be known is worth a report."
            ),
            (false, count) => writeln!(formatter, "Not recognised: {count} other line(s)."),
        }
    }
}

fn headline(diagnosis: &Diagnosis) -> String {
    let concerned = diagnosis.concerned();
    let names = concerned.iter().map(|way| format!("`{way}`")).collect::<Vec<_>>();
    match (diagnosis.works, diagnosis.mode) {
        (true, "auto") => format!("/dev/ashmem can be had here: {}.", names.join(" and ")),
        (true, mode) => format!("/dev/ashmem works here by `{mode}`."),
        (false, "auto") => "/dev/ashmem does not work here in any way.".to_owned(),
        (false, mode) => format!("/dev/ashmem does not work here by `{mode}`."),
    }
}

/// What to do, in the order of the checks; nothing where all is well.
fn advice(diagnosis: &Diagnosis, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let wanted = |row: &&DiagnosisRow| {
        matches!(diagnosis.status(row), FindingStatus::Fault | FindingStatus::Warning)
    };
    let mut rows: Vec<_> = diagnosis.checks.iter().filter(wanted).collect();
    // What keeps the device from working comes first.
    rows.sort_by_key(|row| row.finding.status != FindingStatus::Fault);
    let mut told: Vec<&[String]> = Vec::new();
    // One without a word of advice follows from another, which has it.
    for row in
        rows.into_iter().filter(|row| !(row.finding.why.is_empty() && row.finding.next.is_empty()))
    {
        let finding = &row.finding;
        let mut text = String::new();
        writeln!(text, "\n{BOLD}{}{BOLD:#}: {}", row.check, clean(&finding.summary))?;
        if !finding.why.is_empty() {
            writeln!(text, "  {}", clean(&finding.why))?;
        }
        // Two findings may want the same: the first one tells it.
        let is_new = !told.contains(&finding.next.as_slice());
        for command in finding.next.iter().filter(|_| is_new) {
            writeln!(text, "    {}", clean(command))?;
        }
        told.push(&finding.next);
        formatter.write_str(&text)?;
    }
    Ok(())
}

fn good() -> Style {
    AnsiColor::Green.on_default()
}

/// Without what a terminal would obey: names come from files that others may have written.
fn clean(text: &str) -> String {
    text.chars().map(|sign| if sign.is_control() { '\u{fffd}' } else { sign }).collect()
}
