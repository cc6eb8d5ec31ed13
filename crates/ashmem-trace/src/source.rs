//! What sees events.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::event::{Event, Source};
use crate::json::Lost;

/// Something that was seen.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all are events, and none is kept for long")]
pub enum SourceItem {
    /// An event.
    Event(Event),
    /// Events that nobody saw.
    Lost(Lost),
}

/// A source of events.
pub trait EventSource {
    /// Which it is.
    fn source(&self) -> Source;

    /// Waits until there is something to see, `other` is readable, or this long; answers whether `other` is.
    ///
    /// # Errors
    /// EINTR. Those of poll(2).
    fn wait(&self, other: BorrowedFd<'_>, time: Duration) -> io::Result<bool>;

    /// Hands out what was seen so far, in order; answers whether there is more already.
    ///
    /// # Errors
    /// The source is broken for good.
    fn poll_batch(&mut self, sink: &mut dyn FnMut(SourceItem)) -> io::Result<bool>;

    /// Sees no more, and hands out what is left.
    ///
    /// # Errors
    /// As for [`EventSource::round`].
    fn finish(&mut self, sink: &mut dyn FnMut(SourceItem)) -> io::Result<()>;
}
