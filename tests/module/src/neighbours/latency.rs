// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long somebody who may go before all others waits for the processor.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::part::{Gate, Part, check};

/// A process that wakes each millisecond, before all others on its processor.
pub(crate) struct Watch {
    part: Part,
    over: &'static Gate,
}

/// Keeps this process, and what it starts, to the first processor.
pub(crate) fn stay_on_first_processor() -> Result<()> {
    let mask = 1_u64;
    // SAFETY: a mask of 64 processors.
    check(unsafe {
        libc::syscall(libc::SYS_sched_setaffinity, 0, size_of::<u64>(), &raw const mask)
    })
    .context("sched_setaffinity")?;
    Ok(())
}

impl Watch {
    /// Begins to look, on the processors that this process may use.
    pub(crate) fn begin() -> Result<Self> {
        const TICK: Duration = Duration::from_millis(1);
        let over: &'static Gate = Box::leak(Box::new(Gate::new()?));
        let ready = Gate::new()?;
        let part = Part::start(0, || {
            let first = libc::sched_param { sched_priority: 50 };
            // SAFETY: a structure that the kernel reads, and flags.
            let results = unsafe {
                [libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const first), libc::mlockall(3)]
            };
            anyhow::ensure!(results == [0; 2], "going before all others gave {results:?}");
            ready.open()?;
            let mut longest = Duration::ZERO;
            loop {
                let asleep = Instant::now();
                if over.is_passed(TICK)? {
                    return Ok(longest.as_micros().to_string());
                }
                longest = longest.max(asleep.elapsed().saturating_sub(TICK));
            }
        })?;
        ready.pass()?;
        Ok(Self { part, over })
    }

    /// Stops; the longest it was kept waiting.
    pub(crate) fn end(self) -> Result<Duration> {
        self.over.open()?;
        let said = self
            .part
            .finish(Duration::from_secs(60))
            .context("the process that looks at the clock")?;
        Ok(Duration::from_micros(said.parse().with_context(|| format!("it said {said}"))?))
    }
}
