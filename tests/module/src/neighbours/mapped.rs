// SPDX-License-Identifier: MIT OR Apache-2.0
//! Regions that are mapped many thousands of times. To take a page out of one, the kernel looks at
//! each of its mappings; whoever has such regions makes their purge slow, and must not make that of
//! others' wait for it.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ashmem_core::abi;

use super::memory;
use super::part::{Gate, Part, USER};
use super::ranges::scatter;
use crate::region::{Mapping, PAGE, Region};

/// Pages that are unpinned after the hostile region's, and have to be given back.
const OTHERS: usize = (64 << 20) / PAGE;

/// How often the hostile region is mapped, and how many ranges of one page each it has.
const MAPPINGS: usize = 50_000;
const RANGES: usize = 1 << 17;

/// Has a hog want the memory of a region that was unpinned after the hostile one's ranges were.
pub(crate) fn sparse() -> Result<String> {
    let owner = start()?;
    let region = Region::create(OTHERS)?;
    let mapping = region.map(OTHERS, libc::MAP_SHARED)?;
    mapping.fill();
    for page in (0..OTHERS).step_by(16) {
        region.pinning(abi::UNPIN, page, 16)?;
    }
    let (begun, mut left) = (Instant::now(), OTHERS);
    let is_gone = memory::press_until(4, || {
        left = resident(&region)?;
        Ok(left < OTHERS / 16)
    })?;
    let took = begun.elapsed();
    ensure!(is_gone, "{left} of {OTHERS} pages are still there after {took:.1?}");
    let answer = region.pinning(abi::PIN, 0, 0)?;
    ensure!(answer == abi::WAS_PURGED, "PIN answered {answer}");
    owner.put_down(Duration::from_secs(120)).context("the owner of the region mapped often")?;
    Ok(format!("others' 64 MiB were given back in {took:.1?}"))
}

/// A process that has the hostile region.
fn start() -> Result<Part> {
    let ready = Gate::new()?;
    let owner = Part::start(USER, || {
        let _kept = make()?;
        ready.open()?;
        // Until it is put down.
        loop {
            std::thread::park();
        }
    })?;
    ensure!(
        ready.is_passed(Duration::from_secs(120))?,
        "the region that is mapped often: {:?}",
        owner.end(Duration::ZERO)?
    );
    Ok(owner)
}

fn make() -> Result<(Region, Vec<Mapping>)> {
    let pages = RANGES * 2;
    let region = Region::create(pages)?;
    let mut mappings = Vec::new();
    for number in 0..MAPPINGS {
        let mapping = region
            .map(pages, libc::MAP_SHARED | libc::MAP_NORESERVE)
            .with_context(|| format!("mapping number {number}"))?;
        mappings.push(mapping);
    }
    ensure!(scatter(&region, RANGES)? == RANGES, "there was no memory for ranges");
    Ok((region, mappings))
}

/// Pages that a region has in memory.
fn resident(region: &Region) -> Result<usize> {
    let text = fs::read_to_string(region.fdinfo()).context("reading fdinfo")?;
    text.lines()
        .find_map(|line| line.strip_prefix("resident:")?.trim().parse().ok())
        .with_context(|| format!("fdinfo says nothing of memory: {text}"))
}
