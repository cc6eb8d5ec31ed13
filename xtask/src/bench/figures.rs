// SPDX-License-Identifier: MIT OR Apache-2.0
//! One figure by the clock, its row in a table, and the programs that are timed.

use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// Figures by name, in nanoseconds for one operation.
pub(super) type Figures = BTreeMap<String, f64>;

/// One line of the table.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) level: &'static str,
    pub(super) unit: Unit,
    pub(super) figure: f64,
    pub(super) against: &'static str,
    /// None: the figure itself is what is to be reached.
    pub(super) ratio: Option<f64>,
    /// None: a row to compare others with.
    pub(super) at_most: Option<f64>,
    pub(super) met: Option<bool>,
}

/// What a figure is of.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Unit {
    Nanoseconds,
    Milliseconds,
    Mebibytes,
    Count,
}

impl Unit {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Milliseconds => "ms",
            Self::Mebibytes => "MiB",
            Self::Count => "",
        }
    }
}

impl Row {
    /// A figure by its ratio to another.
    pub(super) fn new(
        what: &'static str,
        level: &'static str,
        unit: Unit,
        figure: f64,
        against: &'static str,
        of: f64,
        at_most: impl Into<Option<f64>>,
    ) -> Self {
        let (ratio, at_most) = (figure / of, at_most.into());
        let met = at_most.map(|at_most| is_met(ratio, at_most));
        Self { what, level, unit, figure, against, ratio: Some(ratio), at_most, met }
    }

    /// A figure by itself.
    pub(super) fn absolute(
        what: &'static str,
        level: &'static str,
        unit: Unit,
        figure: f64,
        at_most: f64,
    ) -> Self {
        let met = Some(is_met(figure, at_most));
        Self { what, level, unit, figure, against: "", ratio: None, at_most: Some(at_most), met }
    }
}

/// Judged as shown: by hundredths.
fn is_met(figure: f64, at_most: f64) -> bool {
    (figure * 100.0).round() <= (at_most * 100.0).round()
}

/// `ashmem` and the program that is timed.
pub(super) struct Programs {
    ashmem: PathBuf,
    examples: PathBuf,
}

impl Programs {
    pub(super) fn build() -> Result<Self> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--release", "--package", "ashmem-cli", "--bin", "ashmem"]);
        cargo
            .args(["--package", "ashmem-agent", "--example", "run-bench", "--example", "run-load"])
            .current_dir(workspace::root());
        let (text, status) = process::capture_both(&mut cargo)?;
        if !status.success() {
            bail!("{} ended with {}:\n{text}", process::line(&cargo), process::describe(status));
        }
        let target = workspace::built();
        Ok(Self {
            ashmem: target.join("release/ashmem"),
            examples: target.join("release/examples"),
        })
    }

    /// The words before a program that is to run under `ashmem run`.
    pub(super) fn under(&self, level: &str, inside: &str) -> Vec<String> {
        let ashmem = self.ashmem.to_string_lossy();
        let words = [&*ashmem, "run", "--fidelity", level, "--inside", inside, "--"];
        words.map(str::to_owned).to_vec()
    }

    /// The words before a program that is to run under the filter alone.
    pub(super) fn filtered(&self) -> Vec<String> {
        let load = self.examples.join("run-load");
        vec![load.to_string_lossy().into_owned(), "filtered".to_owned()]
    }

    /// What `run-load` prints under `ashmem run`.
    pub(super) fn load<T: DeserializeOwned>(
        &self,
        inside: &str,
        arguments: &[String],
    ) -> Result<T> {
        self.printed(&self.under("full", inside), "run-load", arguments)
    }

    /// What `run-bench` prints under `before`.
    pub(super) fn figures(&self, before: &[String], what: &str) -> Result<Figures> {
        self.printed(before, "run-bench", &[what.to_owned()])
    }

    fn printed<T: DeserializeOwned>(
        &self,
        before: &[String],
        name: &str,
        arguments: &[String],
    ) -> Result<T> {
        let program = self.examples.join(name);
        let mut command = match before.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        let text = process::capture(command.args(arguments))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} printed no figures", process::line(&command)))
    }
}
