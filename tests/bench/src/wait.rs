// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long others wait while one request is at 2^19 ranges of a region: for the processor, and for
//! the region.
//!
//! On one processor whose kernel reschedules of its own accord alone (PREEMPT_VOLUNTARY), a thread
//! that goes before all others gets the processor at the first place to reschedule after its timer
//! has fired. Neither interrupts nor preemption can be off for longer than it waited at most, and
//! neither can a lock be held.

use crate::pins;
use crate::system::{self, Answer, Descriptor, Device};
use anyhow::{Result, bail};
use ashmem_bench::{MANY_RANGES, WAITS, figure};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// How often somebody wants the processor, and how often the region.
const PERIOD: Duration = Duration::from_micros(100);
/// Real-time priorities: who only looks at the clock goes before who also wants the region.
const FIRST: i32 = 51;
const SECOND: i32 = 50;
/// How long nothing is done, to see what the measure itself takes.
const NOTHING: Duration = Duration::from_millis(20);

/// The longest waits of each request over all ranges, in the order of [`WAITS`].
pub(crate) fn over_many_ranges(device: &Device) -> Result<Vec<(String, f64)>> {
    let mut figures = Vec::new();
    for what in WAITS {
        let region = pins::region(device, 2 * MANY_RANGES as usize)?;
        let waits = match what {
            "nothing" => watched(Some(region), || {
                let until = system::monotonic()? + NOTHING;
                while system::monotonic()? < until {}
                Ok(())
            })?,
            "pin" => {
                scatter(region)?;
                watched(Some(region), || region.pin_all().map(drop))?
            }
            "unpin" => {
                scatter(region)?;
                watched(Some(region), || region.unpin_all())?
            }
            "close" => {
                scatter(region)?;
                // A region that is being closed is nobody else's to wait for.
                watched(None, || region.close())?
            }
            other => bail!("nobody knows how to wait for {other}"),
        };
        if what != "close" {
            region.close()?;
        }
        figures.push((figure::wait_for_processor(what), waits.processor.as_nanos() as f64));
        if let Some(wait) = waits.region {
            figures.push((figure::wait_for_region(what), wait.as_nanos() as f64));
        }
    }
    Ok(figures)
}

/// Unpins every second page, in rising order: the original driver's list finds that place at once.
fn scatter(region: Descriptor) -> Answer<()> {
    (0..MANY_RANGES).try_for_each(|range| region.unpin(2 * range))
}

struct Waits {
    processor: Duration,
    region: Option<Duration>,
}

/// Does `work` while others look at the clock, and want the region if there is one.
fn watched(region: Option<Descriptor>, work: impl FnOnce() -> Answer<()>) -> Result<Waits> {
    let over = AtomicBool::new(false);
    let ready = Barrier::new(if region.is_some() { 3 } else { 2 });
    let (over, ready) = (&over, &ready);
    thread::scope(|scope| {
        let clock = scope.spawn(move || longest(FIRST, over, ready, || Ok(())));
        let wanting = region.map(|region| {
            scope.spawn(move || longest(SECOND, over, ready, || region.set_prot_all()))
        });
        ready.wait();
        let worked = work();
        over.store(true, Ordering::Relaxed);
        let join = |thread: thread::ScopedJoinHandle<'_, Answer<Duration>>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        let (processor, region) = (join(clock)?, wanting.map(join).transpose()?);
        worked?;
        Ok(Waits { processor, region })
    })
}

/// The longest time from a timer's end until this thread has done what it `wants`.
fn longest(
    priority: i32,
    over: &AtomicBool,
    ready: &Barrier,
    wants: impl Fn() -> Answer<()>,
) -> Answer<Duration> {
    let placed = system::go_first(priority);
    ready.wait();
    placed?;
    let mut longest = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let wake = system::monotonic()? + PERIOD;
        system::sleep_until(wake)?;
        wants()?;
        longest = longest.max(system::monotonic()?.saturating_sub(wake));
    }
    Ok(longest)
}
