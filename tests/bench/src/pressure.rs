// SPDX-License-Identifier: MIT OR Apache-2.0
//! How soon unpinned pages are memory for others, once there is no other.

use crate::clock::{Clock, median, ticks};
use crate::system::{self, Device, PAGE};
use anyhow::{Context, Result, bail};
use ashmem_bench::{PRESSED_RANGES, figure};
use std::fs;
use std::io::{Read as _, Write as _};

/// The region, all of which is unpinned.
const REGION: usize = 256 << 20;
/// What of it is wanted beside all that is free: the kernel keeps some memory for itself.
const WANTED: usize = 240 << 20;
/// What is taken between two looks at whether there has been a stall.
const PIECE: usize = 1 << 20;
/// One round is a third of a second and more.
const ROUNDS: usize = 3;

/// From the first stall until somebody else has had 240 of a region's 256 MiB, with the region
/// unpinned as one range and as many. No figure where the kernel rather killed who wanted the
/// memory.
pub(crate) fn given_back(clock: &Clock, device: &Device) -> Result<Vec<(String, f64)>> {
    let mut figures = Vec::new();
    for ranges in PRESSED_RANGES {
        let rounds =
            (0..ROUNDS).map(|_| round(clock, device, ranges)).collect::<Result<Option<Vec<f64>>>>();
        if let Some(mut costs) = rounds.with_context(|| format!("unpinned as {ranges} ranges"))? {
            figures.push((figure::given_back(ranges), median(&mut costs)));
        }
    }
    Ok(figures)
}

/// Fills and unpins a region and has another process take the memory.
fn round(clock: &Clock, device: &Device, ranges: u32) -> Result<Option<f64>> {
    let region = device.open()?;
    region.set_size(REGION)?;
    let mapped = region.map(0, REGION, 0)?;
    system::touch(mapped, REGION);
    let pages = (REGION / PAGE) as u32 / ranges;
    for range in 0..ranges {
        region.unpin_pages(range * pages, pages)?;
    }
    let (mut from, mut to) = std::io::pipe().context("making a pipe")?;
    let taker = system::fork()?;
    if taker == 0 {
        let told = take(clock).and_then(|cost| Ok(to.write_all(&cost.to_ne_bytes())?));
        if let Err(error) = &told {
            eprintln!("taking memory: {error:#}");
        }
        system::end(told.is_err().into());
    }
    drop(to);
    let mut cost = Vec::new();
    from.read_to_end(&mut cost).context("reading how long it took")?;
    let killed = system::wait_for(taker)?;
    system::unmap(mapped, REGION)?;
    region.close()?;
    match <[u8; 8]>::try_from(cost) {
        Ok(cost) => Ok(Some(f64::from_ne_bytes(cost))),
        Err(_) if killed == Some(libc::SIGKILL) => Ok(None),
        Err(_) => bail!(
            "the process that takes memory did not say how long it took (its reason is above)"
        ),
    }
}

/// Takes all that is free and most of the region; how long that took from the first stall on.
fn take(clock: &Clock) -> Result<f64> {
    // If somebody must be killed for memory, then this process.
    fs::write("/proc/self/oom_score_adj", "1000").context("asking to be killed first")?;
    let (before, reclaims) = (system::memory()?, reclaims()?);
    if before.shared < REGION {
        bail!(
            "a full region was to be 256 MiB of shared memory, but all there is are {} bytes",
            before.shared
        );
    }
    // The same however eagerly a driver purges: who has more purged than was wanted gains nothing
    // by it.
    let most = before.free + WANTED;
    let taken = system::reserve_memory(most)?;
    let mut begun = None;
    for at in (0..most).step_by(PIECE) {
        let from = ticks();
        system::touch(taken + at, PIECE.min(most - at));
        // Before the first stall nothing is measured, so the long text may be read.
        if begun.is_none() && self::reclaims()? != reclaims {
            begun = Some(from);
        }
    }
    let end = ticks();
    begun
        .map(|begun| clock.nanoseconds(begun, end))
        .context("more memory was taken than was free, without a stall")
}

/// How often the kernel has begun to look for memory, for whoever wanted some or ahead of time.
fn reclaims() -> Result<u64> {
    let text = fs::read_to_string("/proc/vmstat").context("reading /proc/vmstat")?;
    let mut sum = 0;
    for line in text.lines() {
        if let Some((name, count)) = line.split_once(' ')
            && (name == "pageoutrun" || name.starts_with("allocstall"))
        {
            sum += count.parse::<u64>().with_context(|| format!("/proc/vmstat says {line}"))?;
        }
    }
    Ok(sum)
}
