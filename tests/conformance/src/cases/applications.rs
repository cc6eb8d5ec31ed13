// SPDX-License-Identifier: MIT OR Apache-2.0
//! What applications and other systems do with the device, call by call.

use std::os::unix::fs::MetadataExt;

use ashmem_core::abi::{IS_PINNED, IS_UNPINNED, NOT_PURGED, WAS_PURGED};

use super::run;
use crate::case::{Case, Stop, Verdict, equal, failed, holds, refused};
use crate::process::Child;
use ashmem_test_client::fault::SEGV;
use ashmem_test_client::map::{Map, NONE, PAGE, R, RW, RWX};
use ashmem_test_client::region::Region;

/// One page, as the pin structure counts.
const P: u32 = PAGE as u32;

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "applications.skia",
        &["CLI-06", "MMAP-12", "PIN-12", "PIN-14", "PIN-31"],
        "Skia's purgeable block: no name, mask read and write, MAP_PRIVATE, PIN says purged \
         exactly once",
        |env| {
            let region = env.region(8 * PAGE as u64)?;
            region.set_mask(RW as u64)?;
            let map = region.map(8 * PAGE, RW, libc::MAP_PRIVATE, 0)?;
            map.touch(5)?;
            region.unpin(0, 0)?;
            env.purge()?;
            equal("the first PIN", region.pin(0, 0)?, WAS_PURGED)?;
            equal("the second PIN", region.pin(0, 0)?, NOT_PURGED)
        },
    ),
    Case::new(
        "applications.chromium-st-dev",
        &["CLI-07", "OPEN-06"],
        "Chromium: the descriptor's st_dev is that of stat(the node)",
        |env| {
            let node =
                std::fs::metadata(&env.device).or_else(|error| failed(format!("stat: {error}")))?;
            equal("st_dev", env.open_with(libc::O_RDWR)?.stat()?.st_dev, node.dev())
        },
    ),
    Case::new(
        "applications.chromium-read-only",
        &["CLI-07", "PROT-02", "MMAP-05", "MMAP-08"],
        "Chromium: GET_PROT_MASK, SET without write, mprotect NONE and back to read",
        |env| {
            let (region, map) = env.mapped(2 * PAGE as u64)?;
            map.touch(4)?;
            let mask = region.mask()?;
            region.set_mask(mask as u64 & !(libc::PROT_WRITE as u64))?;
            refused("a writable mmap", region.share(PAGE), libc::EPERM)?;
            let reader = region.map(2 * PAGE, R, libc::MAP_SHARED, 0)?;
            reader.protect(NONE)?;
            equal("a load", reader.load(0), Err(SEGV))?;
            reader.protect(R)?;
            equal("the pages", reader.pages()?, vec![4, 4])
        },
    ),
    Case::new(
        "applications.chromium-discardable",
        &["CLI-07", "PIN-04", "PIN-15", "PIN-19"],
        "Chromium's discardable memory: chunks of a large region locked and unlocked by range",
        |env| {
            let (region, map) = env.mapped(64 * PAGE as u64)?;
            map.touch(1)?;
            region.unpin(0, 0)?;
            equal("lock of a chunk", region.pin(8 * P, 8 * P)?, NOT_PURGED)?;
            env.purge()?;
            equal("the chunk", map.pages()?[8..16].to_vec(), vec![1; 8])?;
            equal("lock of another", region.pin(32 * P, 4 * P)?, WAS_PURGED)?;
            equal("status of the chunk", region.status(8 * P, 8 * P)?, IS_PINNED)?;
            region.unpin(8 * P, 8 * P)?;
            equal("status after unlock", region.status(8 * P, P)?, IS_UNPINNED)
        },
    ),
    Case::new(
        "applications.pixelflinger",
        &["CLI-08", "MMAP-12", "OPEN-07"],
        "pixelflinger: private, read, write and execute, descriptor closed at once, code run from \
         it",
        |env| {
            let region = env.region(PAGE as u64)?;
            let map = region.map(PAGE, RWX, libc::MAP_PRIVATE, 0)?;
            drop(region);
            run_code(&map)
        },
    ),
    Case::new(
        "applications.shared-code",
        &["MMAP-11", "PROT-01"],
        "Code written through one shared mapping runs from another, read and execute",
        |env| {
            let (region, writer) = env.mapped(PAGE as u64)?;
            writer.write(0, &RETURN_42)?;
            let code = region.map(PAGE, R | libc::PROT_EXEC, libc::MAP_SHARED, 0)?;
            equal("what the code returns", call(&code), 42)
        },
    ),
    Case::new(
        "applications.mmkv",
        &["CLI-09", "NAME-05", "OPEN-04"],
        "MMKV: short name, GET_NAME and GET_SIZE on the received descriptor, shared content",
        |env| {
            let region = env.open()?;
            region.set_name(c"mmkv.default")?;
            region.set_size(PAGE as u64)?;
            let map = region.share(PAGE)?;
            let child = Child::start(|link| {
                let got = link.receive_fd()?;
                equal("GET_NAME", got.name()?, b"mmkv.default".to_vec())?;
                let size = got.size()? as usize;
                Ok(got.share(size)?.write(0, b"key=value")?)
            })?;
            child.link.send_fd(region.fd())?;
            child.join()?;
            equal("the content", map.read(0, 9)?, b"key=value".to_vec())
        },
    ),
    Case::new(
        "applications.mmkv-trim",
        &["CLI-09", "UNS-02", "SIZE-03"],
        "MMKV finds that a mapped region cannot grow",
        |env| {
            let (region, _map) = env.mapped(PAGE as u64)?;
            // SAFETY: ftruncate touches no memory of ours.
            equal("ftruncate", unsafe { libc::ftruncate(region.fd(), 8192) }, -1)?;
            refused("SET_SIZE", region.set_size(8192), libc::EINVAL)
        },
    ),
    Case::new(
        "applications.sysv",
        &["CLI-10", "MMAP-11", "OPEN-07"],
        "SysV shared memory over ashmem: MAP_FIXED over a reservation, two attachments, creator's \
         descriptor closed",
        |env| {
            let place = Map::anonymous(8 * PAGE, NONE)?;
            let region = env.region(4 * PAGE as u64)?;
            let at = place.address() + 2 * PAGE;
            let fixed =
                Map::at(at, region.fd(), 4 * PAGE, RW, libc::MAP_SHARED | libc::MAP_FIXED, 0)?;
            let second = region.share(4 * PAGE)?;
            drop(region);
            fixed.store(3 * PAGE, 8)?;
            equal("the byte at the other attachment", second.load(3 * PAGE)?, 8)?;
            equal("the reservation before it", place.load(PAGE), Err(SEGV))
        },
    ),
    Case::new(
        "applications.openharmony",
        &["CLI-11", "SIZE-11", "PROT-03", "PROT-04"],
        "OpenHarmony: odd sizes mapped to the byte; SET_PROT_MASK(-1) fails; write only, then none",
        |env| {
            for size in [1, 1234, 4097, 9999] {
                let region = env.region(size)?;
                let map = region.share(size as usize)?;
                map.store(size as usize - 1, 1)?;
            }
            let region = env.region(1234)?;
            refused("SET_PROT_MASK(-1)", region.set_mask(u64::MAX), libc::EINVAL)?;
            region.set_mask(libc::PROT_WRITE as u64)?;
            refused("a reading mmap", region.map(1234, R, libc::MAP_SHARED, 0), libc::EPERM)?;
            region.map(1234, libc::PROT_WRITE, libc::MAP_SHARED, 0)?;
            region.set_mask(0)?;
            refused(
                "a writing mmap",
                region.map(1234, libc::PROT_WRITE, libc::MAP_SHARED, 0),
                libc::EPERM,
            )
        },
    ),
    Case::new(
        "applications.libbinder-blob",
        &["CLI-12", "PROT-06", "MMAP-05", "OPEN-04"],
        "libbinder's large parcel: filled, mask reduced, sent; the receiver maps it read-only and \
         asks its size",
        |env| {
            let region = env.region(20_000)?;
            region.set_name(c"Parcel Blob")?;
            let map = region.share(20_000)?;
            map.write(0, b"parcel")?;
            region.set_mask(R as u64)?;
            let child = Child::start(|link| {
                let got = link.receive_fd()?;
                equal("GET_SIZE", got.size()?, 20_000)?;
                refused("a writable mmap", got.share(20_000), libc::EPERM)?;
                equal(
                    "the bytes",
                    got.map(20_000, R, libc::MAP_SHARED, 0)?.read(0, 6)?,
                    b"parcel".to_vec(),
                )
            })?;
            child.link.send_fd(region.fd())?;
            child.join()
        },
    ),
    Case::new(
        "applications.unwinder",
        &["CLI-13", "NAME-15", "NAME-16"],
        "Unwinders and dumpsys read /dev/ashmem/NAME (deleted) in maps of another process",
        |env| {
            let region = env.region(4096)?;
            region.set_name(c"dalvik-main space")?;
            let _map = region.share(PAGE)?;
            let parent = std::process::id();
            Child::start(|_| {
                let maps = std::fs::read_to_string(format!("/proc/{parent}/maps"))
                    .or_else(|e| failed(format!("maps: {e}")))?;
                holds(
                    "the line is there",
                    maps.lines()
                        .any(|line| line.ends_with("/dev/ashmem/dalvik-main space (deleted)")),
                )
            })?
            .join()
        },
    )
    .differs(&[run::PATH_IN_MAPS]),
    Case::new(
        "applications.dalvik-heap",
        &["SIZE-10", "MMAP-08"],
        "Dalvik's heap: 256 MiB sparse, parts mapped at offsets, ends protected",
        |env| {
            let size = 256 << 20;
            let region = env.region(size as u64)?;
            region.set_name(c"dalvik-heap")?;
            let map = region.map(size, RW, libc::MAP_PRIVATE | libc::MAP_NORESERVE, 0)?;
            map.store(0, 1)?;
            map.store(size - 1, 1)?;
            equal("mprotect", map.protect(NONE)?, 0)
        },
    ),
    Case::new(
        "applications.waydroid",
        &["CLI-14", "OPEN-11"],
        "Waydroid looks for ' ashmem' in /proc/misc",
        |_| {
            let misc = std::fs::read_to_string("/proc/misc")
                .or_else(|e| failed(format!("/proc/misc: {e}")))?;
            holds("/proc/misc names ashmem", misc.lines().any(|line| line.ends_with(" ashmem")))
        },
    )
    .differs(&[run::MISC]),
    Case::new(
        "applications.read-after-munmap",
        &["CLI-15", "READ-03", "SIZE-03"],
        "Binder and Android's tests read a region after its last munmap",
        |env| {
            let region: Region = env.region(PAGE as u64)?;
            {
                let map = region.share(PAGE)?;
                map.write(0, b"after")?;
            }
            equal("read", region.read(5)?, b"after".to_vec())?;
            equal("lseek", region.seek(0, libc::SEEK_SET)?, 0)
        },
    ),
];

/// `mov eax, 42; ret`
const RETURN_42: [u8; 6] = [0xb8, 42, 0, 0, 0, 0xc3];

fn run_code(map: &Map) -> Verdict {
    map.write(0, &RETURN_42).map_err(Stop::from)?;
    equal("what the code returns", call(map), 42)
}

fn call(map: &Map) -> i32 {
    // SAFETY: the mapping is executable and starts with RETURN_42, a whole function of this
    // signature.
    let code: extern "C" fn() -> i32 = unsafe { std::mem::transmute(map.address()) };
    code()
}
