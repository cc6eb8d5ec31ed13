// SPDX-License-Identifier: MIT OR Apache-2.0
//! A diagnosis on one screen, and the causes of a log's messages.

use std::fmt::{self, Display, Write};

use anstyle::{AnsiColor, Style};

use crate::diagnosis::{Diagnosis, DiagnosisRow};
use crate::explain::{Explained, Explanation, LogVerdict};
use crate::finding::FindingStatus;
use crate::image::{ImageReport, MemfdRule, NodeRule};

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

/// What helps with lines that are not English.
const FOREIGN: &str = "Messages are known in English: run the command again with LC_ALL=C before \
                       it (sudo LC_ALL=C ...), and paste what it says then.\n";

/// A log's causes as a person reads them, with colours.
pub struct Causes<'a>(pub &'a Explanation);

impl Display for Causes<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let log = self.0;
        for known in &log.explained {
            cause(known, formatter)?;
        }
        for known in &log.harmless {
            cause(known, formatter)?;
        }
        for line in &log.unknown {
            writeln!(formatter, "not known: {line}")?;
        }
        let others = match log.unrecognised {
            0 => String::new(),
            1 => " 1 other line speaks of nothing that is known here.".to_owned(),
            count => format!(" {count} other lines speak of nothing that is known here."),
        };
        let next = "What this machine can do tells `ashmem doctor`";
        match log.verdict {
            LogVerdict::Empty => writeln!(formatter, "There was nothing to read."),
            LogVerdict::Trouble => {
                let told = if log.distribution_is_told { "as the log tells" } else { "this host" };
                write!(formatter, "The advice is for {} ({told}).", clean(&log.distribution))?;
                writeln!(formatter, "{others}")
            }
            LogVerdict::Healthy => writeln!(
                formatter,
                "{BOLD}Nothing is wrong here{BOLD:#} as far as shared memory and its neighbours go.\
                 {others}\n{next}; a message that should be known is worth a report."
            ),
            LogVerdict::Unknown => writeln!(
                formatter,
                "{BOLD}Nothing was explained{BOLD:#}: the lines above tell of trouble with shared \
                 memory, binder or an Android container, and are not known \
                 here.{others}\n{}{next}; such a message is worth a report.",
                if log.unknown_is_foreign { FOREIGN } else { "" }
            ),
        }
    }
}

fn cause(known: &Explained, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(formatter, "{DIM}{}{DIM:#}", known.line)?;
    if known.count > 1 {
        writeln!(formatter, "{DIM}  and {} more of its kind{DIM:#}", known.count - 1)?;
    }
    writeln!(formatter, "{BOLD}{}{BOLD:#}: {}", known.id, known.cause)?;
    for command in &known.next {
        writeln!(formatter, "    {command}")?;
    }
    writeln!(formatter)
}

/// An image as a person reads it, with colours.
pub struct ImageScreen<'a>(pub &'a ImageReport);

impl Display for ImageScreen<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = self.0;
        if !image.is_android() {
            let path = clean(&image.image);
            writeln!(formatter, "{BOLD}No Android is seen{BOLD:#} in {path} ({})", image.form)?;
            return missing(image, formatter);
        }
        let known =
            |value: &Option<String>| value.as_deref().map_or_else(|| "not set".to_owned(), clean);
        let api = image.api.map(|api| format!(" (API {api})")).unwrap_or_default();
        let machine = image.machine.unwrap_or("unknown processor");
        let foreign = match image.is_for_this_machine {
            Some(false) => ": not this machine's",
            _ => "",
        };
        writeln!(
            formatter,
            "{BOLD}Android {}{api}, {machine}{foreign}{BOLD:#}, in {} ({})\n",
            image.android.as_deref().map_or_else(|| "of unknown version".to_owned(), clean),
            clean(&image.image),
            image.form
        )?;
        for library in &image.libcutils {
            let opens = match library.nodes {
                NodeRule::Plain => "opens /dev/ashmem",
                NodeRule::BootIdThenPlain => "opens /dev/ashmem<boot_id>, then /dev/ashmem",
                NodeRule::BootId => "opens /dev/ashmem<boot_id> alone",
            };
            let memfd = match library.memfd {
                MemfdRule::Never => "no memfd",
                MemfdRule::Vndk => {
                    "memfd if sys.use_memfd is true and ro.vndk.version is 29 or more"
                }
                MemfdRule::Treble => "memfd if sys.use_memfd is true and ro.treble.enabled is true",
                MemfdRule::WithIoctls => {
                    "memfd if sys.use_memfd is true and memfds answer ashmem's ioctls"
                }
            };
            writeln!(formatter, "  {}\n      {opens};\n      {memfd}", clean(&library.path))?;
        }
        if let Some(line) = pages(image, rustix::param::page_size() as u64) {
            writeln!(formatter, "  pages              {line}")?;
        }
        writeln!(formatter, "  ro.vndk.version    {}", known(&image.vndk_version))?;
        writeln!(formatter, "  ro.treble.enabled  {}", known(&image.treble))?;
        if image.use_memfd.is_empty() {
            writeln!(formatter, "  sys.use_memfd      no script of it sets it: false")?;
        }
        for place in &image.use_memfd {
            let on = if place.on.is_empty() { String::new() } else { format!(", on {}", place.on) };
            writeln!(formatter, "  sys.use_memfd      {} ({}{on})", place.value, place.path)?;
        }
        let (allow, forbid): (Vec<_>, Vec<_>) =
            image.seccomp.iter().partition(|policy| policy.allows_memfd);
        writeln!(
            formatter,
            "  seccomp policies   {}, {} of them allow memfd_create",
            image.seccomp.len(),
            allow.len()
        )?;
        for policy in forbid.iter().filter(|policy| policy.is_for_media) {
            writeln!(formatter, "      not allowed: {}", policy.path)?;
        }
        writeln!(formatter)?;
        for way in &image.ways {
            let (style, word) = if way.serves { (good(), "serves") } else { (DIM, "no") };
            writeln!(
                formatter,
                "  {style}{word:6}{style:#}  {:8}{}",
                way.way,
                clean(&way.because)
            )?;
        }
        missing(image, formatter)
    }
}

fn missing(image: &ImageReport, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    for missing in &image.missing {
        writeln!(formatter, "\nnot there to be looked at: {missing}")?;
    }
    Ok(())
}

/// With which pages an image's libraries can be loaded, and whether this machine's, of so many
/// bytes, are among them.
fn pages(image: &ImageReport, page: u64) -> Option<String> {
    let largest = image.largest_pages?;
    let kib = |bytes: u64| bytes / 1024;
    Some(if page <= largest {
        format!("up to {} KiB", kib(largest))
    } else {
        format!(
            "up to {} KiB; this machine's have {}: nothing of it starts here",
            kib(largest),
            kib(page)
        )
    })
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
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|sign| if sign.is_control() { '\u{fffd}' } else { sign }).collect()
}
