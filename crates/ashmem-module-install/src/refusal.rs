// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why something was not done, and what to type.

use std::io;
use std::path::{Path, PathBuf};

/// What stands in the way, found before anything was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallRefusal {
    /// What it is, in one sentence.
    pub what: String,
    /// The commands that take it out of the way, in order; a line that begins with `#` is for the
    /// reader.
    pub next: Vec<String>,
}

impl InstallRefusal {
    /// A refusal without a next step yet.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), next: Vec::new() }
    }

    /// With one more step.
    #[must_use]
    pub fn next(mut self, step: impl Into<String>) -> Self {
        self.next.push(step.into());
        self
    }
}

/// Why nothing was done, or what was begun was undone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something stands in the way.
    #[error("{}{}", .0.what, steps(&.0.next))]
    Refused(InstallRefusal),
    /// Somebody else installs or removes.
    #[error("another `ashmem module install` or `remove` is at work here: wait for its end")]
    Busy,
    /// A signal came.
    #[error("interrupted")]
    Interrupted,
    /// A file.
    #[error("{what} {path}: {error}{hint}", path = .path.display(), hint = hint(.error))]
    File {
        /// What was tried: `writing`, `removing`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A program did not do what it should.
    #[error("`{line}` ended with {status}{tail}", tail = tail(.text))]
    Program {
        /// The command.
        line: String,
        /// How it ended.
        status: String,
        /// What it printed.
        text: String,
    },
    /// The module could not be built.
    #[error("building for {kernel} failed: {cause}{tail}", tail = tail(.text))]
    Build {
        /// The kernel.
        kernel: String,
        /// The likely cause, and what to do about it.
        cause: String,
        /// What the build printed.
        text: String,
    },
    /// What was noted of an earlier installation cannot be read.
    #[error(
        "{path} cannot be read as this program writes it ({reason}): a newer version's, or \
         damaged. Nothing was changed; use the version of ashmem that wrote it"
    )]
    Notes {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// An error about a file.
    pub fn file(what: &'static str, path: &Path, error: io::Error) -> Self {
        Self::File { what, path: path.to_owned(), error }
    }
}

impl From<InstallRefusal> for Error {
    fn from(refusal: InstallRefusal) -> Self {
        Self::Refused(refusal)
    }
}

fn steps(next: &[String]) -> String {
    next.iter().map(|step| format!("\n    > {step}")).collect()
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull => " (a build wants 20 MB: see `df`)",
        io::ErrorKind::ReadOnlyFilesystem => {
            " (make it writable first, or use `ashmem run` and `ashmem agent`, which need no \
             module)"
        }
        io::ErrorKind::PermissionDenied => " (this needs root: run it with sudo)",
        _ => "",
    }
}

/// The end of what a program printed: the errors are there.
fn tail(text: &str) -> String {
    const LINES: usize = 15;
    let lines: Vec<_> = text.trim_end().lines().collect();
    let from = lines.len().saturating_sub(LINES);
    lines.iter().skip(from).map(|line| format!("\n    | {}", printable(line))).collect()
}

/// What a program prints says nothing to the terminal.
fn printable(line: &str) -> String {
    line.chars().map(|sign| if sign.is_control() && sign != '\t' { '?' } else { sign }).collect()
}
