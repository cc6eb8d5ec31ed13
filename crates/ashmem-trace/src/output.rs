// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a trace goes: whole records only, whatever becomes of the disk.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Bytes gathered before they are written.
const ROOM: usize = 64 << 10;

/// A file, or standard output.
pub struct Output {
    to: To,
    /// Records that are not written yet, and where each ends.
    gathered: Vec<u8>,
    ends: Vec<usize>,
    /// Bytes written, of whole records.
    written: u64,
    failed: bool,
}

enum To {
    Stdout,
    Stderr,
    File(PathBuf, File),
}

/// Nothing more can be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// To a file. What it holds is whole records.
    #[error("writing to {}: {error}; it holds the first {bytes} bytes of the trace, whole and \
             readable", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What came back.
        error: io::Error,
        /// What it holds.
        bytes: u64,
    },
    /// To standard output or standard error, whose reader may have gone, as head(1) does.
    #[error("writing the trace: {0}")]
    Stream(io::Error),
}

impl Output {
    /// Standard output.
    pub fn stdout() -> Self {
        Self::to(To::Stdout)
    }

    /// Standard error.
    pub fn stderr() -> Self {
        Self::to(To::Stderr)
    }

    /// A new file.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn file(path: &Path) -> io::Result<Self> {
        Ok(Self::to(To::File(path.to_owned(), File::create(path)?)))
    }

    fn to(to: To) -> Self {
        Self { to, gathered: Vec::new(), ends: Vec::new(), written: 0, failed: false }
    }

    /// One record, which `write` appends.
    ///
    /// # Errors
    /// See [`Error`]; afterwards nothing is written any more.
    pub fn record(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        if self.failed {
            return Ok(());
        }
        write(&mut self.gathered);
        self.ends.push(self.gathered.len());
        if self.gathered.len() >= ROOM { self.flush() } else { Ok(()) }
    }

    /// Writes what is gathered.
    ///
    /// # Errors
    /// As for [`Output::record`].
    pub fn flush(&mut self) -> Result<(), Error> {
        let mut done = 0;
        let outcome = loop {
            let rest = &self.gathered[done..];
            if rest.is_empty() {
                break Ok(());
            }
            let wrote = match &mut self.to {
                To::Stdout => {
                    io::stdout().write(rest).and_then(|len| io::stdout().flush().map(|()| len))
                }
                To::Stderr => io::stderr().write(rest),
                To::File(_, file) => file.write(rest),
            };
            match wrote {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => done += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        let whole = self
            .ends
            .partition_point(|end| *end <= done)
            .checked_sub(1)
            .map_or(0, |last| self.ends[last]);
        self.written += whole as u64;
        self.gathered.clear();
        self.ends.clear();
        outcome.map_err(|error| {
            self.failed = true;
            match &self.to {
                To::Stdout | To::Stderr => Error::Stream(error),
                To::File(path, file) => {
                    // A record that was begun is taken back; where that fails too, a reader leaves
                    // out the last line.
                    let _ = file.set_len(self.written);
                    Error::File { path: path.clone(), error, bytes: self.written }
                }
            }
        })
    }
}
