// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads that the request loop does not wait for: what they do, a caller can hold up for long.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, Scope};

use crate::sys::lock;
use crate::target_thread::fd_budget::FdBudget;

/// How many of them there are.
#[derive(Default)]
pub(super) struct Apart(AtomicUsize);

impl Apart {
    /// At most so many at once. Beyond, where the system starts no more threads, and where the
    /// supervisor may have few descriptors, the loop does the work itself, and is replaced if that
    /// takes long.
    const MOST: usize = 16;
    /// Descriptors that one may hold: its copy of the caller's, and what it looks at.
    const HELD: usize = 2;

    /// Runs this in a thread of its own if there may be one more, or else here; it is told which:
    /// whether it is in a thread that ends with it.
    pub(super) fn run<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        work: impl FnOnce(bool) + Send + 'scope,
    ) {
        // Where no thread is started, what it was to do must not be lost with it.
        let work = Arc::new(Mutex::new(Some(work)));
        if let Some(slot) = self.take_slot() {
            let theirs = Arc::clone(&work);
            let thread = move || {
                let _slot = slot;
                let work = lock(&theirs).take();
                if let Some(work) = work {
                    work(true);
                }
            };
            if Builder::new().name("apart".into()).spawn_scoped(scope, thread).is_ok() {
                return;
            }
        }
        let work = lock(&work).take();
        if let Some(work) = work {
            work(false);
        }
    }

    fn take_slot(&self) -> Option<ThreadSlot<'_>> {
        let slot = ThreadSlot { count: &self.0, _budget: FdBudget::take_some(Self::HELD)? };
        (self.0.fetch_add(1, Ordering::Relaxed) < Self::MOST).then_some(slot)
    }
}

/// One of the threads that there may be.
struct ThreadSlot<'a> {
    count: &'a AtomicUsize,
    _budget: FdBudget,
}

impl Drop for ThreadSlot<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::Apart;

    #[test]
    fn beyond_the_most_work_is_done_by_who_asks() {
        let apart = Apart::default();
        let (barrier, done) = (Barrier::new(Apart::MOST + 1), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..Apart::MOST {
                apart.run(scope, |is_apart| {
                    assert!(is_apart);
                    barrier.wait();
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }
            apart.run(scope, |is_apart| {
                assert!(!is_apart);
                done.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(done.load(Ordering::Relaxed), 1, "the others wait");
            barrier.wait();
        });
        assert_eq!(done.into_inner(), Apart::MOST + 1);
        assert_eq!(apart.0.into_inner(), 0);
    }
}
