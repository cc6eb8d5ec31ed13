// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem trace` run over the small program.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use ashmem_trace::event::Event;
use ashmem_trace::json::{JsonLine, Lost, TraceEnd};

use crate::account::Account;

/// The tracer under trial.
pub(crate) struct Tracer {
    /// Which source.
    pub(crate) source: String,
    /// The program.
    pub(crate) ashmem: String,
    /// Where files go.
    pub(crate) folder: PathBuf,
}

/// What a trace told, and what the program says.
pub(crate) struct Told {
    pub(crate) events: Vec<Event>,
    pub(crate) lost: Vec<Lost>,
    pub(crate) end: Option<TraceEnd>,
    pub(crate) account: Account,
}

impl Tracer {
    pub(crate) fn new(source: &str, ashmem: &str) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("ashmem-trace-test-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(Self { source: source.to_owned(), ashmem: ashmem.to_owned(), folder })
    }

    /// The same with another copy of the program, which writes no file.
    pub(crate) fn of(source: &str, ashmem: &str) -> Self {
        Self { source: source.to_owned(), ashmem: ashmem.to_owned(), folder: PathBuf::new() }
    }

    /// What the small program does for this source by default.
    pub(crate) fn usual_work(&self) -> &'static str {
        if self.source == "syscalls" { "memfd" } else { "device" }
    }

    /// A file of this name.
    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    /// `ashmem trace` with these options over this work.
    pub(crate) fn command(&self, options: &[&str], work: &str) -> Result<Command> {
        let mut command = Command::new(&self.ashmem);
        command.args(["trace", "--source", &self.source]).args(options).arg("--");
        command.args([&crate::program::own_path()?, "work", work, &self.file("account")]);
        Ok(command)
    }

    /// Runs it to its end, which must be good.
    pub(crate) fn run(&self, options: &[&str], work: &str) -> Result<Output> {
        self.finish(self.command(options, work)?)
    }

    /// Runs a command to its end, which must be good.
    pub(crate) fn finish(&self, mut command: Command) -> Result<Output> {
        let output = command.output().context("starting ashmem")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "it ended with {}: {}", output.status, errors.trim_end());
        Ok(output)
    }

    /// As JSON, read back.
    pub(crate) fn json(&self, options: &[&str], work: &str) -> Result<Told> {
        let file = self.file("trace.json");
        let options = [options, &["--json", "-o", &file]].concat();
        self.run(&options, work)?;
        let mut told = read(&file)?;
        let account = fs::read(self.file("account")).context("reading the account")?;
        told.account = serde_json::from_slice(&account).context("reading the account")?;
        Ok(told)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if !self.folder.as_os_str().is_empty() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Reads a trace in JSON.
pub(crate) fn read(file: &str) -> Result<Told> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {file}"))?;
    let mut told =
        Told { events: Vec::new(), lost: Vec::new(), end: None, account: Account::default() };
    for line in text.lines() {
        match serde_json::from_str(line).with_context(|| format!("reading the line {line}"))? {
            JsonLine::Start(_) | JsonLine::Growth(_) => {}
            JsonLine::Event(stamped) => told.events.push(stamped.event),
            JsonLine::Lost(lost) => told.lost.push(lost),
            JsonLine::End(end) => told.end = Some(end),
        }
    }
    Ok(told)
}
