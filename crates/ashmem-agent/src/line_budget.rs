// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many lines strangers may put into the log.
//!
//! Anybody may join, leave, and be refused as often as they like, and a log may be a plain file:
//! such lines come out of one budget for the whole process. What runtimes bring is logged always.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::sys::lock;

/// Lines in a row, and the time that gives one more.
const MOST: u32 = 50;
const EACH: Duration = Duration::from_secs(30);

static BUDGET: Mutex<LineBudget> = Mutex::new(LineBudget { left: MOST, since: None });

/// Whether a line that a stranger causes may be logged now. Says once that lines are left out.
pub(crate) fn may_say() -> bool {
    let answer = lock(&BUDGET).spend(Instant::now());
    if answer == Spent::Last {
        tracing::warn!(
            "the next lines that containers cause are left out: no more than one in {} seconds",
            EACH.as_secs()
        );
    }
    answer != Spent::Nothing
}

#[derive(Debug, PartialEq, Eq)]
enum Spent {
    Line,
    Last,
    Nothing,
}

struct LineBudget {
    left: u32,
    /// Since when the next line is earned; `None` while the budget is full.
    since: Option<Instant>,
}

impl LineBudget {
    fn spend(&mut self, now: Instant) -> Spent {
        let mut since = self.since.unwrap_or(now);
        while self.left < MOST && now.saturating_duration_since(since) >= EACH {
            self.left += 1;
            since += EACH;
        }
        self.since = Some(if self.left == MOST { now } else { since });
        let Some(left) = self.left.checked_sub(1) else { return Spent::Nothing };
        self.left = left;
        if left == 0 { Spent::Last } else { Spent::Line }
    }
}

#[cfg(test)]
mod tests {
    use super::{EACH, LineBudget, MOST, Spent};
    use std::time::Instant;

    #[test]
    fn a_flood_of_lines_ends_and_each_pause_gives_one() {
        let mut budget = LineBudget { left: MOST, since: None };
        let start = Instant::now();
        let spent = |budget: &mut LineBudget, at| {
            (0..10_000).filter(|_| budget.spend(at) != Spent::Nothing).count()
        };
        assert_eq!(spent(&mut budget, start), MOST as usize);
        assert_eq!(spent(&mut budget, start + EACH / 2), 0);
        assert_eq!(spent(&mut budget, start + EACH), 1);
        assert_eq!(spent(&mut budget, start + EACH * 3), 2);
        assert_eq!(spent(&mut budget, start + EACH * 1000), MOST as usize);
        let mut full = LineBudget { left: MOST, since: None };
        let last = (0..MOST).filter(|_| full.spend(start) == Spent::Last).count();
        assert_eq!(last, 1, "the end of the lines is told once");
    }
}
