// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a process that joins can make last for as long as it likes: a look at its memory or at its
//! root directory, which may lie on a file server of its own, and closing what it has sent. No
//! signal ends such a wait in the kernel. So each is done by a thread of its own, for which nobody
//! waits longer than for a message; what is left behind then counts until it ends.

use std::sync::mpsc::{RecvTimeoutError, channel, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use super::limits::{LeftBehind, Limit};
use super::{Error, PATIENCE};
use crate::error::failed;
use crate::ids::Identity;

/// The errands of all processes that join.
#[derive(Default)]
pub(crate) struct Errands {
    left_behind: LeftBehind,
}

impl Errands {
    /// Whether this container may have errands made for it.
    ///
    /// # Errors
    /// [`Limit::LeftBehind`].
    pub(crate) fn check(&self, identity: &Identity) -> Result<(), Limit> {
        self.left_behind.check(identity)
    }

    /// Does this in a thread of its own, and waits for it for ten seconds at most.
    ///
    /// # Errors
    /// [`Error::Message`]: it lasts longer. [`Error::System`]: no thread can be started; then this
    /// was not done.
    pub(crate) fn run<R: Send + 'static>(
        &self,
        identity: &Identity,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Error> {
        let (done, result) = sync_channel(1);
        let (leave, left) = channel();
        let errand = move || {
            let _ = done.send(work());
            // With what it was counted by, if it was left behind.
            drop(left);
        };
        thread::Builder::new()
            .name("joining".into())
            .spawn(errand)
            .map_err(|_| failed("starting a thread")(Errno::AGAIN))?;
        let patience = Duration::from_secs(PATIENCE.tv_sec.unsigned_abs());
        match result.recv_timeout(patience) {
            Ok(result) => Ok(result),
            Err(RecvTimeoutError::Timeout) => {
                // If it has ended by now this fails, and nothing is counted.
                let _ = leave.send(self.left_behind.count(identity));
                Err(Error::Message(
                    "has its memory, its root directory or what it sent on a file server that does \
                     not answer within ten seconds",
                ))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(failed("waiting for a thread")(Errno::AGAIN).into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn what_is_left_behind_counts_until_it_ends() {
        let (errands, identity) = (Errands::default(), Identity::brought(1, "one".into()));
        assert_eq!(errands.run(&identity, || 5).ok(), Some(5));
        let (end, ended) = channel::<()>();
        let held_up = errands.run(&identity, move || ended.recv().is_ok());
        assert!(matches!(held_up, Err(Error::Message(_))), "{held_up:?}");
        assert_eq!(errands.left_behind.len(), 1);
        drop(end);
        let deadline = Instant::now() + Duration::from_secs(60);
        while errands.left_behind.len() > 0 {
            assert!(Instant::now() < deadline, "it counts still");
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(errands.run(&identity, || 6).ok(), Some(6));
    }
}
