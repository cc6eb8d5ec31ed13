// SPDX-License-Identifier: MIT OR Apache-2.0
//! The channels of one supervisor, and the next request that comes from any of them.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::{Errno, Result};

use crate::notification::{Channel, Notification, ReceiveError};
use crate::sys::lock;

/// All channels.
pub(super) struct Channels {
    list: Mutex<Vec<Arc<dyn Channel>>>,
    /// Rises with every change of the list.
    version: AtomicU64,
    /// No channel is added after the present ones.
    is_complete: AtomicBool,
    /// Signalled when one is added.
    wake: OwnedFd,
    /// Locked by the one loop at a time that receives.
    view: Mutex<ChannelView>,
}

/// The channels as they were when the list was looked at last.
#[derive(Default)]
struct ChannelView {
    version: u64,
    channels: Vec<Arc<dyn Channel>>,
    /// Where it looks first, so that no channel waits for ever behind a busy one.
    next: usize,
}

/// What came.
pub(super) enum NextRequest {
    /// A request.
    Request(Arc<dyn Channel>, Notification),
    /// Nothing, or nothing that is still there.
    Nothing,
    /// There is no channel left.
    End,
}

impl Channels {
    /// None.
    ///
    /// # Errors
    /// EMFILE, ENFILE.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            list: Mutex::default(),
            // A new view has seen nothing yet.
            version: AtomicU64::new(1),
            is_complete: AtomicBool::new(false),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            view: Mutex::default(),
        })
    }

    pub(super) fn add(&self, channel: Arc<dyn Channel>) {
        self.change(|list| list.push(channel));
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Adds the last channel: none is added after it.
    pub(super) fn add_last(&self, channel: Arc<dyn Channel>) {
        self.is_complete.store(true, Ordering::Relaxed);
        self.add(channel);
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.list).len()
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.list).is_empty()
    }

    /// Waits for the next request, in the one loop at a time that receives.
    ///
    /// # Errors
    /// Those of poll(2).
    pub(super) fn receive(&self) -> Result<NextRequest> {
        let mut view = lock(&self.view);
        if view.version != self.version.load(Ordering::Acquire) {
            let list = lock(&self.list);
            view.version = self.version.load(Ordering::Relaxed);
            view.channels.clone_from(&list);
        }
        match view.channels.as_slice() {
            [] => Ok(NextRequest::End),
            [channel] if self.is_complete.load(Ordering::Relaxed) && channel.waits() => {
                Ok(self.receive_only(channel))
            }
            _ => self.poll(&mut view),
        }
    }

    fn poll(&self, view: &mut ChannelView) -> Result<NextRequest> {
        let mut polled = vec![PollFd::new(&self.wake, PollFlags::IN)];
        polled.extend(
            (view.channels.iter())
                .map(|channel| PollFd::from_borrowed_fd(channel.as_fd(), PollFlags::IN)),
        );
        match poll(&mut polled, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(NextRequest::Nothing),
            Err(error) => return Err(error),
        }
        if !polled[0].revents().is_empty() {
            let _ = rustix::io::read(&self.wake, &mut [0; 8]);
            return Ok(NextRequest::Nothing);
        }
        let count = view.channels.len();
        let ready = (0..count)
            .map(|step| (view.next + step) % count)
            .find(|place| !polled[place + 1].revents().is_empty());
        let Some(place) = ready else { return Ok(NextRequest::Nothing) };
        let is_readable = polled[place + 1].revents().contains(PollFlags::IN);
        view.next = place + 1;
        let channel = &view.channels[place];
        let received = if is_readable { channel.receive() } else { Err(ReceiveError::HungUp) };
        Ok(self.taken(channel, received))
    }

    /// The next request of the only channel there will be, which waits for it itself.
    fn receive_only(&self, channel: &Arc<dyn Channel>) -> NextRequest {
        match channel.receive() {
            Ok(None) if has_hung_up(channel.as_fd()) => {
                self.taken(channel, Err(ReceiveError::HungUp))
            }
            received => self.taken(channel, received),
        }
    }

    /// What was received of a channel; one that is broken is dropped.
    fn taken(
        &self,
        channel: &Arc<dyn Channel>,
        received: std::result::Result<Option<Notification>, ReceiveError>,
    ) -> NextRequest {
        match received {
            Ok(Some(notification)) => NextRequest::Request(Arc::clone(channel), notification),
            Ok(None) => NextRequest::Nothing,
            Err(why) => {
                tracing::debug!(%why, "a channel is closed");
                self.change(|list| list.retain(|other| !Arc::ptr_eq(other, channel)));
                NextRequest::Nothing
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<dyn Channel>>)) {
        let mut list = lock(&self.list);
        change(&mut list);
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// Whether no request can come from a channel any more.
fn has_hung_up(channel: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(channel, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    poll(&mut polled, Some(&now)).is_ok() && {
        let events = polled[0].revents();
        events.intersects(gone) && !events.contains(PollFlags::IN)
    }
}
