// SPDX-License-Identifier: MIT OR Apache-2.0
//! Swap on compressed memory, and a user who has huge pages made of a region's pages while memory
//! is short.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ashmem_core::abi;

use super::memory::{self, Taken};
use super::part::{Part, SKIPPED, USER, check};
use crate::region::{Mapping, PAGE, Region};

const DEVICE: &str = "/dev/zram0";
const SWAP_BYTES: u64 = 192 << 20;

/// A huge page, in small ones.
const BLOCK: usize = 512;
const BLOCKS: usize = 16;
/// How long it goes on.
const TIME: Duration = Duration::from_secs(15);
/// When it should long be over.
const LIMIT: Duration = Duration::from_secs(150);

/// `linux/mman.h`; the C library of the oldest host does not have it.
const MADV_COLLAPSE: i32 = 25;

pub(crate) fn under_pressure() -> Result<String> {
    if !fs::exists(DEVICE)? {
        return Ok(format!(
            "{SKIPPED}there is no {DEVICE}: `cargo xtask vm --extra-module zram` loads what makes \
             it"
        ));
    }
    let swap = Swap::on()?;
    let collapsing = Part::start(USER, collapse)?;
    let mut hogs = 0;
    // Memory stays short while it works.
    while !collapsing.is_at_end()? && hogs < 50 {
        let hog = memory::hog()?;
        hogs += 1;
        for _ in 0..100 {
            if hog.is_at_end()? || collapsing.is_at_end()? {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    let said = collapsing.finish(LIMIT).context("the process that collapses pages")?;
    swap.off()?;
    Ok(if said.starts_with(SKIPPED) { said } else { format!("{said}; {hogs} hogs beside it") })
}

fn collapse() -> Result<String> {
    let region = Region::create(BLOCKS * BLOCK)?;
    let reserved = Taken::reserve((BLOCKS + 1) * BLOCK * PAGE)?;
    let first = reserved.at(0);
    let aligned = first.wrapping_add(first.align_offset(BLOCK * PAGE));
    let mapping = region.map_at(aligned, BLOCKS * BLOCK, libc::MAP_SHARED | libc::MAP_FIXED)?;
    mapping.fill();
    let begun = Instant::now();
    let (mut made, mut refused) = (0, [0_u32; 256]);
    while begun.elapsed() < TIME {
        for block in 0..BLOCKS {
            // Every other one can be purged.
            if block % 2 == 1 {
                region.pinning(abi::PIN, block * BLOCK, BLOCK)?;
                touch(&mapping, block);
                for page in (0..BLOCK).step_by(8) {
                    region.pinning(abi::UNPIN, block * BLOCK + page, 8)?;
                }
            }
            // What is swapped out has to come back before it becomes huge.
            let swapped = advise(&mapping, block, BLOCK / 4, libc::MADV_PAGEOUT);
            ensure!(swapped.is_ok(), "MADV_PAGEOUT gave {swapped:?}");
            match advise(&mapping, block, BLOCK, MADV_COLLAPSE) {
                Ok(()) => made += 1,
                Err(error)
                    if made == 0
                        && error.raw_os_error() == Some(libc::EINVAL)
                        && !knows_collapse() =>
                {
                    return Ok(format!("{SKIPPED}this kernel has no MADV_COLLAPSE"));
                }
                Err(error) => refused[error.raw_os_error().unwrap_or_default() as usize & 255] += 1,
            }
        }
    }
    region.pinning(abi::PIN, 0, 0)?;
    for block in (0..BLOCKS).step_by(2) {
        let bytes = mapping
            .bytes()
            .get(block * BLOCK * PAGE..(block + 1) * BLOCK * PAGE)
            .unwrap_or_default();
        let is_whole =
            (0..BLOCK).all(|page| bytes[page * PAGE] == ((block * BLOCK + page) as u8 | 1));
        ensure!(is_whole, "pinned block {block} lost what was in it");
    }
    let refused: Vec<_> = refused
        .iter()
        .enumerate()
        .filter(|(_, times)| **times > 0)
        .map(|(errno, times)| {
            format!("{times} times {}", io::Error::from_raw_os_error(errno as i32))
        })
        .collect();
    Ok(format!(
        "{made} huge pages made, refused: {}",
        if refused.is_empty() { "none".into() } else { refused.join(", ") }
    ))
}

fn touch(mapping: &Mapping, block: usize) {
    for page in block * BLOCK..(block + 1) * BLOCK {
        // SAFETY: inside the mapping, which is writable and lives.
        unsafe { mapping.start().cast_mut().add(page * PAGE).write_volatile(page as u8 | 1) }
    }
}

fn advise(mapping: &Mapping, block: usize, pages: usize, advice: i32) -> io::Result<()> {
    let start = mapping.start().wrapping_add(block * BLOCK * PAGE);
    // SAFETY: a part of a shared mapping; neither advice changes what it holds.
    check(unsafe { libc::madvise(start.cast_mut().cast(), pages * PAGE, advice) }.into())
        .map(|_| ())
}

/// Whether the kernel knows the advice at all: of an empty piece every advice that it knows is a
/// success.
fn knows_collapse() -> bool {
    // SAFETY: nothing is advised.
    unsafe { libc::madvise(PAGE as *mut libc::c_void, 0, MADV_COLLAPSE) == 0 }
}

/// Swap on compressed memory.
struct Swap(());

impl Swap {
    fn on() -> Result<Self> {
        fs::write("/sys/block/zram0/disksize", SWAP_BYTES.to_string())
            .context("giving zram0 its size")?;
        let mut header = vec![0_u8; PAGE];
        let last_page = (SWAP_BYTES as usize / PAGE - 1) as u32;
        // The version, the last page, and the mark at the page's end.
        header[1024..1028].copy_from_slice(&1_u32.to_ne_bytes());
        header[1028..1032].copy_from_slice(&last_page.to_ne_bytes());
        header[PAGE - 10..].copy_from_slice(b"SWAPSPACE2");
        let mut device = File::options().write(true).open(DEVICE).context("opening zram0")?;
        device.write_all_at(&header, 0).context("writing the swap header")?;
        device.flush()?;
        device.sync_all().context("writing the swap header")?;
        drop(device);
        // SAFETY: a path and flags.
        check(unsafe { libc::swapon(c"/dev/zram0".as_ptr(), 0) }.into()).context("swapon")?;
        Ok(Self(()))
    }

    fn off(self) -> Result<()> {
        // SAFETY: a path.
        check(unsafe { libc::swapoff(c"/dev/zram0".as_ptr()) }.into()).context("swapoff")?;
        fs::write("/sys/block/zram0/reset", "1").context("giving zram0's memory back")
    }
}
