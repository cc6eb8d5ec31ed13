// SPDX-License-Identifier: MIT OR Apache-2.0
//! When the next agent starts, and until when the present one may take to end.

use std::time::{Duration, Instant};

/// The pause before the next agent; it doubles for as long as agents end before they are ready.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long an agent may take to end when it is told to.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is due, and when.
#[derive(Debug)]
pub(super) struct Schedule {
    next_start: Option<Instant>,
    /// When an agent that was told to end is killed.
    last_moment: Option<Instant>,
    pause: Duration,
    is_stopping: bool,
}

impl Schedule {
    /// The first agent starts now.
    pub(super) fn new(now: Instant) -> Self {
        let (next_start, last_moment) = (Some(now), None);
        Self { next_start, last_moment, pause: PAUSES.0, is_stopping: false }
    }

    /// Whether an agent is to be started, which is said once.
    pub(super) fn is_start_due(&mut self, now: Instant) -> bool {
        self.next_start.take_if(|at| *at <= now).is_some()
    }

    /// Whether the agent is to be killed, which is said once.
    pub(super) fn is_kill_due(&mut self, now: Instant) -> bool {
        self.last_moment.take_if(|at| *at <= now).is_some()
    }

    /// The next moment when something is due.
    pub(super) fn next(&self) -> Option<Instant> {
        [self.next_start, self.last_moment].into_iter().flatten().min()
    }

    /// An agent was told to end. However often it is told, it has no more time.
    pub(super) fn told(&mut self, now: Instant) {
        self.last_moment.get_or_insert(now + PATIENCE);
    }

    /// No further agent is to be started.
    pub(super) fn stop(&mut self) {
        (self.next_start, self.is_stopping) = (None, true);
    }

    /// An agent has ended, or was not started.
    pub(super) fn ended(&mut self, now: Instant, was_ready: bool) {
        self.last_moment = None;
        self.pause = if was_ready { PAUSES.0 } else { (self.pause * 2).min(PAUSES.1) };
        self.next_start = (!self.is_stopping).then(|| now + self.pause);
    }

    /// Whether nothing is to be started any more.
    pub(super) fn is_over(&self) -> bool {
        self.next_start.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::{PATIENCE, PAUSES, Schedule};
    use std::time::{Duration, Instant};

    const TICK: Duration = Duration::from_millis(1);

    fn started() -> (Schedule, Instant) {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        assert!(schedule.is_start_due(now));
        assert!(!schedule.is_start_due(now), "an agent is started once");
        (schedule, now)
    }

    #[test]
    fn an_agent_that_does_not_end_is_killed_however_often_it_is_told() {
        let (mut schedule, now) = started();
        schedule.told(now);
        schedule.told(now + PATIENCE / 2);
        schedule.stop();
        schedule.told(now + PATIENCE - TICK);
        assert_eq!(schedule.next(), Some(now + PATIENCE));
        assert!(!schedule.is_kill_due(now + PATIENCE - TICK));
        assert!(schedule.is_kill_due(now + PATIENCE));
        schedule.ended(now + PATIENCE, true);
        assert!(schedule.is_over());
    }

    #[test]
    fn the_next_agent_is_not_killed_for_the_one_before() {
        let (mut schedule, now) = started();
        schedule.told(now);
        schedule.ended(now, true);
        assert!(schedule.is_start_due(now + PAUSES.0));
        assert!(!schedule.is_kill_due(now + PATIENCE * 2));
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn pauses_grow_while_no_agent_gets_ready_and_have_an_end() {
        let (mut schedule, mut now) = started();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            schedule.ended(now, false);
            let next = schedule.next().expect("another one");
            pauses.push((next - now).as_millis());
            assert!(!schedule.is_start_due(next - TICK));
            assert!(schedule.is_start_due(next));
            now = next;
        }
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
        schedule.ended(now, true);
        assert_eq!(schedule.next(), Some(now + PAUSES.0));
    }
}
