// SPDX-License-Identifier: MIT OR Apache-2.0
//! The purges for want of memory: one works at a time, and those that a client holds up are passed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::supervisor::takeover::PATIENCE;
use crate::sys::lock;

/// The purges that are under way.
#[derive(Default)]
pub(crate) struct Purges {
    running: Mutex<Vec<Instant>>,
    in_vain: AtomicBool,
}

/// One of them, until it ends.
pub(super) struct RunningPurge<'a> {
    purges: &'a Purges,
    began: Instant,
}

impl Purges {
    /// Purges at once at most: one works, the others are held up.
    const MOST: usize = 8;

    /// Begins one, unless another is at work, which it is until it has taken [`PATIENCE`], or too
    /// many are held up.
    pub(super) fn begin(&self) -> Option<RunningPurge<'_>> {
        let mut running = lock(&self.running);
        let is_held_up = |began: &Instant| began.elapsed() >= PATIENCE;
        if running.len() >= Self::MOST || !running.iter().all(is_held_up) {
            return None;
        }
        let began = Instant::now();
        running.push(began);
        Some(RunningPurge { purges: self, began })
    }

    /// Whether the last one that ended purged nothing.
    pub(super) fn was_in_vain(&self) -> bool {
        self.in_vain.load(Ordering::Relaxed)
    }
}

impl RunningPurge<'_> {
    /// It has purged so many pages.
    pub(super) fn end(self, purged: u64) {
        self.purges.in_vain.store(purged == 0, Ordering::Relaxed);
    }
}

impl Drop for RunningPurge<'_> {
    fn drop(&mut self) {
        let mut running = lock(&self.purges.running);
        if let Some(at) = running.iter().position(|began| *began == self.began) {
            running.swap_remove(at);
        }
    }
}
