// SPDX-License-Identifier: MIT OR Apache-2.0
//! A message that people find in their logs, and what it means.

use crate::advice::NextStep;
use crate::subject::Subject;

/// Something that people find in their logs: what a line must be about, and what it must say.
#[derive(Debug)]
pub struct Message {
    /// A name to search for.
    pub id: &'static str,
    /// The line must speak of one of these. None: what it says names its subject by itself.
    pub about: &'static [Subject],
    /// What the line's text must match; upper and lower case are the same. Empty: anything.
    pub says: &'static str,
    /// What takes the match back. Empty: nothing.
    pub unless: &'static str,
    /// The error that the line must name, one of these. None: any, or no error.
    pub errno: &'static [i32],
    /// Where the line must come from, one of these. None: anywhere.
    pub from: &'static [crate::log_line::LogSource],
    /// Beginnings of the names of troubles that this one only follows from: where the log tells one
    /// of them, this is left out. `""` is every trouble that is no such last word itself.
    pub follows: &'static [&'static str],
    /// Whether anything is wrong at all.
    pub is_harmless: bool,
    /// What it means.
    pub cause: &'static str,
    /// What to do next. None: there is nothing to do.
    pub next: &'static [NextStep],
}

impl Message {
    /// One that says nothing yet: each message states what differs from it.
    pub const PLAIN: Self = Self {
        id: "",
        about: &[],
        says: "",
        unless: "",
        errno: &[],
        from: &[],
        follows: &[],
        is_harmless: false,
        cause: "",
        next: &[],
    };

    /// Whether this is what follows from another trouble, and says nothing beside it.
    pub fn follows_from(&self, cause: &Self) -> bool {
        !cause.is_harmless
            && cause.id != self.id
            && !cause.follows.contains(&"")
            && self.follows.iter().any(|id| cause.id.starts_with(id))
    }
}
