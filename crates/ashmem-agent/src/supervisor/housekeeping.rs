// SPDX-License-Identifier: MIT OR Apache-2.0
//! Housekeeping thread: relieves request loops that are held up ([`crate::supervisor::crew`]),
//! purges under memory pressure, refills the memfd pool, sleeps when idle.

use std::thread::{Builder, Scope};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::supervisor::Supervisor;
use crate::supervisor::crew::{PATIENCE, Relief};
use crate::supervisor::pressure::{Pressure, Supply, is_group_scarce, is_reason, share_of};

/// How often available memory is read while it is scarce and pages can be purged.
const CLOSELY: Duration = Duration::from_millis(20);
/// Ticks of [`PATIENCE`] without a request after which caches are dropped.
const QUIET: u32 = 4;

impl Supervisor {
    /// Runs until the supervisor ends.
    pub(crate) fn housekeep<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        let pressure = Pressure::watch();
        let (mut seen, mut quiet) = (self.crew().begun(), 0);
        let (mut supply, mut last_tick) = (Supply::Plenty, Instant::now());
        while !self.has_ended() {
            let mut polled = vec![PollFd::from_borrowed_fd(self.activity(), PollFlags::IN)];
            polled.extend(
                pressure.trigger().map(|trigger| PollFd::from_borrowed_fd(trigger, PollFlags::PRI)),
            );
            let rests = !self.trace_sink().tell_losses() && quiet >= QUIET && self.rest(seen);
            let ends = if rests { self.ends_of_patched() } else { Vec::new() };
            if rests {
                polled.push(PollFd::from_borrowed_fd(self.inode_events(), PollFlags::IN));
                polled.extend(ends.iter().map(|end| PollFd::new(end, PollFlags::IN)));
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
            self.tenant().release();
            let begun = self.crew().begun();
            if begun != seen {
                (seen, quiet) = (begun, 0);
            } else if ticked && self.relieve_loops(scope, begun) {
                tracing::debug!("requests are stuck: another loop receives");
            } else if ticked && self.crew().is_receiving() {
                quiet += 1;
            }
        }
    }

    /// Puts in another loop if all are held up, and have been since there were `begun` requests.
    /// Returns whether it did.
    fn relieve_loops<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, begun: u64) -> bool {
        match self.crew().relieve(begun) {
            Relief::NotNeeded => false,
            Relief::Given => true,
            Relief::WantsLoop => {
                let started = self.start_loop(scope, None);
                if let Err(error) = &started {
                    tracing::warn!(%error, "requests are stuck, and no other loop can be started");
                }
                started.is_ok()
            }
        }
    }

    /// Reaps regions, and starts a purge if memory is short, or scarce where the kernel has `told`
    /// of stalls. Returns the supply that was found, which decides how soon to look again.
    fn relieve<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, told: bool) -> Supply {
        let purgeable = self.tenant().reclaimable();
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
