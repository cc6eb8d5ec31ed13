// SPDX-License-Identifier: MIT OR Apache-2.0
//! Closes the connections of processes that join. Closing one ends the messages that wait in it,
//! and the files in these. A file may make that last: a TCP socket that lingers (`SO_LINGER`) waits
//! until its peer has read everything, for days. So one thread closes them all, and whoever brings
//! it another connection interrupts it, which ends such a wait.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::io::Errno;

use crate::error::{SystemError, failed};
use crate::sys;

/// Connections that may wait until they are closed.
const WAITING: usize = 64;
/// Between two interruptions, where so many wait.
const PAUSE: Duration = Duration::from_millis(1);

/// The thread that closes connections.
pub(crate) struct ConnectionCloser {
    queue: SyncSender<Arc<OwnedFd>>,
    thread: JoinHandle<()>,
}

impl ConnectionCloser {
    /// Starts the thread.
    ///
    /// # Errors
    /// EAGAIN: there are too many.
    pub(crate) fn start() -> Result<Self, SystemError> {
        let (queue, brought) = sync_channel::<Arc<OwnedFd>>(WAITING);
        let close = move || {
            sys::be_interruptible();
            brought.into_iter().for_each(drop);
        };
        let thread = thread::Builder::new()
            .name("closing".into())
            .spawn(close)
            .map_err(|_| failed("starting a thread")(Errno::AGAIN))?;
        Ok(Self { queue, thread })
    }

    /// Has a connection closed, soon if nothing lasts, and does not wait for that.
    pub(crate) fn close(&self, connection: Arc<OwnedFd>) {
        let mut left = connection;
        loop {
            let brought = self.queue.try_send(left);
            // An interruption that came too early for a wait is made up for by the next one.
            sys::interrupt(&self.thread);
            match brought {
                Err(TrySendError::Full(connection)) => left = connection,
                Ok(()) | Err(TrySendError::Disconnected(_)) => return,
            }
            thread::sleep(PAUSE);
        }
    }
}
