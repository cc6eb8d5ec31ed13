// SPDX-License-Identifier: MIT OR Apache-2.0
//! The regions that are being worked at.
//!
//! A request may take several steps at a region: its state is changed in the table, and then its
//! memory is sized, or another one put in its place. Two requests about the same region are
//! therefore decided one after the other, whatever loops or threads they are decided in. A caller
//! can hold up the first of them, and then the second waits no longer than [`LONGEST`]: by then it
//! is decided beside it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::ids::Key;
use crate::sys::lock;

/// The longest time that a request waits for another one about its region.
const LONGEST: Duration = Duration::from_millis(250);

/// By region: the request's number, and since when it works at it.
type Busy = HashMap<Key, (u64, Instant)>;

/// All of one tenant.
#[derive(Default)]
pub(crate) struct BusyRegions {
    busy: Mutex<Busy>,
    freed: Condvar,
    /// How many wait for that.
    waiting: AtomicUsize,
    /// How many requests have ended their work at a region.
    ended: AtomicU64,
}

/// One of them, until this is dropped.
pub(crate) struct BusyRegion {
    all: Arc<BusyRegions>,
    key: Key,
    request: u64,
}

impl BusyRegions {
    /// How many requests have ended their work. What was read of a region since the same number
    /// was told, and before this request began to work at it, is still so.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    /// Begins to work at this region, if nobody else does.
    pub(crate) fn try_begin(self: &Arc<Self>, key: Key, request: u64) -> Option<BusyRegion> {
        let busy = lock(&self.busy);
        left_to_wait(&busy, key).is_none().then(|| self.enter(busy, key, request))
    }

    /// Begins to work at this region once nobody else does, or does for long.
    pub(crate) fn begin(self: &Arc<Self>, key: Key, request: u64) -> BusyRegion {
        let mut busy = lock(&self.busy);
        while let Some(left) = left_to_wait(&busy, key) {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            busy = self.freed.wait_timeout(busy, left).unwrap_or_else(PoisonError::into_inner).0;
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        self.enter(busy, key, request)
    }

    fn enter(
        self: &Arc<Self>,
        mut busy: MutexGuard<'_, Busy>,
        key: Key,
        request: u64,
    ) -> BusyRegion {
        // Beside one that is held up nobody waits again, however many are.
        let since = busy.get(&key).map_or_else(Instant::now, |(_, since)| *since);
        busy.insert(key, (request, since));
        BusyRegion { all: Arc::clone(self), key, request }
    }
}

impl BusyRegion {
    /// The region.
    pub(crate) fn key(&self) -> Key {
        self.key
    }
}

/// How long to wait for whoever works at this region; `None`: no longer.
fn left_to_wait(busy: &Busy, key: Key) -> Option<Duration> {
    let (_, since) = busy.get(&key)?;
    LONGEST.checked_sub(since.elapsed()).filter(|left| !left.is_zero())
}

impl Drop for BusyRegion {
    fn drop(&mut self) {
        let mut busy = lock(&self.all.busy);
        self.all.ended.fetch_add(1, Ordering::Release);
        // Another request may have stopped waiting for this one, and be at work.
        if busy.get(&self.key).is_some_and(|(request, _)| *request == self.request) {
            busy.remove(&self.key);
            // Counted under the lock. Where nobody waits, it costs no call.
            if self.all.waiting.load(Ordering::Relaxed) > 0 {
                self.all.freed.notify_all();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn another_request_about_a_region_waits_and_one_about_another_does_not() {
        let all = Arc::new(BusyRegions::default());
        let first = all.try_begin(1, 10).expect("nobody works at it");
        assert!(all.try_begin(1, 11).is_none());
        let ended = all.ended();
        assert!(all.try_begin(2, 20).is_some(), "another region");
        assert_ne!(all.ended(), ended, "work at some region has ended");
        thread::scope(|scope| {
            scope.spawn(|| all.begin(1, 11));
            drop(first);
        });
        assert!(lock(&all.busy).is_empty());
    }

    #[test]
    fn who_is_held_up_holds_the_next_one_up_for_a_moment_and_the_others_not_at_all() {
        let all = Arc::new(BusyRegions::default());
        let begun = Instant::now();
        let stuck = all.begin(1, 10);
        let next = all.begin(1, 11);
        assert!(begun.elapsed() >= LONGEST);
        let third = all.try_begin(1, 12).expect("nobody waits again");
        drop(third);
        let next = {
            drop(next);
            all.try_begin(1, 13).expect("it is free")
        };
        drop(stuck);
        assert!(!lock(&all.busy).is_empty(), "the next one is at work");
        drop(next);
        assert!(lock(&all.busy).is_empty());
    }
}
