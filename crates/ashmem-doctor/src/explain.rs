// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a line of a log to its cause and the next step: logcat, dmesg, a build log, Waydroid's log,
//! a runtime's error.
//!
//! A [`Message`] is a pattern with what it means. The tables stand in the order in which they are
//! asked, the particular before the general; the first that fits explains the line.

mod android;
mod build;
mod container;
mod driver;
mod load;

use std::sync::LazyLock;

use regex::{RegexSet, RegexSetBuilder};
use serde::Serialize;

use crate::message::Message;
use crate::version::VERSION;

/// A message that was recognised, and where.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// What it means.
    #[serde(flatten)]
    pub message: &'static Message,
    /// The first line that showed it, as it was.
    pub line: String,
    /// How many lines showed it.
    pub count: usize,
}

/// A log, read.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The version of this structure: it grows when a field changes its meaning or goes, not when
    /// one comes.
    pub version: u32,
    /// What was recognised, in the order of its first lines.
    pub explained: Vec<Explained>,
    /// Lines that speak of shared memory and are not known here: the first of them.
    pub unknown: Vec<String>,
    /// How many lines were not recognised, those that speak of other things too.
    pub unrecognised: usize,
}

/// More unknown lines are counted, not kept.
const KEPT: usize = 20;
/// Of a line no more is looked at, in characters: what is longer is no log.
const LONGEST: usize = 4096;

static TABLES: [&[Message]; 5] =
    [container::MESSAGES, build::MESSAGES, load::MESSAGES, driver::MESSAGES, android::MESSAGES];

static PATTERNS: LazyLock<RegexSet> = LazyLock::new(|| {
    let patterns = messages().map(|message| message.pattern);
    RegexSetBuilder::new(patterns)
        .case_insensitive(true)
        .build()
        .expect("the tables' patterns are tested")
});

/// Every message that is known.
pub fn messages() -> impl Iterator<Item = &'static Message> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// What a line means, if it is known.
pub fn line(line: &str) -> Option<&'static Message> {
    let line: String = line.chars().take(LONGEST).collect();
    let first = PATTERNS.matches(&line).iter().next()?;
    messages().nth(first)
}

impl Default for Explanation {
    /// A log of which nothing was read yet.
    fn default() -> Self {
        Self { version: VERSION, explained: Vec::new(), unknown: Vec::new(), unrecognised: 0 }
    }
}

impl Explanation {
    /// Reads one more line.
    pub fn add(&mut self, text: &str) {
        let text = text.trim_end();
        if text.is_empty() {
            return;
        }
        if let Some(message) = line(text) {
            match self.explained.iter_mut().find(|known| known.message.id == message.id) {
                Some(known) => known.count += 1,
                None => self.explained.push(Explained { message, line: shown(text), count: 1 }),
            }
            return;
        }
        self.unrecognised += 1;
        let lower = text.to_lowercase();
        let is_near = ["ashmem", "memfd", "shared memory"].iter().any(|word| lower.contains(word));
        if is_near && self.unknown.len() < KEPT {
            self.unknown.push(shown(text));
        }
    }
}

/// A line as it may be printed: what a terminal would obey is taken out.
fn shown(text: &str) -> String {
    text.chars()
        .take(300)
        .map(|sign| if sign.is_control() && sign != '\t' { '\u{fffd}' } else { sign })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Explanation, messages};

    #[test]
    fn every_message_has_a_name_of_its_own_and_a_pattern_that_compiles() {
        let mut ids: Vec<_> = messages().map(|message| message.id).collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
        assert_eq!(super::PATTERNS.len(), count);
    }

    #[test]
    fn unknown_lines_are_counted_and_those_of_our_subject_kept() {
        let mut log = Explanation::default();
        for line in [
            "usb 1-1: new device",
            "",
            "ashmem: frobnicated \u{1b}[2J",
            "Module ashmem_linux not found",
        ] {
            log.add(line);
        }
        assert_eq!((log.unrecognised, log.explained.len()), (2, 1));
        assert_eq!(log.unknown, ["ashmem: frobnicated \u{fffd}[2J"]);
    }
}
