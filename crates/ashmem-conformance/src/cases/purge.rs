//! PURGE_ALL_CACHES, and what a purge leaves behind.

use ashmem_core::abi::{IS_UNPINNED, NOT_PURGED, WAS_PURGED};

use crate::case::{Case, equal, refused, skip};
use crate::map::{PAGE, R, RW};
use crate::process::{Child, apart, is_root, unprivileged};

/// One page, as the pin structure counts.
const P: u32 = PAGE as u32;

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "purge.unprivileged",
        &["PURGE-01"],
        "PURGE_ALL_CACHES without CAP_SYS_ADMIN is EPERM and purges nothing",
        |env| {
            let (region, map) = env.mapped(4096)?;
            map.store(0, 1)?;
            region.unpin(0, 0)?;
            unprivileged(|| refused("PURGE_ALL_CACHES", region.purge(), libc::EPERM))?;
            equal("the byte", map.load(0)?, 1)?;
            equal("PIN", region.pin(0, 0)?, NOT_PURGED)
        },
    ),
    Case::new("purge.user-namespace", &["PURGE-01"], "Root of a user namespace of its own is EPERM too", |env| {
        let region = env.open()?;
        unprivileged(|| {
            // SAFETY: unshare touches no memory.
            if unsafe { libc::unshare(libc::CLONE_NEWUSER) } != 0 {
                return skip(format!("no user namespace may be made here: {}", std::io::Error::last_os_error()));
            }
            refused("PURGE_ALL_CACHES", region.purge(), libc::EPERM)
        })
    }),
    Case::new("purge.dropped-capability", &["PURGE-01"], "Root without CAP_SYS_ADMIN is EPERM", |env| {
        if !is_root() {
            return skip("not root: there is no capability to drop");
        }
        let region = env.open()?;
        apart(|| {
            drop_sys_admin()?;
            refused("PURGE_ALL_CACHES", region.purge(), libc::EPERM)
        })
    }),
    Case::new(
        "purge.count",
        &["PURGE-02", "SHR-01"],
        "PURGE_ALL_CACHES returns how many pages were unpinned in all regions",
        |env| {
            env.purge()?;
            let ((one, _a), (two, _b)) = (env.mapped(8 * PAGE as u64)?, env.mapped(3 * PAGE as u64)?);
            one.unpin(P, 4 * P)?;
            one.unpin(7 * P, 0)?;
            two.unpin(0, 0)?;
            equal("PURGE_ALL_CACHES", env.purge()?, 4 + 1 + 3)?;
            equal("PIN of the first", one.pin(0, 0)?, WAS_PURGED)?;
            equal("PIN of the second", two.pin(0, 0)?, WAS_PURGED)
        },
    ),
    Case::new("purge.count-never-touched", &["PURGE-02"], "Pages count whether or not they were ever touched", |env| {
        env.purge()?;
        let (region, _map) = env.mapped(100 * PAGE as u64)?;
        region.unpin(0, 0)?;
        equal("PURGE_ALL_CACHES", env.purge()?, 100)?;
        equal("PIN", region.pin(0, 0)?, WAS_PURGED)
    }),
    Case::new("purge.nothing", &["PURGE-03"], "With nothing unpinned it returns 0", |env| {
        env.purge()?;
        let (region, map) = env.mapped(4096)?;
        map.store(0, 1)?;
        equal("PURGE_ALL_CACHES", env.purge()?, 0)?;
        equal("PIN", region.pin(0, 0)?, NOT_PURGED)?;
        equal("the byte", map.load(0)?, 1)
    }),
    Case::new("purge.twice", &["PURGE-04", "BUG-16"], "The second of two purges returns 0", |env| {
        env.purge()?;
        let (region, _map) = env.mapped(4096)?;
        region.unpin(0, 0)?;
        equal("the first", env.purge()?, 1)?;
        equal("the second", env.purge()?, 0)
    }),
    Case::new(
        "purge.any-descriptor",
        &["PURGE-06", "PURGE-02"],
        "It works on a descriptor without size, and on a region's own",
        |env| {
            env.purge()?;
            let (region, map) = env.mapped(4096)?;
            map.store(0, 1)?;
            region.unpin(0, 0)?;
            equal("on its own", region.purge()?, 1)?;
            equal("the byte", map.load(0)?, 0)
        },
    ),
    Case::new(
        "purge.read-only-descriptor",
        &["PURGE-06", "NUM-20"],
        "It works on a descriptor opened read-only",
        |env| {
            env.purge()?;
            equal("PURGE_ALL_CACHES", env.open_with(libc::O_RDONLY)?.purge()?, 0)
        },
    ),
    Case::new("purge.pin-reports-once", &["PIN-12", "PIN-14"], "PIN reports a purge exactly once", |env| {
        let (region, _map) = env.mapped(4096)?;
        region.unpin(0, 0)?;
        env.purge()?;
        equal("the first PIN", region.pin(0, 0)?, WAS_PURGED)?;
        equal("the second PIN", region.pin(0, 0)?, NOT_PURGED)
    }),
    Case::new(
        "purge.one-of-several",
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
    Case::new("purge.only-the-purged", &["PIN-12", "PIN-22"], "PIN beside a purged range reports nothing", |env| {
        let (region, _map) = env.mapped(4 * PAGE as u64)?;
        region.unpin(P, P)?;
        env.purge()?;
        equal("below", region.pin(0, P)?, NOT_PURGED)?;
        equal("above", region.pin(2 * P, 0)?, NOT_PURGED)?;
        equal("the purged one", region.pin(P, P)?, WAS_PURGED)
    }),
    Case::new("purge.status", &["PIN-15"], "Purged pages count as unpinned", |env| {
        let (region, _map) = env.mapped(4096)?;
        region.unpin(0, 0)?;
        env.purge()?;
        equal("GET_PIN_STATUS", region.status(0, 0)?, IS_UNPINNED)
    }),
    Case::new(
        "purge.adjacent-not-merged",
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
        "purge.mark-spreads-on-merge",
        &["PIN-23", "PIN-21"],
        "A merge with a purged range is purged as a whole: never purged again, reported though its data is there",
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
        "purge.mark-survives-pin-low",
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
        "purge.mark-survives-pin-high",
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
        "purge.mark-survives-pin-inside",
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
    Case::new("purge.split-counts", &["PIN-19", "SHR-01"], "After a split both ends are counted", |env| {
        env.purge()?;
        let (region, map) = env.mapped(7 * PAGE as u64)?;
        map.touch(1)?;
        region.unpin(0, 0)?;
        region.pin(3 * P, P)?;
        equal("PURGE_ALL_CACHES", env.purge()?, 6)?;
        equal("the pages", map.pages()?, vec![0, 0, 0, 1, 0, 0, 0])
    }),
    Case::new(
        "purge.trim-counts",
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
        "purge.merge-counts-once",
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
    Case::new("purge.pinned-stay", &["SHR-10", "PIN-16"], "A purge touches no pinned page", |env| {
        let (region, map) = env.mapped(4 * PAGE as u64)?;
        map.touch(9)?;
        region.unpin(0, 0)?;
        region.pin(P, 2 * P)?;
        env.purge()?;
        equal("the pages", map.pages()?, vec![0, 9, 9, 0])
    }),
    Case::new(
        "purge.every-mapping",
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
    Case::new("purge.size-stays", &["SHR-10"], "A purge leaves the size as it is", |env| {
        let (region, map) = env.mapped(5000)?;
        map.touch(1)?;
        region.unpin(0, 0)?;
        env.purge()?;
        equal("GET_SIZE", region.size()?, 5000)?;
        equal("SEEK_END", region.seek(0, libc::SEEK_END)?, 5000)?;
        map.store(8191, 1)?;
        Ok(())
    }),
    Case::new("purge.locked-pages", &["PIN-28"], "Pages locked into memory are purged as well", |env| {
        let (region, map) = env.mapped(2 * PAGE as u64)?;
        map.lock()?;
        map.touch(1)?;
        region.unpin(0, 0)?;
        env.purge()?;
        equal("the pages", map.pages()?, vec![0, 0])
    }),
    Case::new(
        "purge.write-after",
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
        "purge.again-after-pin",
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
        "purge.unpin-of-purged",
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
    Case::new("purge.private-mappings", &["PIN-31"], "Private mappings keep their bytes", |env| {
        let region = env.region(4096)?;
        let map = region.map(PAGE, RW, libc::MAP_PRIVATE, 0)?;
        map.store(0, 1)?;
        region.unpin(0, 0)?;
        env.purge()?;
        equal("the byte", map.load(0)?, 1)?;
        equal("PIN", region.pin(0, 0)?, WAS_PURGED)
    }),
    Case::new(
        "purge.without-mapping",
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
        "purge.other-process",
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
        "purge.many-ranges",
        &["PURGE-02", "SHR-04", "SHR-06"],
        "Four thousand ranges of forty regions go in one purge",
        |env| {
            env.purge()?;
            let regions: Vec<_> = (0..40).map(|_| env.mapped(200 * PAGE as u64)).collect::<Result<_, _>>()?;
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

/// Takes CAP_SYS_ADMIN out of the calling process's effective set.
fn drop_sys_admin() -> crate::case::Verdict {
    const CAP_SYS_ADMIN: u32 = 21;
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let mut sets = [0_u32; 6];
    // SAFETY: version 3 of the call uses a header of two words and sets of six.
    let got = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) };
    if got != 0 || sets[0] & 1 << CAP_SYS_ADMIN == 0 {
        return skip("this root has no CAP_SYS_ADMIN to drop");
    }
    sets[0] &= !(1 << CAP_SYS_ADMIN);
    // SAFETY: as above.
    let set = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    crate::errno::answer("capset", set)?;
    Ok(())
}
