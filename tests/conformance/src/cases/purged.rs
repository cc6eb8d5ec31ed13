// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a purge leaves behind: marks, zeros, and pages that are off the list.

use ashmem_core::abi::{IS_UNPINNED, NOT_PURGED, WAS_PURGED};

use crate::case::{Case, equal};
use crate::process::Child;
use ashmem_test_client::map::{PAGE, R, RW};

/// One page, as the pin structure counts.
const P: u32 = PAGE as u32;

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "purged.pin-reports-once",
        &["PIN-12", "PIN-14"],
        "PIN reports a purge exactly once",
        |env| {
            let (region, _map) = env.mapped(4096)?;
            region.unpin(0, 0)?;
            env.purge()?;
            equal("the first PIN", region.pin(0, 0)?, WAS_PURGED)?;
            equal("the second PIN", region.pin(0, 0)?, NOT_PURGED)
        },
    ),
    Case::new(
        "purged.one-of-several",
        &["PIN-13"],
        "PIN over several ranges, one of them purged, reports the purge",
        |env| {
            let (region, map) = env.mapped(6 * PAGE as u64)?;
            map.touch(1)?;
            region.unpin(2 * P, P)?;
            env.purge()?;
            region.unpin(0, P)?;
            region.unpin(4 * P, P)?;
            equal("PIN", region.pin(0, 0)?, WAS_PURGED)?;
            equal("the pages", map.pages()?, vec![1, 1, 0, 1, 1, 1])
        },
    ),
    Case::new(
        "purged.only-the-purged",
        &["PIN-12", "PIN-22"],
        "PIN beside a purged range reports nothing",
        |env| {
            let (region, _map) = env.mapped(4 * PAGE as u64)?;
            region.unpin(P, P)?;
            env.purge()?;
            equal("below", region.pin(0, P)?, NOT_PURGED)?;
            equal("above", region.pin(2 * P, 0)?, NOT_PURGED)?;
            equal("the purged one", region.pin(P, P)?, WAS_PURGED)
        },
    ),
    Case::new("purged.status", &["PIN-15"], "Purged pages count as unpinned", |env| {
        let (region, _map) = env.mapped(4096)?;
        region.unpin(0, 0)?;
        env.purge()?;
        equal("GET_PIN_STATUS", region.status(0, 0)?, IS_UNPINNED)
    }),
    Case::new(
        "purged.adjacent-not-merged",
        &["PIN-22"],
        "Touching ranges are not merged: each keeps its own mark",
        |env| {
            let (region, _map) = env.mapped(2 * PAGE as u64)?;
            region.unpin(0, P)?;
            env.purge()?;
            region.unpin(P, P)?;
            equal("the fresh one", region.pin(P, P)?, NOT_PURGED)?;
            equal("the purged one", region.pin(0, P)?, WAS_PURGED)
        },
    ),
    Case::new(
        "purged.mark-spreads-on-merge",
        &["PIN-23", "PIN-21"],
        "A merge with a purged range is purged as a whole: never purged again, reported though its \
         data is there",
        |env| {
            env.purge()?;
            let (region, map) = env.mapped(2 * PAGE as u64)?;
            map.touch(1)?;
            region.unpin(0, P)?;
            equal("the first purge", env.purge()?, 1)?;
            region.unpin(0, 2 * P)?;
            equal("the second purge", env.purge()?, 0)?;
            equal("the pages", map.pages()?, vec![0, 1])?;
            equal("PIN of the page that kept its data", region.pin(P, P)?, WAS_PURGED)?;
            equal("PIN of the other", region.pin(0, P)?, WAS_PURGED)
        },
    ),
    Case::new(
        "purged.mark-survives-pin-low",
        &["PIN-17"],
        "Pinning the low part of a purged range leaves the rest purged",
        |env| {
            let (region, _map) = env.mapped(4 * PAGE as u64)?;
            region.unpin(0, 0)?;
            env.purge()?;
            equal("PIN low", region.pin(0, 2 * P)?, WAS_PURGED)?;
            equal("PIN the rest", region.pin(2 * P, 0)?, WAS_PURGED)?;
            equal("PIN all", region.pin(0, 0)?, NOT_PURGED)
        },
    ),
    Case::new(
        "purged.mark-survives-pin-high",
        &["PIN-18"],
        "Pinning the high part of a purged range leaves the rest purged",
        |env| {
            let (region, _map) = env.mapped(4 * PAGE as u64)?;
            region.unpin(0, 0)?;
            env.purge()?;
            equal("PIN high", region.pin(2 * P, 0)?, WAS_PURGED)?;
            equal("PIN the rest", region.pin(0, 2 * P)?, WAS_PURGED)
        },
    ),
    Case::new(
        "purged.mark-survives-pin-inside",
        &["PIN-19"],
        "Pinning the middle of a purged range leaves both ends purged",
        |env| {
            let (region, _map) = env.mapped(5 * PAGE as u64)?;
            region.unpin(0, 0)?;
            env.purge()?;
            equal("PIN the middle", region.pin(2 * P, P)?, WAS_PURGED)?;
            equal("PIN the low end", region.pin(0, 2 * P)?, WAS_PURGED)?;
            equal("PIN the high end", region.pin(3 * P, 2 * P)?, WAS_PURGED)?;
            equal("PIN all", region.pin(0, 0)?, NOT_PURGED)
        },
    ),
    Case::new(
        "purged.split-counts",
        &["PIN-19", "SHR-01"],
        "After a split both ends are counted",
        |env| {
            env.purge()?;
            let (region, map) = env.mapped(7 * PAGE as u64)?;
            map.touch(1)?;
            region.unpin(0, 0)?;
            region.pin(3 * P, P)?;
            equal("PURGE_ALL_CACHES", env.purge()?, 6)?;
            equal("the pages", map.pages()?, vec![0, 0, 0, 1, 0, 0, 0])
        },
    ),
    Case::new(
        "purged.trim-counts",
        &["PIN-17", "PIN-18", "SHR-01"],
        "After pinning either end the rest is counted",
        |env| {
            env.purge()?;
            let (region, map) = env.mapped(8 * PAGE as u64)?;
            map.touch(1)?;
            region.unpin(0, 0)?;
            region.pin(0, 2 * P)?;
            region.pin(7 * P, P)?;
            equal("PURGE_ALL_CACHES", env.purge()?, 5)?;
            equal("the pages", map.pages()?, vec![1, 1, 0, 0, 0, 0, 0, 1])
        },
    ),
    Case::new(
        "purged.merge-counts-once",
        &["PIN-20", "PIN-21", "SHR-01"],
        "Pages unpinned twice are counted once",
        |env| {
            env.purge()?;
            let (region, _map) = env.mapped(8 * PAGE as u64)?;
            region.unpin(P, 2 * P)?;
            region.unpin(2 * P, 3 * P)?;
            region.unpin(2 * P, P)?;
            equal("PURGE_ALL_CACHES", env.purge()?, 4)
        },
    ),
    Case::new(
        "purged.pinned-stay",
        &["SHR-10", "PIN-16"],
        "A purge touches no pinned page",
        |env| {
            let (region, map) = env.mapped(4 * PAGE as u64)?;
            map.touch(9)?;
            region.unpin(0, 0)?;
            region.pin(P, 2 * P)?;
            env.purge()?;
            equal("the pages", map.pages()?, vec![0, 9, 9, 0])
        },
    ),
    Case::new(
        "purged.every-mapping",
        &["SHR-10"],
        "A purged page is zeros through every mapping, in other processes too",
        |env| {
            let (region, map) = env.mapped(4096)?;
            let second = region.map(PAGE, R, libc::MAP_SHARED, 0)?;
            map.store(5, 1)?;
            equal("the byte before", second.load(5)?, 1)?;
            let child = Child::start(|link| {
                equal("the byte before", map.load(5)?, 1)?;
                link.go()?;
                link.wait()?;
                equal("the byte after", map.load(5)?, 0)
            })?;
            child.link.wait()?;
            region.unpin(0, 0)?;
            env.purge()?;
            equal("the byte", (map.load(5)?, second.load(5)?), (0, 0))?;
            child.link.go()?;
            child.join()
        },
    ),
    Case::new("purged.size-stays", &["SHR-10"], "A purge leaves the size as it is", |env| {
        let (region, map) = env.mapped(5000)?;
        map.touch(1)?;
        region.unpin(0, 0)?;
        env.purge()?;
        equal("GET_SIZE", region.size()?, 5000)?;
        equal("SEEK_END", region.seek(0, libc::SEEK_END)?, 5000)?;
        map.store(8191, 1)?;
        Ok(())
    }),
    Case::new(
        "purged.locked-pages",
        &["PIN-28"],
        "Pages locked into memory are purged as well",
        |env| {
            let (region, map) = env.mapped(2 * PAGE as u64)?;
            map.lock()?;
            map.touch(1)?;
            region.unpin(0, 0)?;
            env.purge()?;
            equal("the pages", map.pages()?, vec![0, 0])
        },
    ),
    Case::new(
        "purged.write-after",
        &["PIN-30"],
        "What is written to a purged page stays, is not purged again, and PIN still reports",
        |env| {
            env.purge()?;
            let (region, map) = env.mapped(4096)?;
            map.store(0, 1)?;
            region.unpin(0, 0)?;
            env.purge()?;
            map.store(0, 2)?;
            equal("the second purge", env.purge()?, 0)?;
            equal("the byte", map.load(0)?, 2)?;
            equal("PIN", region.pin(0, 0)?, WAS_PURGED)?;
            equal("the byte", map.load(0)?, 2)
        },
    ),
    Case::new(
        "purged.again-after-pin",
        &["PIN-30", "PIN-14"],
        "After PIN and UNPIN a page can be purged again",
        |env| {
            env.purge()?;
            let (region, map) = env.mapped(4096)?;
            for round in 1..4 {
                map.store(0, round)?;
                region.unpin(0, 0)?;
                equal("PURGE_ALL_CACHES", env.purge()?, 1)?;
                equal("the byte", map.load(0)?, 0)?;
                equal("PIN", region.pin(0, 0)?, WAS_PURGED)?;
            }
            Ok(())
        },
    ),
    Case::new(
        "purged.unpin-of-purged",
        &["PIN-20", "PIN-23"],
        "UNPIN inside a purged range changes nothing: it is not purged again",
        |env| {
            env.purge()?;
            let (region, map) = env.mapped(2 * PAGE as u64)?;
            region.unpin(0, 0)?;
            env.purge()?;
            map.touch(3)?;
            equal("UNPIN", region.unpin(0, P)?, 0)?;
            equal("the purge", env.purge()?, 0)?;
            equal("the pages", map.pages()?, vec![3, 3])
        },
    ),
    Case::new("purged.private-mappings", &["PIN-31"], "Private mappings keep their bytes", |env| {
        let region = env.region(4096)?;
        let map = region.map(PAGE, RW, libc::MAP_PRIVATE, 0)?;
        map.store(0, 1)?;
        region.unpin(0, 0)?;
        env.purge()?;
        equal("the byte", map.load(0)?, 1)?;
        equal("PIN", region.pin(0, 0)?, WAS_PURGED)
    }),
    Case::new(
        "purged.without-mapping",
        &["PIN-28", "SHR-10"],
        "Pages of a region that nobody maps any more are purged",
        |env| {
            let (region, map) = env.mapped(4096)?;
            map.store(0, 1)?;
            drop(map);
            region.unpin(0, 0)?;
            env.purge()?;
            equal("the byte", region.share(PAGE)?.load(0)?, 0)
        },
    ),
    Case::new(
        "purged.other-process",
        &["PURGE-02", "OPEN-04"],
        "A purge reaches regions of other processes; they see it by PIN",
        |env| {
            let (region, map) = env.mapped(4096)?;
            map.store(0, 1)?;
            region.unpin(0, 0)?;
            let child = Child::start(|_| env.purge().map(|_| ()))?;
            child.join()?;
            equal("the byte", map.load(0)?, 0)?;
            equal("PIN", region.pin(0, 0)?, WAS_PURGED)
        },
    ),
    Case::new(
        "purged.many-ranges",
        &["PURGE-02", "SHR-04", "SHR-06"],
        "Four thousand ranges of forty regions go in one purge",
        |env| {
            env.purge()?;
            let regions: Vec<_> =
                (0..40).map(|_| env.mapped(200 * PAGE as u64)).collect::<Result<_, _>>()?;
            for (region, map) in &regions {
                map.touch(1)?;
                for page in (0..200).step_by(2) {
                    region.unpin(page * P, P)?;
                }
            }
            equal("PURGE_ALL_CACHES", env.purge()?, 4000)?;
            for (_, map) in &regions {
                let board: Vec<u8> = (0..200).map(|page| page % 2).collect();
                equal("the pages", map.pages()?, board)?;
            }
            Ok(())
        },
    ),
];
