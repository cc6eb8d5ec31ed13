// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pool of memfds for future opens.
//!
//! Creating a memfd and a watch takes longer than the notification itself, and is the same for
//! every open, because a new region has no name yet. So housekeeping creates some in advance,
//! beside the loop that answers. A program that opens the device a few times never has any, and a
//! program that stops opening it loses them.

use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use ashmem_core::abi::DEFAULT_NAME;

use crate::regions::memfd;
use crate::sys::lock;
use crate::target_thread::fd_budget::FdBudget;

/// Opens since the last pause after which the pool is filled.
const BURST: u32 = 8;
/// Memfds in the pool at most.
const MOST: usize = 32;
/// With no more than this many left, a refill is requested.
const LOW: usize = MOST / 2;

/// A memfd without a region, and its watch.
pub(crate) struct PooledMemfd {
    pub(crate) memory: OwnedFd,
    pub(crate) inode: u64,
    pub(crate) watch: i32,
    /// Held as long as the descriptor is.
    _budget: FdBudget,
}

/// The pool of one table.
pub(crate) struct MemfdPool {
    /// The table's own instance, which receives the ends of these memfds too.
    inotify: OwnedFd,
    state: Mutex<PoolState>,
    /// A refill was requested, and housekeeping was not woken for it yet.
    refill_wanted: AtomicBool,
}

#[derive(Default)]
struct PoolState {
    ready: Vec<PooledMemfd>,
    /// Opens since the last pause.
    opens: u32,
    /// A refill was requested and is not complete. It stays set if no memfd can be created:
    /// housekeeping tries again at its next tick.
    refill_requested: bool,
}

impl MemfdPool {
    pub(crate) fn new(inotify: OwnedFd) -> Self {
        Self { inotify, state: Mutex::default(), refill_wanted: AtomicBool::new(false) }
    }

    /// Takes a memfd for an open, if there is any.
    pub(crate) fn take(&self) -> Option<PooledMemfd> {
        let mut state = self.state();
        state.opens = state.opens.saturating_add(1);
        let ready = state.ready.pop();
        if state.opens >= BURST && state.ready.len() <= LOW && !state.refill_requested {
            state.refill_requested = true;
            self.refill_wanted.store(true, Ordering::Relaxed);
        }
        ready
    }

    /// Whether housekeeping must be woken for a refill; true once.
    pub(crate) fn refill_wanted(&self) -> bool {
        self.refill_wanted.load(Ordering::Relaxed)
            && self.refill_wanted.swap(false, Ordering::Relaxed)
    }

    /// Completes a requested refill.
    pub(crate) fn fill(&self) {
        if !self.state().refill_requested {
            return;
        }
        let wanted = MOST.saturating_sub(self.state().ready.len());
        for _ in 0..wanted {
            // Without the lock: the loop takes existing ones meanwhile.
            let Some(ready) = self.make() else { return };
            self.state().ready.push(ready);
        }
        self.state().refill_requested = false;
    }

    /// Drops all memfds.
    pub(crate) fn clear(&self) {
        *self.state() = PoolState::default();
    }

    fn make(&self) -> Option<PooledMemfd> {
        let budget = FdBudget::take()?;
        let memory = memfd::create(DEFAULT_NAME).ok()?;
        let (inode, watch) = memfd::watch(&self.inotify, &memory).ok()?;
        Some(PooledMemfd { memory, inode, watch, _budget: budget })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, PoolState> {
        lock(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::{BURST, LOW, MOST, MemfdPool};
    use crate::regions::region::{EmulatedRegion, LastCaller};
    use crate::regions::table::RegionTable;
    use rustix::fs::inotify::{self, CreateFlags};

    fn pool() -> MemfdPool {
        MemfdPool::new(
            inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
                .expect("an inotify instance"),
        )
    }

    #[test]
    fn a_few_opens_have_nothing_made_ahead_and_many_have() {
        let pool = pool();
        for _ in 1..BURST {
            assert!(pool.take().is_none() && !pool.refill_wanted());
        }
        assert!(pool.take().is_none() && pool.refill_wanted());
        assert!(!pool.refill_wanted(), "said once");
        pool.fill();
        for left in (0..MOST).rev() {
            assert!(pool.take().is_some());
            assert_eq!(pool.refill_wanted(), left == LOW, "asked for once, at {LOW}");
        }
        assert!(pool.take().is_none());
        pool.fill();
        pool.clear();
        assert!(pool.take().is_none() && !pool.refill_wanted(), "after a silence it begins anew");
    }

    #[test]
    fn what_was_made_ahead_lives_as_long_as_its_region_and_no_longer() {
        let mut table = RegionTable::new().expect("a table");
        let pool = table.enable_pool().expect("a pool");
        let region = || EmulatedRegion::new(LastCaller { tid: 0, fd: -1 });
        let admitted =
            |table: &mut RegionTable| table.admit_pooled(None, region).expect("room for a watch");
        while !pool.refill_wanted() {
            assert!(admitted(&mut table).is_none());
        }
        pool.fill();
        let (memory, key) = admitted(&mut table).expect("one is ready");
        let inode = rustix::fs::fstat(&memory).expect("a memfd").st_ino;
        assert_eq!((table.find(inode), table.len()), (Some(key), 1));
        // The end of a memfd without a region removes none.
        pool.clear();
        table.reap();
        assert_eq!(table.len(), 1);
        drop(memory);
        table.reap();
        assert_eq!((table.find(inode), table.len()), (None, 0));
    }
}
