// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lines the host reads: on the kernel's console, so that what was about to be tried stands
//! right above what the kernel said of it, and is there when the machine is not any more.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::Write;

use anyhow::{Context, Result};

/// What every line of the journal begins with.
pub(crate) const MARK: &str = "ashmem-fuzz:";

/// The console's port.
const PORT: &str = "/dev/ttyS0";

/// The open port.
pub(crate) struct Journal(File);

impl Journal {
    /// Opens the port.
    pub(crate) fn open() -> Result<Self> {
        let port =
            OpenOptions::new().write(true).open(PORT).with_context(|| format!("opening {PORT}"))?;
        Ok(Self(port))
    }

    /// One line: a word and what it is about.
    pub(crate) fn line(&mut self, word: &str, what: impl Display) {
        // One write, which the kernel's own lines hardly ever cut. A console that fails leaves
        // nobody to tell.
        let _ = self.0.write_all(format!("{MARK} {word} {what}\n").as_bytes());
    }
}
