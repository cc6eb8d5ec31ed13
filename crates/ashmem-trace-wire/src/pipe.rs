// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two ends of the pipe between a supervisor and a tracer.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::{Errno, Result};
use rustix::pipe::fcntl_setpipe_size;

use crate::record::Record;

/// The capacity that the pipe is given, in bytes.
const ROOM: usize = 1 << 19;
/// Its capacity at the end, so that the last record fits: the most that an ordinary user may set.
const LAST_ROOM: usize = 1 << 20;

/// Why a record was not written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The pipe is full.
    #[error("the pipe is full")]
    Full,
    /// Nobody has the other end.
    #[error("nobody reads the pipe")]
    NoReader,
    /// The record is longer than a pipe takes at once.
    #[error("the record is too long")]
    TooLong,
    /// The kernel refuses.
    #[error(transparent)]
    System(Errno),
}

/// Why records cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Something else than a supervisor writes there, or one of another version.
    #[error("what is written there are no records of this version")]
    NotARecord,
    /// The kernel refuses.
    #[error(transparent)]
    System(#[from] Errno),
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotARecord => Self::new(io::ErrorKind::InvalidData, error),
            ReadError::System(errno) => errno.into(),
        }
    }
}

/// The writing end, which several supervisors may have.
#[derive(Clone)]
pub struct RecordWriter(Arc<Inner>);

struct Inner {
    fd: OwnedFd,
    /// Records that did not fit since the last one that did.
    lost: AtomicU64,
}

impl RecordWriter {
    /// Takes a pipe, and makes it non-blocking.
    ///
    /// # Errors
    /// Those of fcntl(2).
    pub fn new(pipe: OwnedFd) -> Result<Self> {
        fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        // The pipe stays smaller if the user has no more to give.
        let _ = fcntl_setpipe_size(&pipe, ROOM);
        Ok(Self(Arc::new(Inner { fd: pipe, lost: AtomicU64::new(0) })))
    }

    /// Takes a pipe that this process inherited, and keeps it from its own children.
    ///
    /// # Errors
    /// EBADF: there is no such descriptor. ENOTTY: it is no pipe.
    pub fn inherited(number: std::os::fd::RawFd) -> Result<Self> {
        // SAFETY: looks at the number only.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        if number <= 2
            || !rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode).is_fifo()
        {
            return Err(Errno::NOTTY);
        }
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
        // SAFETY: it is open, and was given to this process for nothing but this.
        Self::new(unsafe { OwnedFd::from_raw_fd(number) })
    }

    /// The pipe.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.0.fd.as_fd()
    }

    /// poll(2): whether a process has the other end.
    pub fn has_reader(&self) -> bool {
        let mut polled = [PollFd::from_borrowed_fd(self.as_fd(), PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut polled, Some(&now)).is_err() || !polled[0].revents().contains(PollFlags::ERR)
    }

    /// write(2): writes a whole record or nothing, and never waits.
    ///
    /// # Errors
    /// See [`WriteError`]; the record counts as lost then.
    pub fn write(&self, record: &mut Record) -> std::result::Result<(), WriteError> {
        record.lost = self.0.lost.swap(0, Ordering::Relaxed);
        let written = self.put(record);
        if written.is_err() {
            self.0.lost.fetch_add(record.lost + 1, Ordering::Relaxed);
        }
        written
    }

    /// Whether lost records are not reported yet.
    pub fn owes(&self) -> bool {
        self.0.lost.load(Ordering::Relaxed) > 0
    }

    /// Reports the lost records in this record, which holds nothing else, if it fits by now.
    pub fn tell_losses(&self, record: &mut Record) {
        record.lost = self.0.lost.swap(0, Ordering::Relaxed);
        if record.lost > 0 && self.put(record).is_err() {
            self.0.lost.fetch_add(record.lost, Ordering::Relaxed);
        }
    }

    /// Reports the lost records for the last time, in room that is made for it.
    pub fn close(&self, record: &mut Record) {
        if self.owes() {
            let _ = fcntl_setpipe_size(&self.0.fd, LAST_ROOM);
            self.tell_losses(record);
        }
    }

    fn put(&self, record: &Record) -> std::result::Result<(), WriteError> {
        let mut bytes = postcard::to_extend(record, vec![0, 0]).map_err(|_| WriteError::TooLong)?;
        let len = u16::try_from(bytes.len() - 2).map_err(|_| WriteError::TooLong)?;
        bytes[..2].copy_from_slice(&len.to_ne_bytes());
        if bytes.len() > libc::PIPE_BUF {
            return Err(WriteError::TooLong);
        }
        match rustix::io::write(&self.0.fd, &bytes) {
            Err(Errno::AGAIN) => Err(WriteError::Full),
            Err(Errno::PIPE) => Err(WriteError::NoReader),
            other => other.map(drop).map_err(WriteError::System),
        }
    }
}

/// The reading end.
pub struct RecordReader {
    pipe: OwnedFd,
    bytes: Vec<u8>,
}

impl RecordReader {
    /// Takes a pipe, and makes it non-blocking.
    ///
    /// # Errors
    /// Those of fcntl(2).
    pub fn new(pipe: OwnedFd) -> Result<Self> {
        fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        Ok(Self { pipe, bytes: Vec::new() })
    }

    /// The pipe, to wait for.
    pub fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.pipe.as_fd()
    }

    /// read(2): the records that are there; `None` once no writer is left.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(&mut self) -> std::result::Result<Option<Vec<Record>>, ReadError> {
        let mut buffer = vec![0; 1 << 16];
        match rustix::io::read(&self.pipe, &mut buffer) {
            Ok(0) => return Ok(None),
            Ok(len) => self.bytes.extend_from_slice(&buffer[..len]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut records = Vec::new();
        let mut rest = self.bytes.as_slice();
        while let Some((len, after)) = rest.split_first_chunk() {
            let Some((record, after)) = after.split_at_checked(u16::from_ne_bytes(*len).into())
            else {
                break;
            };
            records.push(postcard::from_bytes(record).map_err(|_| ReadError::NotARecord)?);
            rest = after;
        }
        self.bytes = rest.to_vec();
        Ok(Some(records))
    }
}
