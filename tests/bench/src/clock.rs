// SPDX-License-Identifier: MIT OR Apache-2.0
//! The clock: the processor's own counter, whose reading is one instruction and enters no kernel.
//!
//! Under QEMU's `-icount shift=0` it counts instructions, each one nanosecond; the kernel's own
//! clock may be as coarse as its source's 279 ns there. Elsewhere its rate is measured against the
//! kernel's clock.

use std::time::{Duration, Instant};

/// How long the counter is held against the kernel's clock.
const CALIBRATION: Duration = Duration::from_millis(50);
/// A tick this near to a whole number of nanoseconds is that many: the kernel's clock, itself
/// calibrated, is no more exact.
const EXACT: f64 = 0.002;

/// The counter and what one of its ticks is worth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    nanoseconds_per_tick: f64,
    /// What reading it twice in a row shows.
    own_ticks: u64,
}

impl Clock {
    /// Measures the counter itself.
    pub(crate) fn calibrate() -> Self {
        let (from, started) = (ticks(), Instant::now());
        while started.elapsed() < CALIBRATION {}
        let (to, elapsed) = (ticks(), started.elapsed());
        let rate = elapsed.as_nanos() as f64 / to.wrapping_sub(from) as f64;
        let whole = rate.round();
        let is_whole = whole >= 1.0 && (rate / whole - 1.0).abs() < EXACT;
        let nanoseconds_per_tick = if is_whole { whole } else { rate };
        let own_ticks =
            (0..1000).map(|_| (ticks(), ticks())).map(|(from, to)| to.wrapping_sub(from)).min();
        Self { nanoseconds_per_tick, own_ticks: own_ticks.unwrap_or(0) }
    }

    /// What one tick is worth.
    pub(crate) fn nanoseconds_per_tick(&self) -> f64 {
        self.nanoseconds_per_tick
    }

    /// The time between two readings in nanoseconds, without what the reading takes.
    pub(crate) fn nanoseconds(&self, from: u64, to: u64) -> f64 {
        to.wrapping_sub(from).saturating_sub(self.own_ticks) as f64 * self.nanoseconds_per_tick
    }

    /// The usual time of one `body`: the median over `batches` of the mean over `each` runs in a
    /// row.
    ///
    /// The mean takes in what the kernel puts off to later (freeing by RCU, say); the median leaves
    /// out a batch that was interrupted by something else.
    pub(crate) fn measure<E>(
        &self,
        batches: usize,
        each: usize,
        mut body: impl FnMut() -> Result<(), E>,
    ) -> Result<f64, E> {
        let mut means = Vec::with_capacity(batches);
        // The first batch fills caches and is not counted.
        for batch in 0..=batches {
            let from = ticks();
            for _ in 0..each {
                body()?;
            }
            let to = ticks();
            if batch > 0 {
                means.push(self.nanoseconds(from, to) / each as f64);
            }
        }
        Ok(median(&mut means))
    }
}

/// The middle of the values; they come back sorted.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

/// Reads the counter.
#[inline(always)]
pub(crate) fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86_64 processor has the instruction, and it touches no memory.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(target_arch = "aarch64")]
    {
        let value: u64;
        // SAFETY: Linux lets programs read the virtual counter; reading it touches no memory.
        unsafe { core::arch::asm!("isb", "mrs {}, cntvct_el0", out(reg) value, options(nostack)) };
        value
    }
}
