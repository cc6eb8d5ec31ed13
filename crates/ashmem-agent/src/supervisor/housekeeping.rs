// SPDX-License-Identifier: MIT OR Apache-2.0
//! Housekeeping thread: replaces a blocked request loop, purges under memory pressure, refills the
//! memfd pool, sleeps when idle.
//!
//! A caller decides how long a read of its memory takes (userfaultfd, FUSE). A loop that has not
//! returned from one request after [`PATIENCE`] is therefore replaced: it finishes that request,
//! whenever that is, and ends. So a caller blocks only itself.

use std::thread::{Builder, Scope};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::supervisor::Supervisor;
use crate::supervisor::pressure::{Pressure, Supply, is_group_scarce, is_reason, share_of};
use crate::supervisor::takeover::PATIENCE;

/// How often available memory is read while it is scarce and pages can be purged.
const CLOSELY: Duration = Duration::from_millis(20);
/// Ticks of [`PATIENCE`] without a request after which caches are dropped.
const QUIET: u32 = 4;

impl Supervisor {
    /// Runs until the supervisor ends.
    pub(crate) fn housekeep<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        let pressure = Pressure::watch();
        let (mut seen, mut quiet) = (self.takeover().epoch(), 0);
        let (mut supply, mut last_tick) = (Supply::Plenty, Instant::now());
        while !self.has_ended() {
            let mut polled = vec![PollFd::from_borrowed_fd(self.activity(), PollFlags::IN)];
            polled.extend(
                pressure.trigger().map(|trigger| PollFd::from_borrowed_fd(trigger, PollFlags::PRI)),
            );
            let rests = !self.trace_sink().tell_losses() && quiet >= QUIET && self.rest(seen);
            if rests {
                polled.push(PollFd::from_borrowed_fd(self.inode_events(), PollFlags::IN));
            }
            let wait = if supply == Supply::Plenty { PATIENCE } else { CLOSELY };
            let wait = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
            let _ = poll(&mut polled, if rests { None } else { Some(&wait) });
            self.wake_up();
            if let Some(pool) = self.pool() {
                pool.fill();
            }
            // Time asleep does not count.
            let ticked = !rests && last_tick.elapsed() >= PATIENCE;
            if ticked || rests {
                last_tick = Instant::now();
            }
            let told = pressure.trigger().is_some() && polled[1].revents().contains(PollFlags::PRI);
            supply = self.relieve(scope, told);
            let epoch = self.takeover().epoch();
            if epoch != seen {
                (seen, quiet) = (epoch, 0);
            } else if ticked && self.replace_loop(scope, epoch) {
                tracing::debug!("a request is stuck: another loop takes over");
            } else if ticked && epoch.is_multiple_of(2) {
                quiet += 1;
            }
        }
    }

    /// Starts another loop if this one is stuck in the request of this epoch. The thread comes
    /// first: without one, the loop that is stuck must go on when it can.
    fn replace_loop<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, epoch: u64) -> bool {
        if !self.takeover().is_stuck(epoch) {
            return false;
        }
        let (go, told) = std::sync::mpsc::channel();
        let thread = move || {
            if told.recv() == Ok(true) {
                self.serve_turn(scope);
            }
        };
        let started = Builder::new().name("loop".into()).spawn_scoped(scope, thread);
        let replaced = match started {
            Ok(_) => self.takeover().replace_if_stuck(epoch),
            Err(error) => {
                tracing::warn!(%error, "a request is stuck, and no other loop can be started");
                false
            }
        };
        let _ = go.send(replaced);
        replaced
    }

    /// Reaps regions, and starts a purge if memory is short, or scarce where the kernel has `told`
    /// of stalls. Returns the supply that was found, which decides how soon to look again.
    fn relieve<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, told: bool) -> Supply {
        let purgeable = self.tenant().purgeable();
        if purgeable == 0 {
            return Supply::Plenty;
        }
        let supply = Supply::now();
        let is_scarce = || self.tenant().callers_with_unpinned().into_iter().any(is_group_scarce);
        if is_reason(told, supply, is_scarce) {
            // In a thread of its own: a client can hold a purge of its region up, and loops that
            // are stuck must be replaced meanwhile, and other regions be purged.
            let Some(purge) = self.purges().begin() else { return supply };
            let work = move || {
                purge.is_done_here();
                let purged = self.tenant().purge(share_of(purgeable));
                tracing::debug!(purged, "purged pages under memory pressure");
                purge.end(purged);
            };
            if let Err(error) = Builder::new().name("purge".into()).spawn_scoped(scope, work) {
                tracing::debug!(%error, "no thread for a purge: the next look tries again");
                return supply;
            }
            // If the rest cannot be purged (sealed, or without a descriptor), looking closely
            // would only cost.
            if self.purges().was_in_vain() {
                return Supply::Plenty;
            }
        }
        supply
    }
}
