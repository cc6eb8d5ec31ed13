// SPDX-License-Identifier: MIT OR Apache-2.0
//! Takeover: a request loop that is stuck in one request is replaced by a new one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long one request may take before another loop takes over: at least this long, at most twice
/// as long.
pub(crate) const PATIENCE: Duration = Duration::from_millis(250);
/// Loops that may be stuck at once. A tenant that holds up more holds up only itself.
const MOST: u64 = 64;

/// What the loop is doing, and how many loops are stuck.
#[derive(Default)]
pub(crate) struct Takeover {
    /// Rises when a request begins and when it ends, and is odd in between. The thread that raises
    /// it at the end decides: the loop returned, or it was replaced.
    epoch: AtomicU64,
    /// Loops that are stuck.
    stuck: AtomicU64,
}

impl Takeover {
    /// Runs one request. Returns whether this loop continues to serve.
    pub(crate) fn run(&self, request: impl FnOnce()) -> bool {
        let epoch = self.epoch.fetch_add(1, Ordering::SeqCst) + 1;
        request();
        if self.advance(epoch) {
            return true;
        }
        self.stuck.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// The current epoch: odd during a request, and never the same twice.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    fn advance(&self, epoch: u64) -> bool {
        self.epoch.compare_exchange(epoch, epoch + 1, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Whether the loop is still in the request of this epoch, and may be replaced.
    pub(crate) fn is_stuck(&self, epoch: u64) -> bool {
        !epoch.is_multiple_of(2)
            && self.epoch() == epoch
            && self.stuck.load(Ordering::Relaxed) < MOST
    }

    /// Replaces the loop if it is still in the request of this epoch. Returns whether the caller
    /// must start a new loop.
    pub(crate) fn replace_if_stuck(&self, epoch: u64) -> bool {
        if epoch.is_multiple_of(2) || self.stuck.load(Ordering::Relaxed) >= MOST {
            return false;
        }
        // Counted first: the loop may return at any moment.
        self.stuck.fetch_add(1, Ordering::Relaxed);
        let handed = self.advance(epoch);
        if !handed {
            self.stuck.fetch_sub(1, Ordering::Relaxed);
        }
        handed
    }
}

#[cfg(test)]
mod tests {
    use super::Takeover;

    #[test]
    fn a_request_in_hand_is_handed_over_once_and_its_loop_ends() {
        let takeover = Takeover::default();
        assert!(!takeover.replace_if_stuck(takeover.epoch()), "nothing is in hand");
        assert!(takeover.run(|| {}));
        let serves = takeover.run(|| {
            let epoch = takeover.epoch();
            assert!(takeover.replace_if_stuck(epoch));
            assert!(!takeover.replace_if_stuck(epoch), "once");
            assert!(takeover.run(|| {}), "the new loop serves");
        });
        assert!(!serves);
        assert!(takeover.run(|| {}));
    }
}
