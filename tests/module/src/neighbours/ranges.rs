// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many ranges, and many who change them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ashmem_core::abi;

use super::latency::{Watch, stay_on_first_processor};
use super::part::{Gate, Part, USER};
use crate::region::Region;

/// As many pages as UNPIN can name.
const MOST_PAGES: usize = 1 << 20;

/// Unpins every other page of a region, up to `most` ranges or until there is no memory for one;
/// how many there are then.
pub(crate) fn scatter(region: &Region, most: usize) -> Result<usize> {
    for range in 0..most.min(MOST_PAGES / 2) {
        match region.pinning(abi::UNPIN, range * 2, 1) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => return Ok(range),
            Err(error) => return Err(error).with_context(|| format!("UNPIN of range {range}")),
        }
    }
    Ok(most.min(MOST_PAGES / 2))
}

/// A region in which as many ranges fit as can be.
pub(crate) fn vast() -> Result<Region> {
    let region = Region::create(MOST_PAGES)?;
    // One page mapped gives it the memory that ranges can be of.
    drop(region.map(1, libc::MAP_SHARED | libc::MAP_NORESERVE)?);
    Ok(region)
}

pub(crate) fn half_a_million() -> Result<String> {
    const RANGES: usize = 1 << 19;
    const LIMIT: Duration = Duration::from_millis(20);
    // A single processor counts its own instructions. Of several the host's load shows in every
    // wait.
    let is_exact = std::thread::available_parallelism()?.get() == 1;
    stay_on_first_processor()?;
    let phases = [Gate::new()?, Gate::new()?, Gate::new()?];
    let done = Gate::new()?;
    let [unpin, pin, close] = &phases;
    let owner = Part::start(USER, || {
        let timed = |gate: &Gate, work: &mut dyn FnMut() -> Result<()>| -> Result<Duration> {
            gate.pass()?;
            let begun = Instant::now();
            work()?;
            let took = begun.elapsed();
            done.open()?;
            Ok(took)
        };
        let region = vast()?;
        let unpinned = timed(unpin, &mut || {
            ensure!(scatter(&region, RANGES)? == RANGES, "there was no memory for 2^19 ranges");
            Ok(())
        })?;
        let pinned = timed(pin, &mut || Ok(region.pinning(abi::PIN, 0, 0).map(|_| ())?))?;
        ensure!(scatter(&region, RANGES)? == RANGES, "there was no memory for 2^19 ranges again");
        let mut region = Some(region);
        let closed = timed(close, &mut || {
            region.take();
            Ok(())
        })?;
        Ok(format!("UNPIN of all took {unpinned:.1?}, PIN {pinned:.3?}, close {closed:.3?}"))
    })?;
    let mut waits = Vec::new();
    for (gate, what) in phases.iter().zip(["unpinned one by one", "pinned at once", "closed"]) {
        let watch = Watch::begin()?;
        gate.open()?;
        if !done.is_passed(Duration::from_secs(180))? {
            return owner
                .finish(Duration::ZERO)
                .with_context(|| format!("the ranges, as they are {what}"));
        }
        let wait = watch.end()?;
        ensure!(
            !is_exact || wait < LIMIT,
            "somebody waited {wait:.3?} for the processor while the ranges were {what}"
        );
        waits.push(format!("{wait:.3?}"));
    }
    let said = owner.finish(Duration::from_secs(60)).context("the owner of the ranges")?;
    Ok(format!("{said}; the longest wait for the processor meanwhile: {}", waits.join(", ")))
}

/// Processes that pin and unpin without end.
pub(crate) fn endless_unpinners() -> Result<Vec<Part>> {
    const PROCESSES: usize = 4;
    const REGIONS: usize = 16;
    const PAGES: usize = 128;
    let ready = Gate::new()?;
    let mut parts = Vec::new();
    for _ in 0..PROCESSES {
        parts.push(Part::start(USER, || {
            let mut regions = Vec::new();
            for _ in 0..REGIONS {
                let region = Region::create(PAGES)?;
                let mapping = region.map(PAGES, libc::MAP_SHARED)?;
                mapping.fill();
                regions.push((region, mapping));
            }
            ready.open()?;
            loop {
                for (region, _) in &regions {
                    scatter(region, PAGES / 2)?;
                }
                for (region, _) in &regions {
                    region.pinning(abi::PIN, 0, 0)?;
                }
            }
        })?);
    }
    for part in &parts {
        if !ready.is_passed(Duration::from_secs(60))? {
            ensure!(!part.is_at_end()?, "a process that was to unpin without end has ended");
            anyhow::bail!("the processes that unpin without end had not begun after a minute");
        }
    }
    Ok(parts)
}

pub(crate) fn purge_all() -> Result<String> {
    const CALLS: usize = 2;
    const LIMIT: Duration = Duration::from_secs(120);
    /// Much slower than those who unpin: there is always more to purge.
    const NICE: i32 = 19;
    let purge = || {
        // SAFETY: a number.
        unsafe { libc::nice(NICE) };
        Ok(Region::open()?.purge()?.to_string())
    };
    let unpinners = endless_unpinners()?;
    let mut longest = Duration::ZERO;
    let mut counted = Vec::new();
    for _ in 0..CALLS {
        let begun = Instant::now();
        counted
            .push(Part::run(0, LIMIT, purge).context("PURGE_ALL_CACHES beside endless unpinners")?);
        longest = longest.max(begun.elapsed());
    }
    for unpinner in unpinners {
        ensure!(
            !unpinner.is_at_end()?,
            "a process that was to unpin without end has ended: {:?}",
            unpinner.end(LIMIT)?
        );
        unpinner.put_down(Duration::from_secs(10)).context("an endless unpinner")?;
    }
    let killed = killed_at_it()?;
    Ok(format!(
        "the longest call took {longest:.1?}, the answers were {}; {killed}",
        counted.join(", ")
    ))
}

/// Kills a PURGE_ALL_CACHES early in its work.
fn killed_at_it() -> Result<String> {
    const RANGES: usize = 300_000;
    let (unpinned, unpin) = (Gate::new()?, Gate::new()?);
    let owner = Part::start(USER, || {
        let region = vast()?;
        loop {
            // A range that was purged would not be there to be purged again.
            region.pinning(abi::PIN, 0, 0)?;
            scatter(&region, RANGES)?;
            unpinned.open()?;
            unpin.pass()?;
        }
    })?;
    let purge = || -> Result<(Part, Instant)> {
        ensure!(
            unpinned.is_passed(Duration::from_secs(120))?,
            "the ranges were not there after two minutes"
        );
        let begun = Gate::new()?;
        let purging = Part::start(0, || {
            let region = Region::open()?;
            begun.open()?;
            Ok(region.purge()?.to_string())
        })?;
        begun.pass()?;
        Ok((purging, Instant::now()))
    };
    let (whole, begun) = purge()?;
    whole.finish(Duration::from_secs(60)).context("PURGE_ALL_CACHES, left alone")?;
    let whole = begun.elapsed();
    unpin.open()?;
    let (killed, _) = purge()?;
    std::thread::sleep(whole / 10);
    let begun = Instant::now();
    killed.put_down(Duration::from_secs(60)).context("PURGE_ALL_CACHES, killed")?;
    let took = begun.elapsed();
    ensure!(
        took < whole / 2,
        "PURGE_ALL_CACHES takes {whole:.1?}, and killed after a tenth of that {took:.1?} more"
    );
    drop(owner);
    Ok(format!(
        "over {RANGES} ranges it takes {whole:.1?}, killed after a tenth of that {took:.1?} more"
    ))
}
