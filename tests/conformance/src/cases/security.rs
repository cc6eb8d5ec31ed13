// SPDX-License-Identifier: MIT OR Apache-2.0
//! Holes of the past, side doors, and races that must not open them again.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ashmem_core::abi::{IS_PINNED, NOT_PURGED, WAS_PURGED};

use super::run;
use crate::case::{Case, Differs, Env, Provider, Stop, Verdict, equal, failed, holds, refused};
use crate::process::{Child, need_map_files, unprivileged};
use ashmem_test_client::errno::Answer;
use ashmem_test_client::map::{Map, R, RW, RWX, page_size};
use ashmem_test_client::region::{Region, open_path};

const SHARED: i32 = libc::MAP_SHARED;

/// Why the module refuses what the original lets pass through `map_files`.
const SHUT: &str = "the mask is a promise to whoever handed the descriptor out; root's tools can \
                    still open for reading";

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "security.cve-2017-13216",
        &["BUG-01", "SIZE-03"],
        "SET_SIZE racing the first mmap never leaves a size that is not the backing file's",
        |env| many(env, 600, size_race),
    ),
    Case::new(
        "security.first-size-race",
        &["SIZE-01", "SIZE-02"],
        "A SET_SIZE that is a region's first request counts, whatever another thread asks",
        |env| many(env, 400, first_size_race),
    ),
    Case::new(
        "security.name-race",
        &["NAME-07", "BUG-01"],
        "SET_NAME racing the first mmap: maps and GET_NAME agree",
        |env| many(env, 400, name_race),
    )
    .differs(&[run::PATH_IN_MAPS]),
    Case::new(
        "security.first-mmap-race",
        &["MMAP-10"],
        "Two first mmaps at once make one backing file",
        |env| many(env, 400, first_mmap_race),
    ),
    Case::new(
        "security.mask-race-set",
        &["PROT-03"],
        "Of SET_PROT_MASK(read) and SET_PROT_MASK(write) at once exactly one succeeds",
        |env| many(env, 400, mask_race),
    ),
    Case::new(
        "security.mask-race-mmap",
        &["PROT-06", "MMAP-05", "MMAP-08"],
        "Once SET_PROT_MASK(read) has returned, no mmap begun after it is writable",
        |env| {
            for _ in 0..200 {
                let (region, _map) = env.mapped(page_size() as u64)?;
                let reduced = AtomicBool::new(false);
                let (late, mask) = race(
                    || -> Answer<usize> {
                        let mut late = 0;
                        for _ in 0..20 {
                            let before = reduced.load(Ordering::SeqCst);
                            late += usize::from(region.share(page_size()).is_ok() && before);
                        }
                        Ok(late)
                    },
                    || {
                        let answer = region.set_mask(1);
                        reduced.store(true, Ordering::SeqCst);
                        answer
                    },
                );
                mask?;
                equal("writable mmaps after the mask", late?, 0)?;
            }
            Ok(())
        },
    ),
    Case::new(
        "security.pin-race-mmap",
        &["BUG-04", "PIN-01"],
        "UNPIN racing SET_SIZE and the first mmap is EINVAL or right",
        |env| {
            for _ in 0..400 {
                let region = env.region(page_size() as u64)?;
                let (unpinned, mapped) = race(|| region.unpin(0, 0), || region.share(page_size()));
                mapped?;
                match unpinned {
                    Ok(_) => equal("GET_PIN_STATUS", region.status(0, 0)?, 0)?,
                    other => {
                        refused("UNPIN", other, libc::EINVAL)?;
                        equal("GET_PIN_STATUS", region.status(0, 0)?, IS_PINNED)?;
                    }
                }
            }
            Ok(())
        },
    ),
    Case::new(
        "security.purge-race-pin",
        &["SHR-12", "LOCK-05", "OPEN-09"],
        "PIN racing a purge: 'not purged' means the content is all there, and stays",
        |env| {
            env.purge()?;
            let (region, map) = env.mapped(64 * page_size() as u64)?;
            for round in 0..200 {
                map.touch(round as u8 | 1)?;
                region.unpin(0, 0)?;
                let (purged, pinned) = race(|| env.purge(), || region.pin(0, 0));
                purged?;
                let pages = map.pages()?;
                match pinned? {
                    NOT_PURGED => holds(
                        "every page holds what was written",
                        pages.iter().all(|byte| *byte == round as u8 | 1),
                    )?,
                    WAS_PURGED => {
                        holds("every page is zeros", pages.iter().all(|byte| *byte == 0))?
                    }
                    other => failed(format!("PIN answered {other}"))?,
                }
            }
            Ok(())
        },
    ),
    Case::new(
        "security.purge-race-close",
        &["OPEN-09"],
        "The last close racing a purge of its ranges harms nobody",
        |env| {
            env.purge()?;
            for _ in 0..200 {
                let (region, map) = env.mapped(16 * page_size() as u64)?;
                map.touch(1)?;
                region.unpin(0, 0)?;
                let (purged, ()) = race(|| env.purge(), || drop(region));
                purged?;
                let pages = map.pages()?;
                holds(
                    "all pages are purged or none is",
                    pages.iter().all(|byte| *byte == pages[0]),
                )?;
            }
            equal("PURGE_ALL_CACHES", env.purge()?, 0)
        },
    ),
    Case::new(
        "security.pointer-races",
        &["LOCK-01", "BUG-05"],
        "ioctls whose buffer is being unmapped are right or EFAULT, and nothing hangs",
        |env| {
            let (region, _map) = env.mapped(4 * page_size() as u64)?;
            for _ in 0..300 {
                let page = Map::anonymous(page_size(), RW)?;
                let (unmapped, answers) = race(
                    || page.unmap_part(0, page_size()),
                    || {
                        (0..20)
                            .map(|_| {
                                region.ioctl("PIN", ashmem_core::abi::PIN, page.address() as u64)
                            })
                            .collect::<Vec<_>>()
                    },
                );
                unmapped?;
                for answer in answers.into_iter().filter(Result::is_err) {
                    refused("PIN", answer, libc::EFAULT)?;
                }
            }
            Ok(())
        },
    ),
    Case::new(
        "security.cve-2020-0009",
        &["BUG-02", "MMAP-20", "MMAP-08", "MMAP-23", "OPEN-05"],
        "A process that was given a read-only region finds no way to write to it",
        |env| {
            let (region, owner) = env.mapped(2 * page_size() as u64)?;
            owner.touch(9)?;
            region.set_mask(1)?;
            unprivileged(|| every_way_to_write(&region, libc::EINVAL))?;
            equal("the pages", owner.pages()?, vec![9, 9])
        },
    )
    .differs(&[Differs {
        providers: Provider::AGENT,
        what: "A process that was given a read-only region finds no way to write to it; write(2) \
               is EPERM",
        reason: "the mask is held by a seal, and that is how the kernel refuses what is sealed",
        check: Some(|env| {
            let (region, owner) = env.mapped(2 * page_size() as u64)?;
            owner.touch(9)?;
            region.set_mask(1)?;
            unprivileged(|| every_way_to_write(&region, libc::EPERM))?;
            equal("the pages", owner.pages()?, vec![9, 9])
        }),
    }]),
    Case::new(
        "security.unpin-needs-no-right",
        &["BUG-03", "PROT-10"],
        "By design, a holder of a read-only region can still unpin it and so have it zeroed",
        |env| {
            env.purge()?;
            let (region, map) = env.mapped(page_size() as u64)?;
            map.store(0, 1)?;
            region.set_mask(1)?;
            unprivileged(|| Ok(region.unpin(0, 0).map(|_| ())?))?;
            env.purge()?;
            equal("the byte", map.load(0)?, 0)
        },
    )
    .differs(&[run::SEALED_PURGE]),
    Case::new(
        "security.map-files-write-beyond-mask",
        &["MMAP-22"],
        "A mapping re-opened by root through map_files can be written with write(2), whatever the \
         mask",
        |env| {
            need_map_files()?;
            let (_region, owner, map) = read_only(env)?;
            equal("write", reopen(&map, libc::O_RDWR)?.write(b"hole")?, 4)?;
            equal("the bytes", owner.read(0, 4)?, b"hole".to_vec())
        },
    )
    .differs(&[Differs {
        providers: Provider::OURS,
        what: "A mapping whose mask has no write can be re-opened, and neither written nor mapped \
               writable",
        reason: SHUT,
        check: Some(sealed_for_writing),
    }]),
    Case::new(
        "security.map-files-map-beyond-mask",
        &["MMAP-22"],
        "A mapping re-opened by root through map_files can be mapped writable, whatever the mask",
        |env| {
            need_map_files()?;
            let (_region, owner, map) = read_only(env)?;
            reopen(&map, libc::O_RDWR)?.share(page_size())?.store(0, 66)?;
            equal("the byte", owner.load(0)?, 66)
        },
    )
    .differs(&[
        Differs {
            providers: Provider::AGENT,
            what: "A mapping whose mask has no write can be re-opened, and neither written nor \
                   mapped writable",
            reason: SHUT,
            check: Some(sealed_for_writing),
        },
        Differs {
            providers: &[Provider::Module],
            what: "A mapping without write in the mask can be re-opened for reading, and then not \
                   be mapped writable",
            reason: SHUT,
            check: Some(|env| {
                need_map_files()?;
                let (_region, owner, map) = read_only(env)?;
                let again = reopen(&map, libc::O_RDONLY)?;
                refused("a writable mmap", again.share(page_size()), libc::EACCES)?;
                let view = again.map(page_size(), R, SHARED, 0)?;
                refused("mprotect", view.protect(RW), libc::EACCES)?;
                refused("write", again.write(b"x"), libc::EBADF)?;
                equal("the byte", owner.load(0)?, 5)
            }),
        },
    ]),
    Case::new(
        "security.map-files-write-only",
        &["MMAP-22"],
        "A mapping re-opened write-only through map_files can be written, whatever the mask",
        |env| {
            need_map_files()?;
            let (_region, owner, map) = read_only(env)?;
            equal("write", reopen(&map, libc::O_WRONLY)?.write(b"hole")?, 4)?;
            equal("the bytes", owner.read(0, 4)?, b"hole".to_vec())
        },
    )
    .differs(&[Differs {
        providers: Provider::OURS,
        what: "A mapping whose mask has no write can be re-opened, and neither written nor mapped \
               writable",
        reason: SHUT,
        check: Some(sealed_for_writing),
    }]),
    Case::new(
        "security.map-files-read",
        &["MMAP-22"],
        "Root may re-open any mapping for reading through map_files, and map it",
        |env| {
            need_map_files()?;
            let (_region, _owner, map) = read_only(env)?;
            let again = reopen(&map, libc::O_RDONLY)?;
            equal("read", again.read(2)?, vec![5, 0])?;
            equal("the mapped byte", again.map(page_size(), R, SHARED, 0)?.load(0)?, 5)
        },
    ),
    Case::new(
        "security.map-files-within-mask",
        &["MMAP-22"],
        "A mapping with write in the mask can be re-opened, written and mapped writable through \
         map_files",
        |env| {
            need_map_files()?;
            let (_region, map) = env.mapped(page_size() as u64)?;
            let again = reopen(&map, libc::O_RDWR)?;
            equal("write", again.write(b"root")?, 4)?;
            equal("the bytes", map.read(0, 4)?, b"root".to_vec())?;
            again.share(page_size())?.store(0, 1)?;
            equal("the byte", map.load(0)?, 1)
        },
    ),
    Case::new(
        "security.map-files-unprivileged",
        &["MMAP-22"],
        "Without privileges map_files opens nothing",
        |env| {
            let (_region, map) = env.mapped(page_size() as u64)?;
            unprivileged(|| {
                refused("open", try_reopen(&map, libc::O_RDONLY), libc::EPERM).or_else(|_| {
                    // Where the directory itself belongs to somebody else by then, it is the
                    // directory that refuses.
                    refused("open", try_reopen(&map, libc::O_RDONLY), libc::EACCES)
                })
            })
        },
    ),
    Case::new(
        "security.reopen-proc-fd",
        &["OPEN-05", "PROT-03"],
        "/proc/self/fd/N of a read-only region leads to a new region, not to a writable one",
        |env| {
            let (region, map) = env.mapped(page_size() as u64)?;
            map.store(0, 5)?;
            region.set_mask(1)?;
            let again =
                open_path(format!("/proc/self/fd/{}", region.fd()).as_bytes(), libc::O_RDWR)?;
            equal("GET_SIZE", again.size()?, 0)?;
            equal("GET_PROT_MASK", again.mask()?, i64::from(RWX))
        },
    )
    .differs(&[run::FAST_AGAIN]),
];

/// Runs two closures at the same time.
fn race<A: Send, B: Send>(
    one: impl FnOnce() -> A + Send,
    two: impl FnOnce() -> B + Send,
) -> (A, B) {
    let start = Barrier::new(2);
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            start.wait();
            one()
        });
        start.wait();
        let two = two();
        match other.join() {
            Ok(one) => (one, two),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// A race in processes that have not called the device before, two at a time, and then so many
/// times in this one: whoever answers may know more by then.
fn many(env: &Env, rounds: u32, race: fn(&Env) -> Verdict) -> Verdict {
    /// As many as a machine under emulation has time for.
    const PAIRS: u32 = 50;
    for _ in 0..PAIRS {
        for child in [(); 2].map(|()| Child::start(|_| race(env))) {
            child?.join()?;
        }
    }
    for _ in 0..rounds {
        race(env)?;
    }
    Ok(())
}

/// SET_NAME racing the first mmap.
fn name_race(env: &Env) -> Verdict {
    let region = env.region(page_size() as u64)?;
    let (_named, mapped) = race(|| region.set_name(c"raced"), || region.share(page_size()));
    let path = mapped?.line()?.path;
    let want = if region.name()? == b"raced" {
        "/dev/ashmem/raced (deleted)"
    } else {
        "/dev/ashmem (deleted)"
    };
    equal("the path", path.as_str(), want)
}

/// SET_SIZE as the first request of a region, racing GET_SIZE.
fn first_size_race(env: &Env) -> Verdict {
    let pages = 2 * page_size();
    let region = env.open()?;
    let (sized, seen) = race(|| region.set_size(pages as u64), || region.size());
    sized?;
    let seen = seen?;
    holds("it is the old size or the new one", seen == 0 || seen == pages as i64)?;
    equal("GET_SIZE", region.size()?, pages as i64)?;
    region.share(pages)?.touch(1)?;
    Ok(())
}

/// Two first mmaps at once.
fn first_mmap_race(env: &Env) -> Verdict {
    let region = env.region(page_size() as u64)?;
    let (one, two) = race(|| region.share(page_size()), || region.share(page_size()));
    let (one, two) = (one?, two?);
    one.store(0, 7)?;
    equal("the byte through the other", two.load(0)?, 7)?;
    equal("the inodes", one.line()?.inode, two.line()?.inode)
}

/// Two SET_PROT_MASKs that exclude each other.
fn mask_race(env: &Env) -> Verdict {
    let region = env.open()?;
    let (read, write) = race(|| region.set_mask(1), || region.set_mask(2));
    equal("one of them is refused", read.is_ok(), write.is_err())?;
    equal("GET_PROT_MASK", region.mask()?, if read.is_ok() { 1 } else { 2 })
}

/// SET_SIZE racing the first mmap.
fn size_race(env: &Env) -> Verdict {
    let region = env.region(page_size() as u64)?;
    let (grown, mapped) =
        race(|| region.set_size(64 * page_size() as u64), || region.map(page_size(), R, SHARED, 0));
    let _map = mapped?;
    let size = region.size()?;
    let want = if grown.is_ok() { 64 * page_size() as i64 } else { page_size() as i64 };
    equal("GET_SIZE", size, want)?;
    equal("the backing file's size", region.seek(0, libc::SEEK_END)?, size)?;
    holds(
        "the last page can be unpinned",
        region.unpin(size as u32 - page_size() as u32, page_size() as u32).is_ok(),
    )?;
    refused("UNPIN behind it", region.unpin(size as u32, page_size() as u32), libc::EINVAL)
}

/// A region whose mask has no write: itself, a mapping made before, and a read-only one. Its first
/// byte is 5.
fn read_only(env: &Env) -> Result<(Region, Map, Map), Stop> {
    let (region, owner) = env.mapped(page_size() as u64)?;
    owner.store(0, 5)?;
    region.set_mask(1)?;
    let map = region.map(page_size(), R, SHARED, 0)?;
    Ok((region, owner, map))
}

fn try_reopen(map: &Map, flags: i32) -> Answer<Region> {
    let (from, to) = (map.address(), map.address() + map.len().next_multiple_of(page_size()));
    open_path(format!("/proc/self/map_files/{from:x}-{to:x}").as_bytes(), flags)
}

fn reopen(map: &Map, flags: i32) -> Result<Region, Stop> {
    Ok(try_reopen(map, flags)?)
}

/// Each way to get a writable view of a read-only region, tried and refused.
fn every_way_to_write(region: &Region, write: i32) -> Verdict {
    let map = region.map(2 * page_size(), R, SHARED, 0)?;
    refused("mprotect", map.protect(RW), libc::EACCES)?;
    refused("mmap", region.share(page_size()), libc::EPERM)?;
    refused("SET_PROT_MASK", region.set_mask(3), libc::EINVAL)?;
    refused("write", region.write(b"x"), write)?;
    refused("MADV_REMOVE", map.advise(libc::MADV_REMOVE), libc::EACCES)?;
    holds("map_files stays shut", try_reopen(&map, libc::O_RDWR).is_err())?;
    let moved = map.resize(3 * page_size())?;
    refused("mprotect of the moved mapping", moved.protect(RW), libc::EACCES)?;
    // SAFETY: the range is ours and is not touched afterwards.
    let got =
        unsafe { libc::syscall(libc::SYS_remap_file_pages, moved.address(), page_size(), 0, 1, 0) };
    equal("remap_file_pages", got, -1)?;
    moved.leak();
    Ok(())
}

/// Through a re-opened descriptor a region whose mask has no write stays as it is.
fn sealed_for_writing(env: &Env) -> Verdict {
    need_map_files()?;
    let (_region, owner, map) = read_only(env)?;
    for flags in [libc::O_RDWR, libc::O_WRONLY, libc::O_RDWR | libc::O_APPEND] {
        refused("write", reopen(&map, flags)?.write(b"hole"), libc::EPERM)?;
    }
    refused("a writable mmap", reopen(&map, libc::O_RDWR)?.share(page_size()), libc::EPERM)?;
    equal("the byte", owner.load(0)?, 5)
}
