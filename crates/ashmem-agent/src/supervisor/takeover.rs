//! Which loop serves: one that a caller holds up is replaced.

use std::sync::atomic::{AtomicU64, Ordering};

/// Loops that callers may hold up at once; who wants more holds up its own tenant.
const MOST: u64 = 64;

/// What the loop that serves is at.
#[derive(Default)]
pub(crate) struct Takeover {
    /// Moves with each begin and each end of a request, and is odd in between. Who moves it on from there decides whether the
    /// loop came back or was replaced.
    epoch: AtomicU64,
    /// Loops that are held up.
    stuck: AtomicU64,
}

impl Takeover {
    /// Runs one request; whether the loop still serves afterwards.
    pub(crate) fn run(&self, request: impl FnOnce()) -> bool {
        let epoch = self.epoch.fetch_add(1, Ordering::SeqCst) + 1;
        request();
        if self.advance(epoch) {
            return true;
        }
        self.stuck.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// What the loop is at: odd, with a request; it never comes to the same again.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    fn advance(&self, epoch: u64) -> bool {
        self.epoch.compare_exchange(epoch, epoch + 1, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Takes the request in hand for held up, if it still is the one of this pulse; whether a new loop is due.
    pub(crate) fn replace_if_stuck(&self, epoch: u64) -> bool {
        if epoch.is_multiple_of(2) || self.stuck.load(Ordering::Relaxed) >= MOST {
            return false;
        }
        // First, for the loop may come back at once.
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
