//! Which loop serves: one that a caller holds up is replaced.

use std::sync::atomic::{AtomicU64, Ordering};

/// Loops that callers may hold up at once; who wants more holds up its own origin.
const MOST: u64 = 64;

/// What the loop that serves is at.
#[derive(Default)]
pub(crate) struct Shift {
    /// Moves with each begin and each end of a request, and is odd in between. Who moves it on from there decides whether the
    /// loop came back or was replaced.
    pulse: AtomicU64,
    /// Loops that are held up.
    stuck: AtomicU64,
}

impl Shift {
    /// Runs one request; whether the loop still serves afterwards.
    pub(crate) fn during(&self, request: impl FnOnce()) -> bool {
        let pulse = self.pulse.fetch_add(1, Ordering::SeqCst) + 1;
        request();
        if self.move_on(pulse) {
            return true;
        }
        self.stuck.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// What the loop is at: odd, with a request; it never comes to the same again.
    pub(crate) fn pulse(&self) -> u64 {
        self.pulse.load(Ordering::SeqCst)
    }

    fn move_on(&self, pulse: u64) -> bool {
        self.pulse.compare_exchange(pulse, pulse + 1, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// Takes the request in hand for held up, if it still is the one of this pulse; whether a new loop is due.
    pub(crate) fn hand_over(&self, pulse: u64) -> bool {
        if pulse.is_multiple_of(2) || self.stuck.load(Ordering::Relaxed) >= MOST {
            return false;
        }
        // First, for the loop may come back at once.
        self.stuck.fetch_add(1, Ordering::Relaxed);
        let handed = self.move_on(pulse);
        if !handed {
            self.stuck.fetch_sub(1, Ordering::Relaxed);
        }
        handed
    }
}

#[cfg(test)]
mod tests {
    use super::Shift;

    #[test]
    fn a_request_in_hand_is_handed_over_once_and_its_loop_ends() {
        let shift = Shift::default();
        assert!(!shift.hand_over(shift.pulse()), "nothing is in hand");
        assert!(shift.during(|| {}));
        let serves = shift.during(|| {
            let pulse = shift.pulse();
            assert!(shift.hand_over(pulse));
            assert!(!shift.hand_over(pulse), "once");
            assert!(shift.during(|| {}), "the new loop serves");
        });
        assert!(!serves);
        assert!(shift.during(|| {}));
    }
}
