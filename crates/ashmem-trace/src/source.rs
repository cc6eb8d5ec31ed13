// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sources of events.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::event::{Event, Source};
use crate::json::Lost;

/// What a source delivers.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all are events, and none is kept for long")]
pub enum SourceItem {
    /// An event.
    Event(Event),
    /// Lost events.
    Lost(Lost),
}

/// A source of events.
pub trait EventSource {
    /// Which it is.
    fn source(&self) -> Source;

    /// Waits until events are there, `other` is readable, or this time has passed; returns whether
    /// `other` is readable.
    ///
    /// # Errors
    /// EINTR. Those of poll(2).
    fn wait(&self, other: BorrowedFd<'_>, time: Duration) -> io::Result<bool>;

    /// Delivers the events so far, in order; returns whether there are more already.
    ///
    /// # Errors
    /// The source is broken for good.
    fn poll_batch(&mut self, sink: &mut dyn FnMut(SourceItem)) -> io::Result<bool>;

    /// Stops the source, and delivers what is left.
    ///
    /// # Errors
    /// As for [`EventSource::poll_batch`].
    fn finish(&mut self, sink: &mut dyn FnMut(SourceItem)) -> io::Result<()>;
}
