// SPDX-License-Identifier: MIT OR Apache-2.0
//! The purges for want of memory: one works at a time, so that pages go in their order, and those
//! that a client holds up are passed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use ashmem_proc::process;

use crate::supervisor::crew::PATIENCE;
use crate::sys::lock;

/// The purges that are under way.
#[derive(Default)]
pub(crate) struct Purges {
    running: Mutex<Vec<PurgeThread>>,
    begun: AtomicU64,
    in_vain: AtomicBool,
}

/// One of them, until it ends.
pub(super) struct RunningPurge<'a> {
    purges: &'a Purges,
    number: u64,
}

/// What the thread of one of them was last seen doing.
struct PurgeThread {
    number: u64,
    /// The thread's own number, once it has begun.
    tid: Option<i32>,
    /// The time it had run by then, in clock ticks, and since when it has not run.
    ticks: u64,
    idle_since: Instant,
}

impl PurgeThread {
    /// Whether it waits, for [`PATIENCE`] already: a client holds it up. One that has much to take,
    /// or gets no processor on a busy host, is at work.
    fn is_held_up(&mut self) -> bool {
        // Nobody holds up what has not begun.
        let Some(tid) = self.tid else { return false };
        // Where /proc does not tell, only the time does.
        if let Some(activity) = process::activity(tid)
            && (activity.is_runnable || activity.ticks != self.ticks)
        {
            (self.ticks, self.idle_since) = (activity.ticks, Instant::now());
        }
        self.idle_since.elapsed() >= PATIENCE
    }
}

impl Purges {
    /// Purges at once at most: one works, the others are held up.
    const MOST: usize = 8;

    /// Begins one, unless another is at work, or too many are held up.
    pub(super) fn begin(&self) -> Option<RunningPurge<'_>> {
        let mut running = lock(&self.running);
        if running.len() >= Self::MOST || !running.iter_mut().all(PurgeThread::is_held_up) {
            return None;
        }
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        running.push(PurgeThread { number, tid: None, ticks: 0, idle_since: Instant::now() });
        Some(RunningPurge { purges: self, number })
    }

    /// Whether the last one that ended purged nothing.
    pub(super) fn was_in_vain(&self) -> bool {
        self.in_vain.load(Ordering::Relaxed)
    }
}

impl RunningPurge<'_> {
    /// It is this thread that does it.
    pub(super) fn is_done_here(&self) {
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        if let Some(work) = self.find(&mut lock(&self.purges.running)) {
            work.tid = Some(tid);
        }
    }

    /// It has purged so many pages.
    pub(super) fn end(self, purged: u64) {
        self.purges.in_vain.store(purged == 0, Ordering::Relaxed);
    }

    fn find<'a>(&self, running: &'a mut [PurgeThread]) -> Option<&'a mut PurgeThread> {
        running.iter_mut().find(|work| work.number == self.number)
    }
}

impl Drop for RunningPurge<'_> {
    fn drop(&mut self) {
        lock(&self.purges.running).retain(|work| work.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Whether another begins within some time while one does this.
    fn another_begins_while(
        work: impl FnOnce(mpsc::Receiver<()>) + Send,
        within: Duration,
    ) -> bool {
        let purges = Purges::default();
        let purge = purges.begin().expect("none is under way");
        thread::scope(|scope| {
            let (begun, has_begun) = mpsc::channel();
            let (end, is_over) = mpsc::channel();
            scope.spawn(move || {
                purge.is_done_here();
                begun.send(()).expect("it is waited for");
                work(is_over);
                drop(purge);
            });
            has_begun.recv().expect("it begins");
            let deadline = Instant::now() + within;
            let mut begins = false;
            while !begins && Instant::now() < deadline {
                begins = purges.begin().is_some();
                thread::sleep(Duration::from_millis(20));
            }
            drop(end);
            begins
        })
    }

    #[test]
    fn another_begins_beside_one_that_is_held_up() {
        let waits = |is_over: mpsc::Receiver<()>| {
            let _ = is_over.recv();
        };
        assert!(another_begins_while(waits, Duration::from_secs(60)));
    }

    #[test]
    fn none_begins_beside_one_that_works_however_long() {
        let works = |is_over: mpsc::Receiver<()>| {
            while is_over.try_recv() == Err(mpsc::TryRecvError::Empty) {}
        };
        assert!(!another_begins_while(works, 4 * PATIENCE));
    }
}
