// SPDX-License-Identifier: MIT OR Apache-2.0
//! All processors' buffers as one stream in the order of time.
//!
//! A round empties every buffer, up to a limit, and hands out what is older than the round: what is
//! younger might still be followed by something older on another processor. What is kept back is
//! bounded by what one round may read.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};

use super::Error;
use super::instance::Instance;
use super::page::{Missed, Page};
use crate::clock::monotonic;

/// Pages of one processor that a round reads at most.
const ROUND: usize = 256;
/// An event may be begun, and so have its time, this long before it can be read, in nanoseconds.
const SLACK: u64 = 2_000_000;

/// A stream of records.
pub struct Reader {
    processors: Vec<Processor>,
    page: Vec<u8>,
    /// The bytes of what is kept back.
    bytes: Vec<u8>,
    waiting: Vec<Waiting>,
}

/// A processor's buffer of one instance.
struct Processor {
    number: u32,
    buffer: File,
}

struct Waiting {
    time: u64,
    what: What,
}

enum What {
    Record(Range<usize>),
    Lost(Missed),
}

/// What a stream holds.
pub enum Item<'a> {
    /// An event's record and its time.
    Record(u64, &'a [u8]),
    /// Events were lost before this time.
    Lost(u64, Missed),
}

impl Reader {
    /// Opens the buffers of instances, which all have one clock.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn new(instances: &[Instance]) -> Result<Self, Error> {
        let mut processors = Vec::new();
        for instance in instances {
            Self::open(instance, &mut processors)?;
        }
        processors.sort_by_key(|processor| processor.number);
        let page = instances.iter().map(Instance::page_size).max().unwrap_or_default();
        Ok(Self { processors, page: vec![0; page], bytes: Vec::new(), waiting: Vec::new() })
    }

    fn open(instance: &Instance, processors: &mut Vec<Processor>) -> Result<(), Error> {
        let folder = instance.path().join("per_cpu");
        let listing = |error| Error::of(format!("listing {}", folder.display()), error);
        for entry in fs::read_dir(&folder).map_err(listing)? {
            let name = entry.map_err(listing)?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("cpu")?.parse().ok());
            let Some(number) = number else { continue };
            let path = folder.join(&name).join("trace_pipe_raw");
            let opening = |error| Error::of(format!("opening {}", path.display()), error);
            let buffer = File::open(&path).map_err(opening)?;
            fcntl_setfl(&buffer, OFlags::NONBLOCK).map_err(|errno| opening(errno.into()))?;
            processors.push(Processor { number, buffer });
        }
        Ok(())
    }

    /// Waits until a buffer is as full as the instance's `buffer_percent` says, `other` is
    /// readable, or this long.
    ///
    /// # Errors
    /// EINTR. Those of poll(2).
    pub fn wait(&self, other: impl AsFd, time: std::time::Duration) -> io::Result<bool> {
        let buffers = self.processors.iter().map(|processor| &processor.buffer);
        Self::poll(other.as_fd(), buffers, time)
    }

    /// Waits until `other` is readable, or this long, whatever the buffers hold.
    ///
    /// # Errors
    /// EINTR. Those of poll(2).
    pub fn wait_for_other(&self, other: impl AsFd, time: std::time::Duration) -> io::Result<bool> {
        Self::poll(other.as_fd(), [], time)
    }

    fn poll<'a>(
        other: BorrowedFd<'a>,
        buffers: impl IntoIterator<Item = &'a File>,
        time: std::time::Duration,
    ) -> io::Result<bool> {
        let mut polled = vec![PollFd::from_borrowed_fd(other, PollFlags::IN)];
        polled.extend(buffers.into_iter().map(|buffer| PollFd::new(buffer, PollFlags::IN)));
        let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        poll(&mut polled, Some(&time))?;
        Ok(!polled[0].revents().is_empty())
    }

    /// One round. Answers whether a buffer may hold more.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn poll_batch(&mut self, mut sink: impl FnMut(Item<'_>)) -> io::Result<bool> {
        let mut horizon = monotonic().saturating_sub(SLACK);
        let mut more = false;
        for processor in 0..self.processors.len() {
            if let Some(newest) = self.empty(processor)? {
                horizon = horizon.min(newest);
                more = true;
            }
        }
        self.hand_out(horizon, &mut sink);
        Ok(more)
    }

    /// All that is left, once nothing more is recorded.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn finish(&mut self, mut sink: impl FnMut(Item<'_>)) -> io::Result<()> {
        while self.poll_batch(&mut sink)? {}
        self.hand_out(u64::MAX, &mut sink);
        Ok(())
    }

    /// Reads a processor's buffer; answers the newest time where the limit was reached first.
    fn empty(&mut self, processor: usize) -> io::Result<Option<u64>> {
        let mut newest = 0;
        for _ in 0..ROUND {
            let len = match self.processors[processor].buffer.read(&mut self.page) {
                Ok(0) => return Ok(None),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                // A processor that was taken out.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(None),
                Err(error) => return Err(error),
            };
            let Some(page) = Page::parse(&self.page[..len]) else { continue };
            if let Some(missed) = page.missed() {
                self.waiting.push(Waiting { time: page.time(), what: What::Lost(missed) });
            }
            for (time, record) in page.records() {
                let start = self.bytes.len();
                self.bytes.extend_from_slice(record);
                self.waiting.push(Waiting { time, what: What::Record(start..self.bytes.len()) });
                newest = time;
            }
        }
        Ok(Some(newest))
    }

    fn hand_out(&mut self, horizon: u64, sink: &mut impl FnMut(Item<'_>)) {
        // Stable: what one processor recorded at one time stays in its order.
        self.waiting.sort_by_key(|waiting| waiting.time);
        let ready = self.waiting.partition_point(|waiting| waiting.time <= horizon);
        for waiting in self.waiting.drain(..ready) {
            match waiting.what {
                What::Record(range) => sink(Item::Record(waiting.time, &self.bytes[range])),
                What::Lost(missed) => sink(Item::Lost(waiting.time, missed)),
            }
        }
        let mut kept = Vec::new();
        for waiting in &mut self.waiting {
            if let What::Record(range) = &mut waiting.what {
                let start = kept.len();
                kept.extend_from_slice(&self.bytes[range.clone()]);
                *range = start..kept.len();
            }
        }
        self.bytes = kept;
    }
}
