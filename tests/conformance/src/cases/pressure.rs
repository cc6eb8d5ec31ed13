// SPDX-License-Identifier: MIT OR Apache-2.0
//! Real memory pressure: the machine's memory is filled until the kernel's shrinker runs.

use ashmem_core::abi::{NOT_PURGED, WAS_PURGED};

use super::memory::meminfo;
use crate::case::{Case, Env, Stop, Verdict, equal, failed, holds, skip};
use crate::process::{Child, need_root};
use ashmem_test_client::map::{Map, PAGE, RW};
use ashmem_test_client::region::Region;

/// One page, as the pin structure counts.
const P: u32 = PAGE as u32;

/// Machines with more memory than this are not filled.
const MOST: u64 = 4 << 30;

/// Ranges in a herd, behind an old range or before a young one. Many, so that the kernel has much
/// to gain from each look at them: it takes batches of 128, and gives up on small numbers before it
/// gives up on the process that fills memory.
const HERD: u32 = 16_000;

/// How many processes may be killed for their memory before the shrinker has gone far enough.
const HOGS: usize = 4;

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "pressure.unpinned-go-pinned-stay",
        &["SHR-01", "SHR-10", "PIN-12", "PIN-16"],
        "Memory runs short: unpinned pages go, pinned pages stay, and PIN tells which",
        |env| {
            let (region, map) = env.mapped(4096 * PAGE as u64)?;
            map.touch(7)?;
            region.unpin(0, 2048 * P)?;
            fill_until(env, || Ok(gone(&region, 0)? && gone(&region, 2047)?))?;
            holds(
                "every pinned page is there",
                map.pages()?[2048..].iter().all(|byte| *byte == 7),
            )?;
            equal("PIN of the pinned half", region.pin(2048 * P, 0)?, NOT_PURGED)?;
            equal("PIN of the other", region.pin(0, 2048 * P)?, WAS_PURGED)?;
            holds(
                "every unpinned page is zeros",
                map.pages()?[..2048].iter().all(|byte| *byte == 0),
            )
        },
    )
    .slow(),
    Case::new(
        "pressure.oldest-first",
        &["SHR-04", "SHR-06"],
        "Of two regions the one unpinned first is purged first",
        |env| {
            let ((old, _a), (young, _b)) = (herd(env)?, herd(env)?);
            fill_until(env, || {
                let begun = gone(&young, 0)?;
                holds(
                    "the older region is empty when the younger one's purge begins",
                    !begun || gone(&old, last())?,
                )?;
                Ok(begun)
            })
        },
    )
    .slow(),
    Case::new(
        "pressure.order-after-pin",
        &["PIN-17", "PIN-18", "PIN-19"],
        "A trimmed range keeps its age; of a split one the low part does and the high part is \
         young",
        |env| {
            let regions: Vec<_> = (0..3).map(|_| touched(env, 8)).collect::<Result<_, _>>()?;
            let [(low, _a), (high, _b), (split, _c)] = &regions[..] else {
                return failed("three regions were made");
            };
            for (region, _) in &regions {
                region.unpin(0, 0)?;
            }
            let (herd, _herd_map) = herd(env)?;
            low.pin(0, 4 * P)?;
            high.pin(4 * P, 0)?;
            split.pin(3 * P, 2 * P)?;
            let _younger = self::herd(env)?;
            fill_until(env, || {
                let (young, herd_begun) = (gone(split, 7)?, gone(&herd, 0)?);
                holds(
                    "the herd is gone before the split range's high part",
                    !young || gone(&herd, last())?,
                )?;
                let old = gone(low, 7)? && gone(high, 0)? && gone(split, 0)?;
                holds(
                    "the trimmed ranges and the low part are gone before the herd",
                    !herd_begun || old,
                )?;
                Ok(young)
            })
        },
    )
    .slow(),
    Case::new(
        "pressure.order-after-unpin",
        &["PIN-20", "PIN-21"],
        "UNPIN inside a range does not make it younger; UNPIN that widens one does",
        |env| {
            let ((inside, _a), (widened, _b)) = (touched(env, 8)?, touched(env, 8)?);
            inside.unpin(0, 0)?;
            widened.unpin(0, 4 * P)?;
            let (herd, _herd_map) = herd(env)?;
            inside.unpin(2 * P, 2 * P)?;
            widened.unpin(3 * P, 3 * P)?;
            let _younger = self::herd(env)?;
            fill_until(env, || {
                let (young, herd_begun) = (gone(&widened, 0)?, gone(&herd, 0)?);
                holds("the herd is gone before the widened range", !young || gone(&herd, last())?)?;
                holds("the old range is gone before the herd", !herd_begun || gone(&inside, 0)?)?;
                Ok(young)
            })
        },
    )
    .slow(),
    Case::new(
        "pressure.purged-is-off-the-list",
        &["PIN-23", "PIN-30"],
        "A range once purged keeps what is written to it later, however short memory gets",
        |env| {
            let (region, map) = touched(env, 16)?;
            region.unpin(0, 0)?;
            env.purge()?;
            map.touch(9)?;
            let (herd, _herd_map) = herd(env)?;
            fill_until(env, || gone(&herd, last() / 2))?;
            holds("the pages are there", map.pages()?.iter().all(|byte| *byte == 9))?;
            equal("PIN", region.pin(0, 0)?, WAS_PURGED)
        },
    )
    .slow(),
    Case::new(
        "pressure.closed-is-off-the-list",
        &["OPEN-08"],
        "After the last close unpinned pages of a living mapping stay, however short memory gets",
        |env| {
            let (region, map) = touched(env, 16)?;
            region.unpin(0, 0)?;
            drop(region);
            let (herd, _herd_map) = herd(env)?;
            fill_until(env, || gone(&herd, last() / 2))?;
            holds("the pages are there", map.pages()?.iter().all(|byte| *byte == 7))
        },
    )
    .slow(),
    Case::new(
        "pressure.while-in-use",
        &["SHR-12", "PIN-29"],
        "A client that pins, checks, writes and unpins while memory runs short never reads a torn \
         page",
        |env| {
            let (region, map) = touched(env, 4096)?;
            region.unpin(0, 0)?;
            let mut purges = 0;
            fill_until(env, || {
                let answer = region.pin(0, 0)?;
                let want = if answer == WAS_PURGED { 0 } else { 7 };
                holds(
                    "PIN's answer is true of every page",
                    map.pages()?.iter().all(|byte| *byte == want),
                )?;
                purges += answer;
                map.touch(7)?;
                region.unpin(0, 0)?;
                Ok(purges > 0)
            })
        },
    )
    .slow(),
    Case::new(
        "pressure.drop-caches",
        &["SHR-11", "SHR-01"],
        "Writing 2 to drop_caches purges a large unpinned area and no pinned page",
        |env| {
            if env.provider.is_agent() {
                return skip("drops the whole host's caches");
            }
            need_root("writing /proc/sys/vm/drop_caches")?;
            let (region, map) = touched(env, 4096)?;
            region.unpin(0, 2048 * P)?;
            std::fs::write("/proc/sys/vm/drop_caches", "2")
                .or_else(|e| skip(format!("drop_caches: {e}")))?;
            equal("PIN of the unpinned half", region.pin(0, 2048 * P)?, WAS_PURGED)?;
            holds("every pinned page is there", map.pages()?[2048..].iter().all(|byte| *byte == 7))
        },
    ),
    Case::new(
        "pressure.memory-comes-back",
        &["SHR-10"],
        "A purge gives the memory back: Shmem in /proc/meminfo falls by the pages purged",
        |env| {
            env.purge()?;
            let pages = 8192;
            let (region, _map) = touched(env, pages)?;
            region.unpin(0, 0)?;
            let before = meminfo("Shmem")?;
            equal("PURGE_ALL_CACHES", env.purge()?, i64::from(pages))?;
            let freed = before.saturating_sub(meminfo("Shmem")?);
            // The counter is kept per CPU and may lag by some pages.
            holds(
                "at least nine tenths are free again",
                freed >= u64::from(pages) * PAGE as u64 / 10 * 9,
            )
        },
    ),
    Case::new(
        "pressure.debugfs-scan",
        &["SHR-01", "SHR-04", "SHR-06"],
        "The shrinker's debugfs files count every page and purge the oldest range for a scan of 1",
        |env| {
            need_root("reading debugfs")?;
            env.purge()?;
            let shrinker = debugfs_shrinker()?;
            let (region, _map) = touched(env, 8)?;
            for page in [6, 1, 3] {
                region.unpin(page * P, P)?;
            }
            let count = std::fs::read_to_string(format!("{shrinker}/count"))
                .or_else(|e| skip(format!("count: {e}")))?;
            equal("the count", count.split_whitespace().nth(1), Some("3"))?;
            for (page, left) in [(6, vec![1, 3]), (1, vec![3]), (3, vec![])] {
                std::fs::write(format!("{shrinker}/scan"), "0 0 1")
                    .or_else(|e| failed(format!("scan: {e}")))?;
                holds(&format!("page {page} is gone"), gone(&region, page)?)?;
                for other in left {
                    holds(&format!("page {other} is still there"), !gone(&region, other)?)?;
                }
            }
            Ok(())
        },
    ),
];

/// A region of so many pages, each touched with 7.
fn touched(env: &Env, pages: u32) -> Result<(Region, Map), Stop> {
    let (region, map) = env.mapped(u64::from(pages) * PAGE as u64)?;
    map.touch(7)?;
    Ok((region, map))
}

/// A region of [`HERD`] pages, each a range of its own (touching ranges are not merged), unpinned
/// in ascending order.
fn herd(env: &Env) -> Result<(Region, Map), Stop> {
    let (region, map) = touched(env, HERD)?;
    for page in 0..HERD {
        region.unpin(page * P, P)?;
    }
    Ok((region, map))
}

/// The herd's youngest page.
const fn last() -> u32 {
    HERD - 1
}

/// Whether a page is a hole, seen without touching it.
fn gone(region: &Region, page: u32) -> Result<bool, Stop> {
    let at = i64::from(page) * PAGE as i64;
    Ok(region.seek(at, libc::SEEK_HOLE)? == at)
}

/// Takes the machine's memory, step by step, until `done`.
fn fill_until(env: &Env, mut done: impl FnMut() -> Result<bool, Stop>) -> Verdict {
    // What a machine of the tests has in its environment.
    if env.provider.is_agent() && std::env::var_os("ASHMEM_KERNEL").is_none() {
        return skip("would fill the whole host's memory");
    }
    let total = meminfo("MemTotal")?;
    if total > MOST {
        return skip(format!(
            "would fill {} MiB of memory; the most is {} MiB",
            total >> 20,
            MOST >> 20
        ));
    }
    for _ in 0..HOGS {
        if fill(&hog()?, &mut done)? {
            return Ok(());
        }
    }
    failed(format!("memory ran out {HOGS} times before the unpinned pages were purged"))
}

/// Feeds a hog until `done` (true) or until the kernel has killed it (false).
fn fill(hog: &Child, done: &mut impl FnMut() -> Result<bool, Stop>) -> Result<bool, Stop> {
    while !done()? {
        // Large steps while there is plenty, small ones when it matters.
        let spare = meminfo("MemAvailable")?.saturating_sub(96 << 20) / 4;
        let step = (spare as usize).clamp(1 << 20, 256 << 20) & !(PAGE - 1);
        let sent = hog.link.send(&step.to_ne_bytes()).is_ok();
        // The order of a purge is only seen while it goes on: look all the time that the hog is at
        // work.
        while sent && !hog.link.ready(1)? {
            if done()? {
                return Ok(true);
            }
        }
        if !sent || hog.link.wait().is_err() {
            return done();
        }
    }
    Ok(true)
}

/// A process that takes as much memory as it is told to, and is the one to be killed for it.
fn hog() -> Result<Child, Stop> {
    Ok(Child::start(|link| {
        // Without the right to raise it the hog is still the largest process, which is what counts.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        loop {
            let order = link.receive()?;
            let Ok(size) = order.try_into().map(usize::from_ne_bytes) else { return Ok(()) };
            let memory = Map::anonymous(size, RW)?;
            // Kernels without huge pages refuse; with them the filling is many times faster.
            let _ = memory.advise(libc::MADV_HUGEPAGE);
            memory.touch(1)?;
            memory.leak();
            link.go()?;
        }
    })?)
}

/// Whether a shrinker of this name in debugfs, where a number follows each name, is the driver's
/// for the whole machine, and not the module's for memory cgroups.
fn is_the_machines(name: &str) -> bool {
    name.strip_prefix("android-ashmem-").is_some_and(|number| number.parse::<u32>().is_ok())
}

/// The folder of this device's shrinker below debugfs.
fn debugfs_shrinker() -> Result<String, Stop> {
    const DEBUG: &str = "/sys/kernel/debug";
    let folder = format!("{DEBUG}/shrinker");
    if !std::path::Path::new(&folder).exists() {
        // SAFETY: the strings are NUL terminated; mounting twice is harmless.
        unsafe {
            libc::mount(
                c"none".as_ptr(),
                c"/sys/kernel/debug".as_ptr(),
                c"debugfs".as_ptr(),
                0,
                std::ptr::null(),
            )
        };
    }
    let entries = std::fs::read_dir(&folder)
        .or_else(|_| skip("this kernel has no shrinker debugfs (CONFIG_SHRINKER_DEBUG, 6.0)"))?;
    let name = entries
        .flatten()
        .map(|entry| entry.file_name())
        .find(|name| is_the_machines(&name.to_string_lossy()));
    name.map_or_else(
        || failed("no shrinker in debugfs is called ashmem"),
        |name| Ok(format!("{folder}/{}", name.to_string_lossy())),
    )
}
