// SPDX-License-Identifier: MIT OR Apache-2.0
//! All findings, and which ways work.

use serde::Serialize;

use crate::Host;
use crate::checks;
use crate::finding::{Finding, FindingStatus};
use crate::version::VERSION;
use crate::way::{AskedMode, Way};

/// What `ashmem doctor` has to say.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// The version of this structure: it grows when a field changes its meaning or goes, not when
    /// one comes.
    pub version: u32,
    /// The same number, by its older name.
    pub format: u32,
    /// The root that was looked at.
    pub root: String,
    /// What was asked for: a way, or `auto` for any.
    pub mode: &'static str,
    /// Whether that works.
    pub works: bool,
    /// Each way.
    pub ways: Vec<Verdict>,
    /// Each check.
    pub checks: Vec<DiagnosisRow>,
    #[serde(skip)]
    asked: AskedMode,
}

/// Whether a way works.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Which.
    pub way: Way,
    /// Whether it does.
    pub works: bool,
    /// The finding that keeps it from it; empty if it works.
    pub because: String,
}

/// A check and its finding.
#[derive(Clone, Debug, Serialize)]
pub struct DiagnosisRow {
    /// The check's name.
    pub check: &'static str,
    /// What it looked at.
    pub looks_at: &'static str,
    /// The ways that need it.
    pub ways: &'static [Way],
    /// How serious that is for what was asked: as the screen shows it.
    pub status: FindingStatus,
    /// What it found. Its own status is the one without regard to what was asked.
    #[serde(flatten)]
    pub finding: Finding,
}

impl Diagnosis {
    /// Looks at everything.
    pub fn make(host: &Host, mode: AskedMode) -> Self {
        let rows = checks::ALL.iter().map(|check| {
            let finding = check.examine(host);
            DiagnosisRow {
                check: check.name(),
                looks_at: check.looks_at(),
                ways: check.ways(),
                status: finding.status,
                finding,
            }
        });
        Self::of(host, mode, rows.collect())
    }

    fn of(host: &Host, mode: AskedMode, checks: Vec<DiagnosisRow>) -> Self {
        let ways: Vec<_> = Way::ALL.iter().map(|way| verdict(*way, &checks)).collect();
        let mut diagnosis = Self {
            version: VERSION,
            format: VERSION,
            root: host.root().to_string_lossy().into_owned(),
            mode: match mode {
                AskedMode::Only(way) => way.name(),
                AskedMode::Auto => "auto",
            },
            works: ways.iter().any(|verdict| verdict.works && mode.ways().contains(&verdict.way)),
            ways,
            checks,
            asked: mode,
        };
        let statuses: Vec<_> = diagnosis.checks.iter().map(|row| diagnosis.status(row)).collect();
        for (row, status) in diagnosis.checks.iter_mut().zip(statuses) {
            row.status = status;
        }
        diagnosis
    }

    /// The ways that the advice is about: those that work of the ones asked for; if none does, all
    /// asked for.
    pub fn concerned(&self) -> Vec<Way> {
        let asked = |verdict: &&Verdict| self.asked.ways().contains(&verdict.way);
        let working: Vec<_> = self
            .ways
            .iter()
            .filter(asked)
            .filter(|verdict| verdict.works)
            .map(|verdict| verdict.way)
            .collect();
        if working.is_empty() { self.asked.ways().to_vec() } else { working }
    }

    /// A finding's status as seen from the ways that are concerned: a fault that stands against
    /// none of them is no fault.
    pub fn status(&self, row: &DiagnosisRow) -> FindingStatus {
        let concerns =
            row.ways.is_empty() || self.concerned().iter().any(|way| row.ways.contains(way));
        match row.finding.status {
            FindingStatus::Fault | FindingStatus::Warning if !concerns => FindingStatus::Absent,
            status => status,
        }
    }
}

fn verdict(way: Way, rows: &[DiagnosisRow]) -> Verdict {
    let fault = rows
        .iter()
        .find(|row| row.finding.status == FindingStatus::Fault && row.ways.contains(&way));
    let because =
        fault.map(|row| format!("{}: {}", row.check, row.finding.summary)).unwrap_or_default();
    Verdict { way, works: fault.is_none(), because }
}
