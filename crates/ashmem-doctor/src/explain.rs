// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a line of a log to its cause and the next step: logcat, dmesg, a build's log, Waydroid's
//! log, a runtime's error.
//!
//! A line is taken apart first ([`LogLine`]): who says what about which thing, and which error it
//! names. A [`Message`] then says which thing it is about, and fits no line about another. The
//! tables stand in the order in which they are asked, the particular before the general; the first
//! that fits explains the line.

mod anbox;
mod android;
mod binder;
mod binderfs;
mod build;
mod builds;
mod cdi;
mod compiler;
mod container;
mod driver;
mod explained;
mod frameworks;
mod kubernetes;
mod load;
mod lxc;
mod matcher;
mod module_files;
mod needed_words;
mod neighbours;
mod network;
mod nodes;
mod old_modules;
mod own;
mod packages;
mod region;
mod removal;
mod security;
mod session;
mod told;
mod traceback;
mod unexplained;
mod waydroid;

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Serialize;

use crate::distribution::Distribution;
use crate::errno_word;
use crate::log_line::LogLine;
use crate::log_origin::LogOrigin;
use crate::log_reader::LONGEST;
use crate::log_source::{LogLevel, LogSource};
use crate::message::Message;
use crate::plain_text::{ascii, plain};
use crate::subject::Subject;
use crate::version::VERSION;

use builds::{Builds, Settled};
pub use explained::Explained;
pub use matcher::messages;
use told::LogFacts;

/// What is to be said of a log as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogVerdict {
    /// At least one line tells of trouble that is known.
    Trouble,
    /// Nothing that is known here is wrong, and no line tells of trouble with shared memory, binder
    /// or an Android container that is not known.
    Healthy,
    /// Lines that tell of such trouble, and none that is known.
    Unknown,
    /// There was no line.
    Empty,
}

/// A log, read.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The version of this structure: it grows when a field changes its meaning or goes, not when
    /// one comes.
    pub version: u32,
    /// What to say of it as a whole.
    pub verdict: LogVerdict,
    /// The distribution that the advice is for, and whether the log told it.
    pub distribution: String,
    /// Whether the log told its distribution; the host's is taken otherwise.
    pub distribution_is_told: bool,
    /// Troubles that were recognised, in the order of their first lines.
    pub explained: Vec<Explained>,
    /// What was recognised and is harmless.
    pub harmless: Vec<Explained>,
    /// Lines that tell of trouble with shared memory, binder or an Android container, and are not
    /// known here: the first of them.
    pub unknown: Vec<String>,
    /// Whether some of those are in another language than English.
    pub unknown_is_foreign: bool,
    /// How many lines were not recognised, those that speak of other things too.
    pub unrecognised: usize,
}

/// A log that is being read, line by line.
#[derive(Debug, Default)]
pub struct Log {
    found: Vec<Explained>,
    places: HashMap<&'static str, usize>,
    unknown: Vec<String>,
    unknown_is_foreign: bool,
    unrecognised: usize,
    lines: usize,
    origin: LogOrigin,
    /// The tag and level of logcat's long format, whose text follows.
    heading: Option<(String, LogLevel)>,
    /// Whether the last line with a form of its own was Waydroid's: what follows without one is
    /// the output of what it called.
    is_in_waydroid: bool,
    /// What texts were found to be: a start that fails over and over says the same each time.
    seen: HashMap<String, Option<&'static Message>>,
    builds: Builds,
    told: LogFacts,
}

/// More unknown lines are counted, not kept.
const KEPT: usize = 20;
/// More texts are not remembered.
const SEEN: usize = 2048;

/// What a line means, if it is known; by itself, without the lines around it.
pub fn line(line: &str) -> Option<&'static Message> {
    let line = cut(line);
    if !matcher::is_near(&plain(&LogLine::kept(line))) {
        return None;
    }
    let parsed = LogLine::parse(line);
    matcher::find(&parsed)
        .or_else(|| parsed.parse_error(line).and_then(|error| matcher::find(&error)))
}

impl Log {
    /// Reads one more line.
    pub fn add(&mut self, line: &str) {
        let line = cut(line.trim_end());
        let said = LogLine::kept(line);
        let text = &*plain(&said);
        if text.trim().is_empty() {
            self.heading = None;
            return;
        }
        self.lines += 1;
        // What follows is what that command says.
        self.is_in_waydroid &= !unexplained::is_command(text);
        if !matcher::is_near(text) {
            self.pass(text, line);
            return;
        }
        let mut parsed = LogLine::parse(line);
        let mut owner = None;
        // logcat knows nothing of the host.
        if parsed.source != LogSource::Logcat {
            let text = ascii(text);
            self.origin.add(&text);
            self.told.add(&text);
            let settled;
            (settled, owner) = self.builds.read(&text);
            self.settle(settled);
        }
        if parsed.source == LogSource::Plain
            && let Some((tag, level)) = &self.heading
        {
            let text = Cow::Owned(parsed.text.into_owned());
            parsed = LogLine::of(LogSource::Logcat, *level, Cow::Owned(tag.clone()), text);
        }
        self.follow(&parsed);
        let is_called = matches!(parsed.source, LogSource::Plain | LogSource::Kmod);
        let written_by = parsed.source;
        if self.is_in_waydroid && is_called {
            parsed.source = LogSource::Waydroid;
        }
        let mut found = self.find(&parsed);
        if found.is_none()
            && let Some(error) = parsed.parse_error(line)
        {
            found = self.find(&error);
            parsed = if found.is_some() { error } else { parsed };
        }
        match (found, owner) {
            (Some(message), Some(false)) if matcher::is_any_build(message) => {
                self.unrecognised += 1;
            }
            (Some(message), None) if matcher::is_any_build(message) => {
                self.builds.wait(self.explained(message, &parsed, line));
            }
            (Some(message), _) => self.keep(self.explained(message, &parsed, line)),
            (None, _) => {
                parsed.source = written_by;
                self.leave(&parsed, line);
            }
        }
    }

    /// All that was read, with advice for the distribution of the log, or of the host if it does
    /// not tell.
    pub fn explain(mut self, host: impl FnOnce() -> Distribution) -> Explanation {
        let left = std::mem::take(&mut self.builds).finish();
        self.settle(left);
        let told = self.told;
        self.found.retain(|found| !told.tells(found.message.taken_back_by));
        let causes: Vec<_> =
            self.found.iter().map(|found| (found.message, found.is_binders)).collect();
        self.found.retain(|found| {
            !causes.iter().any(|(cause, is)| found.message.follows_from(cause, *is))
        });
        self.found.sort_by_key(|found| found.place);
        let told = self.origin.distribution();
        let distribution_is_told = told.is_some();
        let distribution = told.unwrap_or_else(host);
        for found in &mut self.found {
            let steps = found.message.next.iter();
            found.next = steps.flat_map(|step| step.lines(&distribution, &self.origin)).collect();
        }
        let (harmless, explained): (Vec<_>, Vec<_>) =
            self.found.into_iter().partition(|found| found.message.is_harmless);
        let verdict = match (self.lines, explained.is_empty(), self.unknown.is_empty()) {
            (0, ..) => LogVerdict::Empty,
            (_, false, _) => LogVerdict::Trouble,
            (_, true, true) => LogVerdict::Healthy,
            (_, true, false) => LogVerdict::Unknown,
        };
        Explanation {
            version: VERSION,
            verdict,
            distribution: distribution.name().to_owned(),
            distribution_is_told,
            explained,
            harmless,
            unknown: self.unknown,
            unknown_is_foreign: self.unknown_is_foreign,
            unrecognised: self.unrecognised,
        }
    }

    fn find(&mut self, parsed: &LogLine<'_>) -> Option<&'static Message> {
        let key = format!("{:?}\0{}\0{}", parsed.source, parsed.speaker, parsed.text);
        if let Some(known) = self.seen.get(&key) {
            return *known;
        }
        let found = matcher::find(parsed);
        if self.seen.len() < SEEN {
            self.seen.insert(key, found);
        }
        found
    }

    /// A line that speaks of nothing here; it may still be a heading, or Waydroid's.
    fn pass(&mut self, text: &str, line: &str) {
        if text.starts_with("[ ") {
            self.follow(&LogLine::parse(text));
        } else if text.starts_with(['(', '[']) {
            let parsed = LogLine::parse(text);
            self.is_in_waydroid = parsed.source == LogSource::Waydroid;
            if self.is_in_waydroid {
                self.leave(&parsed, line);
                return;
            }
        }
        self.unrecognised += 1;
    }

    /// What a line says of those that follow it.
    fn follow(&mut self, parsed: &LogLine<'_>) {
        if parsed.source == LogSource::Logcat && parsed.text.is_empty() {
            self.heading = Some((parsed.speaker.clone().into_owned(), parsed.level));
        }
        match parsed.source {
            LogSource::Waydroid => self.is_in_waydroid = true,
            LogSource::Plain | LogSource::Kmod => {}
            _ => self.is_in_waydroid = false,
        }
    }

    fn explained(&self, message: &'static Message, parsed: &LogLine<'_>, line: &str) -> Explained {
        Explained {
            id: message.id,
            cause: message.cause,
            next: Vec::new(),
            source: parsed.source,
            errno: parsed.errno.and_then(errno_word::symbol),
            line: shown(line),
            count: 1,
            message,
            place: self.lines,
            is_binders: [Subject::Binder, Subject::BinderModule]
                .iter()
                .any(|subject| parsed.subjects.has(*subject)),
        }
    }

    fn keep(&mut self, found: Explained) {
        let known = self.places.get(found.id).and_then(|place| self.found.get_mut(*place));
        let is_binders = known.as_ref().is_some_and(|known| known.is_binders) || found.is_binders;
        match known {
            // What waited for its build's name may be the older line.
            Some(known) if found.place < known.place => {
                *known = Explained { count: known.count + found.count, is_binders, ..found };
            }
            Some(known) => {
                known.count += found.count;
                known.is_binders = is_binders;
            }
            None => {
                self.places.insert(found.id, self.found.len());
                self.found.push(found);
            }
        }
    }

    fn settle(&mut self, settled: Settled) {
        self.unrecognised += settled.others;
        settled.ours.into_iter().for_each(|found| self.keep(found));
    }

    fn leave(&mut self, parsed: &LogLine<'_>, line: &str) {
        self.unrecognised += 1;
        if self.unknown.len() < KEPT && unexplained::is_trouble(parsed) {
            self.unknown_is_foreign |= parsed.is_foreign;
            self.unknown.push(shown(line));
        }
    }
}

/// The beginning of a line, as much as is looked at.
fn cut(line: &str) -> &str {
    if line.len() <= LONGEST {
        return line;
    }
    let end = (0..=LONGEST).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
    line.get(..end).unwrap_or("")
}

/// A line as it may be printed: what a terminal would obey is taken out, and what turns the
/// direction of writing.
fn shown(text: &str) -> String {
    let is_obeyed = |sign: char| {
        (sign.is_control() && sign != '\t')
            || matches!(sign, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().take(300).map(|sign| if is_obeyed(sign) { '\u{fffd}' } else { sign }).collect()
}

#[cfg(test)]
mod tests {
    use super::{Log, LogVerdict};
    use crate::distribution::Distribution;

    fn read(lines: &[&str]) -> super::Explanation {
        let mut log = Log::default();
        for line in lines {
            log.add(line);
        }
        log.explain(|| Distribution::Debian)
    }

    #[test]
    fn unknown_lines_are_counted_and_those_of_our_subject_kept() {
        let log = read(&[
            "usb 1-1: new device",
            "",
            "ashmem: frobnication error \u{1b}[2J",
            "Module ashmem_linux not found",
        ]);
        assert_eq!((log.unrecognised, log.explained.len()), (2, 1));
        assert_eq!(log.unknown, ["ashmem: frobnication error \u{fffd}[2J"]);
        assert_eq!(log.verdict, LogVerdict::Trouble);
    }

    #[test]
    fn a_verdict_says_whether_nothing_is_wrong_or_nothing_known() {
        assert_eq!(read(&[]).verdict, LogVerdict::Empty);
        assert_eq!(read(&["usb 1-1: new device"]).verdict, LogVerdict::Healthy);
        assert_eq!(
            read(&["ashmem_linux: loading out-of-tree module taints kernel."]).verdict,
            LogVerdict::Healthy
        );
        assert_eq!(read(&["ashmem: frobnication error"]).verdict, LogVerdict::Unknown);
    }

    #[test]
    fn logcats_long_format_is_two_lines() {
        let log = read(&[
            "[ 11-27 10:11:12.345   171:  188 E/ashmem   ]",
            "Unable to open ashmem device: Permission denied",
            "",
            "[ 11-27 10:11:12.345   171:  188 E/Other    ]",
            "Unable to open: Permission denied",
        ]);
        assert_eq!(log.explained.len(), 1, "{log:?}");
        assert_eq!(log.explained[0].id, "device-not-permitted");
    }

    #[test]
    fn advice_is_for_the_distribution_of_the_log() {
        let line = "modprobe: FATAL: Module binder_linux not found in directory \
                    /lib/modules/6.11.4-301.fc41.x86_64";
        let log = read(&[line]);
        assert_eq!((&*log.distribution, log.distribution_is_told), ("Fedora", true));
        assert!(!log.explained[0].next.iter().any(|step| step.contains("apt ")), "{log:?}");
        let log = read(&["modprobe: FATAL: Module binder_linux not found."]);
        assert_eq!((&*log.distribution, log.distribution_is_told), ("Debian", false));
    }

    #[test]
    fn anothers_build_that_fails_is_not_ours() {
        let failed = "Error! Bad return status for module build on kernel: 6.8.0 (x86_64)";
        assert_eq!(read(&[failed]).verdict, LogVerdict::Trouble);
        let consult = "Consult /var/lib/dkms/nvidia/550.120/build/make.log for more information.";
        assert_eq!(read(&[failed, consult]).verdict, LogVerdict::Healthy);
        let ours = "Consult /var/lib/dkms/ashmem/1.0/build/make.log for more information.";
        assert_eq!(read(&[failed, ours, consult]).verdict, LogVerdict::Trouble);
    }
}
