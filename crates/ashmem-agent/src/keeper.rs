//! What runs beside the loop: purging under memory pressure, and relief for a loop that a caller holds up.
//!
//! Reading a caller's memory can take as long as the caller likes (userfaultfd, FUSE). A loop that is not back from one
//! request after [`PATIENCE`] is therefore replaced by a new one; it finishes that request, whenever that is, and ends. So
//! a caller holds up nobody but itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Scope;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::pressure::{Pressure, is_short, share_of};
use crate::supervisor::Supervisor;

/// How long one request may take before another loop takes over.
const PATIENCE: Duration = Duration::from_millis(250);
/// Loops that callers may hold up at once; who wants more holds up its own origin.
const MOST: u64 = 64;

/// Which loop serves, and since when it has been busy with one request.
pub(crate) struct Shift {
    start: Instant,
    /// The loop that serves; a loop with another number ends.
    turn: AtomicU64,
    /// Microseconds from `start` to when the request in hand came in; 0 between requests.
    busy: AtomicU64,
    /// Loops that are held up.
    stuck: AtomicU64,
}

impl Shift {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), turn: AtomicU64::new(0), busy: AtomicU64::new(0), stuck: AtomicU64::new(0) }
    }

    /// The loop that serves now.
    pub(crate) fn turn(&self) -> u64 {
        self.turn.load(Ordering::Relaxed)
    }

    /// Runs one request of the loop `turn`; whether the loop still serves afterwards.
    pub(crate) fn during(&self, turn: u64, request: impl FnOnce()) -> bool {
        self.busy.store(self.start.elapsed().as_micros() as u64 | 1, Ordering::Relaxed);
        request();
        if self.turn() == turn {
            self.busy.store(0, Ordering::Relaxed);
            return true;
        }
        self.stuck.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// Whether the loop has been busy with one request for too long.
    fn is_held_up(&self) -> bool {
        let since = self.busy.load(Ordering::Relaxed);
        let now = self.start.elapsed().as_micros() as u64;
        since != 0
            && now.saturating_sub(since) > PATIENCE.as_micros() as u64
            && self.stuck.load(Ordering::Relaxed) < MOST
    }

    /// Hands over to a new loop; its number.
    fn hand_over(&self) -> u64 {
        self.stuck.fetch_add(1, Ordering::Relaxed);
        self.busy.store(0, Ordering::Relaxed);
        self.turn.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Supervisor {
    /// Keeps watch until the supervisor ends.
    pub(crate) fn keep<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        let pressure = Pressure::watch();
        let tick = Timespec { tv_sec: 0, tv_nsec: PATIENCE.subsec_nanos().into() };
        while !self.has_ended() {
            let mut polled = vec![PollFd::from_borrowed_fd(self.activity(), PollFlags::IN)];
            polled.extend(pressure.trigger().map(|trigger| PollFd::from_borrowed_fd(trigger, PollFlags::PRI)));
            // A resting supervisor is left to rest.
            let woken = poll(&mut polled, if self.is_resting() { None } else { Some(&tick) });
            let short = match polled.get(1) {
                Some(trigger) => trigger.revents().contains(PollFlags::PRI),
                None => woken == Ok(0) && self.origin().purgeable() > 0 && is_short(),
            };
            if short {
                let mut origin = self.origin();
                let share = share_of(origin.purgeable());
                let purged = origin.purge(share);
                tracing::debug!(purged, "pages purged under memory pressure");
            }
            if self.shift().is_held_up() {
                let turn = self.shift().hand_over();
                tracing::debug!(turn, "a caller holds its request up: another loop takes over");
                scope.spawn(move || self.serve_turn(turn));
            }
        }
    }
}
