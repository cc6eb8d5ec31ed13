// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernel memory: what the kernel has more of after something was made than before.

use crate::pins;
use crate::system::{self, Device};
use anyhow::{Context, Result};
use ashmem_bench::figure;
use std::time::Duration;
use std::{fs, thread};

const REGIONS: usize = 50_000;
const RANGES: u32 = 100_000;

/// The lines of `/proc/meminfo` that are memory the kernel holds for itself. Pages of regions are
/// not among them.
const KERNEL_LINES: [&str; 5] = ["Slab:", "VmallocUsed:", "PageTables:", "KernelStack:", "Percpu:"];

/// One of 50,000 open, sized, named regions, in bytes.
pub(crate) fn region(device: &Device) -> Result<Vec<(String, f64)>> {
    system::want_descriptors(REGIONS + 100)?;
    // The first of its kind makes what all later ones share.
    device.open()?.close()?;
    let mut regions = Vec::with_capacity(REGIONS);
    let before = in_use()?;
    for number in 0..REGIONS {
        let region = device.open().with_context(|| format!("region {number} of {REGIONS}"))?;
        region.set_name(c"bench region")?;
        region.set_size(system::PAGE)?;
        regions.push(region);
    }
    let after = in_use()?;
    for region in regions {
        region.close()?;
    }
    Ok(vec![(figure::MEMORY_REGION.into(), (after - before) / REGIONS as f64)])
}

/// One of 100,000 unpinned ranges of one region, in bytes.
pub(crate) fn range(device: &Device) -> Result<Vec<(String, f64)>> {
    let region = pins::region(device, 2 * RANGES as usize)?;
    region.unpin(0)?;
    region.pin(0)?;
    let before = in_use()?;
    // In rising order: the original driver's list finds that place at once.
    for range in 0..RANGES {
        region.unpin(2 * range)?;
    }
    let after = in_use()?;
    region.close()?;
    Ok(vec![(figure::MEMORY_RANGE.into(), (after - before) / f64::from(RANGES))])
}

/// What the kernel holds for itself now, in bytes, once nothing is left to be freed.
fn in_use() -> Result<f64> {
    for _ in 0..2 {
        // RCU frees a moment later; a slab's empty pages go when caches are dropped.
        thread::sleep(Duration::from_millis(300));
        write("/proc/sys/vm/drop_caches", "3")?;
    }
    // Each processor's share of the counts is added up here; without this they lag by up to some
    // hundred pages.
    write("/proc/sys/vm/stat_refresh", "1")?;
    let text = fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
    let mut sum = 0.0;
    for line in KERNEL_LINES {
        let value = text.lines().find_map(|text| {
            text.strip_prefix(line)?.split_whitespace().next()?.parse::<f64>().ok()
        });
        sum += value.with_context(|| format!("/proc/meminfo has no line {line}"))? * 1024.0;
    }
    Ok(sum)
}

fn write(path: &str, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {path} (memory is measured as root)"))
}
