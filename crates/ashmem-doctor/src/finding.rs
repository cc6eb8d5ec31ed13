// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a check comes back with.

use serde::Serialize;

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingStatus {
    /// As it should be.
    Ok,
    /// Not there, and nobody needs it.
    Absent,
    /// Something will not work, or will stop working, though the device does.
    Warning,
    /// Each way that needs this does not work.
    Fault,
}

/// What was found, why that matters and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How serious it is by itself.
    #[serde(rename = "found")]
    pub status: FindingStatus,
    /// What was found: half a line.
    pub summary: String,
    /// What follows from it; empty where nothing does.
    pub why: String,
    /// Commands to run one after another, as they are typed. A line that begins with `#` is for the
    /// reader.
    pub next: Vec<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(summary: impl Into<String>) -> Self {
        Self::new(FindingStatus::Ok, summary)
    }

    /// Not there, and nobody needs it.
    pub fn absent(summary: impl Into<String>) -> Self {
        Self::new(FindingStatus::Absent, summary)
    }

    /// Worth to be known, or to be mended before it hurts.
    pub fn warning(summary: impl Into<String>) -> Self {
        Self::new(FindingStatus::Warning, summary)
    }

    /// A way does not work for this.
    pub fn fault(summary: impl Into<String>) -> Self {
        Self::new(FindingStatus::Fault, summary)
    }

    /// With its consequence.
    #[must_use]
    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.why = why.into();
        self
    }

    /// With one more command.
    #[must_use]
    pub fn next(mut self, command: impl Into<String>) -> Self {
        self.next.push(command.into());
        self
    }

    fn new(status: FindingStatus, summary: impl Into<String>) -> Self {
        Self { status, summary: summary.into(), why: String::new(), next: Vec::new() }
    }
}
