// SPDX-License-Identifier: MIT OR Apache-2.0
//! The load: whether several callers ask at once, so that it pays to have another loop receive.

/// Changes of the caller, more than requests without one, that make a trial worth it.
const CHANGES: u32 = 8;
/// Requests of a trial: the turn is passed on for each.
const TRIAL: u32 = 64;
/// Requests after a trial in vain until the next one.
const PAUSE: u32 = 1024;

/// What was seen of the callers lately.
///
/// That they change says little: two that wait for each other by turns change as often as two that
/// do not, and passing the turn on would only cost them. So it is tried, and kept up for as long as
/// requests come while others are worked at.
#[derive(Default)]
pub(super) struct Load {
    last: i32,
    changes: u32,
    trial: u32,
    pause: u32,
}

impl Load {
    /// Whether the turn is passed on for the request of this thread, which came while others were
    /// worked at or not.
    pub(super) fn passes(&mut self, tid: i32, overlaps: bool) -> bool {
        let is_change = std::mem::replace(&mut self.last, tid) != tid;
        if overlaps {
            self.trial = TRIAL;
        }
        if self.trial > 0 {
            self.trial -= 1;
            if self.trial == 0 {
                self.rest();
            }
            return true;
        }
        if self.pause > 0 {
            self.pause -= 1;
            return false;
        }
        self.changes = if is_change { self.changes + 1 } else { self.changes.saturating_sub(1) };
        if self.changes >= CHANGES {
            self.trial = TRIAL;
        }
        false
    }

    /// Tries nothing for a while.
    pub(super) fn rest(&mut self) {
        *self = Self { last: self.last, pause: PAUSE, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many requests, of this many threads by turns, pass the turn on.
    fn passing(load: &mut Load, requests: u32, threads: u32, overlaps: bool) -> u32 {
        let mut passed = 0;
        let mut is_working = false;
        for request in 0..requests {
            let passes = load.passes((request % threads) as i32 + 1, overlaps && is_working);
            is_working = passes;
            passed += u32::from(passes);
        }
        passed
    }

    #[test]
    fn one_caller_passes_nothing_on() {
        assert_eq!(passing(&mut Load::default(), 100_000, 1, true), 0);
    }

    #[test]
    fn several_that_overlap_pass_all_on_but_the_first() {
        assert!(passing(&mut Load::default(), 100_000, 4, true) > 99_900);
    }

    #[test]
    fn several_that_wait_for_each_other_pass_few_on() {
        let few = passing(&mut Load::default(), 100_000, 4, false);
        assert!((TRIAL..10_000).contains(&few), "{few}");
    }

    #[test]
    fn it_ends_with_the_overlap() {
        let mut load = Load::default();
        passing(&mut load, 1000, 4, true);
        assert!(passing(&mut load, 10_000, 1, false) <= TRIAL);
    }
}
