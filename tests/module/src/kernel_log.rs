// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's log since a mark.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result};

/// A place in the log.
pub(crate) struct Mark(std::fs::File);

impl Mark {
    /// The end of the log as it is now.
    pub(crate) fn now() -> Result<Self> {
        let mut log = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")
            .context("opening /dev/kmsg")?;
        read_all(&mut log)?;
        Ok(Self(log))
    }

    /// The messages that came since.
    pub(crate) fn since(mut self) -> Result<Vec<String>> {
        read_all(&mut self.0)
    }
}

/// Each read is one record, `FLAGS;MESSAGE`, with more lines after it that belong to it.
fn read_all(log: &mut std::fs::File) -> Result<Vec<String>> {
    let mut messages = Vec::new();
    let mut record = [0; 8192];
    loop {
        match log.read(&mut record) {
            Ok(length) => {
                let text =
                    String::from_utf8_lossy(record.get(..length).unwrap_or_default()).into_owned();
                let message = text.split_once(';').map_or(text.as_str(), |(_, message)| message);
                messages.push(message.lines().next().unwrap_or_default().to_owned());
            }
            Err(end) if end.kind() == ErrorKind::WouldBlock => return Ok(messages),
            // Records were overwritten before we came.
            Err(lost) if lost.raw_os_error() == Some(libc::EPIPE) => {}
            Err(error) => return Err(error).context("reading /dev/kmsg"),
        }
    }
}
