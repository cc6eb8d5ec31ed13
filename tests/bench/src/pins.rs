// SPDX-License-Identifier: MIT OR Apache-2.0
//! UNPIN and PIN of one page, among few and many other unpinned ranges, by one thread and by two.

use crate::clock::{Clock, median};
use crate::system::{self, Answer, Descriptor, Device, PAGE};
use ashmem_bench::{RANGES, figure};
use std::ops::Range;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

const BATCHES: usize = 9;
const PAIRS: usize = 100;

/// Each round of the threads' contest takes about this long for one thread alone.
const ROUND: Duration = Duration::from_millis(60);
const ROUNDS: usize = 25;

/// A mapped region of so many pages, none of them in memory: pinning asks nobody for them.
pub(crate) fn region(device: &Device, pages: usize) -> Answer<Descriptor> {
    let region = device.open()?;
    region.set_size(pages * PAGE)?;
    // Mapped once, a region keeps its backing file. Without a reservation, for the guest has less
    // memory than some need.
    let at = region.map(0, PAGE, libc::MAP_NORESERVE)?;
    system::unmap(at, PAGE)?;
    Ok(region)
}

/// One pair among 0 to 16,384 other ranges: every second page is unpinned, the pages measured lie
/// between, at places that look random and are the same in each run.
pub(crate) fn among_others(clock: &Clock, device: &Device) -> Answer<Vec<(String, f64)>> {
    let most = RANGES.into_iter().max().unwrap_or(0);
    let region = region(device, 2 * most as usize + 2)?;
    let mut costs = Vec::new();
    let mut unpinned = 0;
    for ranges in RANGES {
        // In rising order: the original driver's list finds that place at once.
        for range in unpinned..ranges {
            region.unpin(2 * range)?;
        }
        unpinned = ranges;
        let mut places = Places(0x2545_f491_4f6c_dd1d);
        let cost = clock.measure(BATCHES, PAIRS, || {
            let page = 2 * places.below(ranges.max(1)) + 1;
            region.unpin(page)?;
            region.pin(page).map(drop)
        })?;
        costs.push((figure::pins(ranges), cost));
    }
    region.close()?;
    Ok(costs)
}

/// Two threads on two regions against one on one, and the same contest with a system call that
/// shares nothing.
pub(crate) fn threads(clock: &Clock, device: &Device) -> Answer<Vec<(String, f64)>> {
    let regions = [region(device, 1)?, region(device, 1)?];
    let pair = |region: Descriptor| {
        region.unpin(0)?;
        region.pin(0).map(drop)
    };
    let alone = clock.measure(BATCHES, PAIRS, || pair(regions[0]))?;
    let machine = contest(|_| system::nothing())?;
    let pins = contest(|thread| pair(regions[thread]))?;
    for region in regions {
        region.close()?;
    }
    Ok(vec![
        (figure::THREADS_ALONE.into(), alone),
        (figure::THREADS_MACHINE.into(), machine),
        (figure::THREADS.into(), pins),
    ])
}

/// How much more two threads do than one: the median over rounds, in each of which either runs
/// alone, on its own processor, and then both together.
fn contest(body: impl Fn(usize) -> Answer<()> + Sync) -> Answer<f64> {
    let mut count = 1000;
    let count = loop {
        let elapsed = race(0..1, count, &body)?;
        if elapsed >= ROUND / 10 {
            break (count as f64 * ROUND.as_secs_f64() / elapsed.as_secs_f64()) as usize;
        }
        count *= 4;
    };
    let mut gains = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let alone = race(0..1, count, &body)? + race(1..2, count, &body)?;
        let together = race(0..2, count, &body)?;
        gains.push(alone.as_secs_f64() / together.as_secs_f64());
    }
    Ok(median(&mut gains))
}

/// The time until each of the threads has done its `count`, each on a processor of its own.
fn race(
    threads: Range<usize>,
    count: usize,
    body: &(impl Fn(usize) -> Answer<()> + Sync),
) -> Answer<Duration> {
    let start = Barrier::new(threads.len() + 1);
    thread::scope(|scope| {
        let runners: Vec<_> = threads
            .map(|thread| {
                let start = &start;
                scope.spawn(move || {
                    let placed = system::stay_on(thread);
                    start.wait();
                    let from = Instant::now();
                    placed?;
                    for _ in 0..count {
                        body(thread)?;
                    }
                    Ok((from, Instant::now()))
                })
            })
            .collect();
        start.wait();
        let mut times = Vec::with_capacity(runners.len());
        for runner in runners {
            times.push(runner.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        let first = times.iter().map(|(from, _)| *from).min();
        let last = times.iter().map(|(_, to)| *to).max();
        Ok(first.zip(last).map_or(Duration::ZERO, |(first, last)| last - first))
    })
}

/// Marsaglia's xorshift64: places that look random and are the same each time.
struct Places(u64);

impl Places {
    #[inline(always)]
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (((self.0 >> 32) * u64::from(bound)) >> 32) as u32
    }
}
