// SPDX-License-Identifier: MIT OR Apache-2.0
//! A user who takes all ranges and regions that he can get.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ashmem_core::abi;

use super::memory;
use super::part::{Gate, Part, SKIPPED, USER, check};
use super::ranges::{scatter, vast};
use crate::module::{NAME, Parameter};
use crate::region::Region;

/// Another user without rights.
const OTHER: u32 = 1001;
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn capped() -> Result<String> {
    const RANGES: usize = 20_000;
    const REGIONS: usize = 300;
    let (Some(_ranges), Some(_regions)) =
        (Parameter::set("max_ranges", RANGES)?, Parameter::set("max_regions", REGIONS)?)
    else {
        return Ok(format!("{SKIPPED}the module has no parameters max_ranges and max_regions"));
    };
    let (ready, go) = (Gate::new()?, Gate::new()?);
    let flooder = Part::start(USER, || {
        let region = vast()?;
        let ranges = scatter(&region, RANGES * 2)?;
        ensure!(ranges == RANGES, "{ranges} ranges were had at a cap of {RANGES}");
        // A PIN that falls into a range and needs one more has to say so, and change nothing.
        ready.open()?;
        go.pass()?;
        drop(region);
        let mut regions = Vec::new();
        while regions.len() < REGIONS * 2 {
            match Region::open() {
                Ok(region) => regions.push(region),
                Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => break,
                Err(error) => return Err(error).context("opening one region more"),
            }
        }
        ensure!(
            regions.len() == REGIONS,
            "{} regions were had at a cap of {REGIONS}",
            regions.len()
        );
        ready.open()?;
        go.pass()?;
        drop(regions);
        one_range().context("after all was closed")?;
        Ok(String::new())
    })?;
    for what in ["ranges", "regions"] {
        if !ready.is_passed(LIMIT)? {
            return flooder.finish(Duration::ZERO);
        }
        for user in [OTHER, 0] {
            Part::run(user, LIMIT, one_range).with_context(|| {
                format!("user {user} while user {USER} is at the cap on {what}")
            })?;
        }
        let refused = Part::run(USER, LIMIT, one_range);
        ensure!(
            refused.is_err(),
            "a second process of user {USER} is not held to the cap on {what}"
        );
        go.open()?;
    }
    flooder.finish(LIMIT).context("the user at the cap")?;
    Ok(format!("ENOMEM came after {RANGES} ranges and after {REGIONS} regions"))
}

/// A region with one unpinned range.
fn one_range() -> Result<String> {
    let region = Region::create(4)?;
    drop(region.map(4, libc::MAP_SHARED)?);
    region.pinning(abi::UNPIN, 0, 1)?;
    Ok(String::new())
}

pub(crate) fn by_default() -> Result<String> {
    /// More than the default leaves to be had.
    const REGIONS: usize = 8;
    const MOST_BYTES: u64 = 192 << 20;
    if !fs::exists(format!("/sys/module/{NAME}/parameters/max_ranges"))? {
        return Ok(format!("{SKIPPED}the module has no parameter max_ranges"));
    }
    let before = memory::of_machine("SUnreclaim:")?;
    let (ready, go) = (Gate::new()?, Gate::new()?);
    let flooder = Part::start(USER, || {
        let (mut regions, mut ranges) = (Vec::new(), 0);
        for _ in 0..REGIONS {
            let region = vast()?;
            let had = scatter(&region, usize::MAX)?;
            regions.push(region);
            ranges += had;
            if had < 1 << 19 {
                ready.open()?;
                go.pass()?;
                return Ok(ranges.to_string());
            }
        }
        anyhow::bail!("{ranges} ranges were had, and no end")
    })?;
    if !ready.is_passed(Duration::from_secs(800))? {
        return flooder.finish(Duration::ZERO);
    }
    let taken = memory::of_machine("SUnreclaim:")?.saturating_sub(before);
    Part::run(OTHER, LIMIT, one_range).with_context(|| format!("user {OTHER} beside the flood"))?;
    go.open()?;
    let ranges = flooder.finish(LIMIT).context("the user who took all ranges")?;
    ensure!(taken < MOST_BYTES, "{ranges} ranges took {} MiB of kernel memory", taken >> 20);
    Ok(format!(
        "ENOMEM came after {ranges} ranges, which took {} MiB of kernel memory",
        taken >> 20
    ))
}

/// Root of a container that has no user namespace takes another user number for each region.
pub(crate) fn many_numbers() -> Result<String> {
    const NUMBERS: u32 = 40_000;
    /// As many as the times are compared of.
    const FEW: u32 = 1000;
    /// What a table that has too few places would put into one of them.
    const STEP: u32 = 1 << 7;
    /// How many times as long the last may take as the first.
    const MOST: u32 = 4;
    // A single processor counts its own instructions. Of several the host's load shows.
    let is_exact = std::thread::available_parallelism()?.get() == 1;
    let owner = Part::start(0, || {
        let mut regions = Vec::new();
        let mut open = |from: u32| -> Result<Duration> {
            let begun = Instant::now();
            for number in from..from + FEW {
                // SAFETY: numbers.
                check(unsafe { libc::syscall(libc::SYS_setresuid, number * STEP, 0, 0) })
                    .context("taking a user number")?;
                regions.push(Region::open()?);
            }
            Ok(begun.elapsed())
        };
        let first = open(0)?;
        for from in (FEW..NUMBERS - FEW).step_by(FEW as usize) {
            open(from)?;
        }
        let last = open(NUMBERS - FEW)?;
        ensure!(
            !is_exact || last < first * MOST,
            "{FEW} opens took {first:.1?}, and {last:.1?} beside {NUMBERS} users"
        );
        let begun = Instant::now();
        drop(regions);
        let closed = begun.elapsed() / (NUMBERS / FEW);
        ensure!(
            !is_exact || closed < first * MOST,
            "{FEW} opens took {first:.1?}, and as many closes {closed:.1?}"
        );
        Ok(format!("{FEW} opens took {first:.1?}, at last {last:.1?}; closes {closed:.1?}"))
    })?;
    owner.finish(Duration::from_secs(240))
}
