// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sizes.

use crate::case::{Case, equal, refused, skip};
use ashmem_test_client::fault::BUS;
use ashmem_test_client::map::{PAGE, R, RW};

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "size.any-value",
        &["SIZE-02"],
        "SET_SIZE takes any value, again and again, before the first mmap",
        |env| {
            let region = env.open()?;
            for size in [1, 4096, 5000, 0, 1 << 31, 1 << 40, 1 << 62, 17] {
                equal("SET_SIZE", region.set_size(size)?, 0)?;
                // The system call's own result is an int, whatever the driver returned.
                equal("GET_SIZE", region.size()?, i64::from(size as i32))?;
            }
            Ok(())
        },
    ),
    Case::new(
        "size.set-when-mapped",
        &["SIZE-03"],
        "SET_SIZE of a mapped region is EINVAL, the same value too",
        |env| {
            let (region, _map) = env.mapped(4096)?;
            for size in [4096, 8192, 0, 1] {
                refused(&format!("SET_SIZE({size})"), region.set_size(size), libc::EINVAL)?;
            }
            equal("GET_SIZE", region.size()?, 4096)
        },
    ),
    Case::new(
        "size.set-after-munmap",
        &["SIZE-03"],
        "SET_SIZE stays EINVAL after everything was unmapped",
        |env| {
            let (region, map) = env.mapped(4096)?;
            drop(map);
            refused("SET_SIZE", region.set_size(8192), libc::EINVAL)
        },
    ),
    Case::new(
        "size.not-rounded",
        &["SIZE-04"],
        "GET_SIZE gives 5000 back as 5000, mapped or not",
        |env| {
            let region = env.region(5000)?;
            equal("GET_SIZE", region.size()?, 5000)?;
            let _map = region.share(5000)?;
            equal("GET_SIZE when mapped", region.size()?, 5000)
        },
    ),
    Case::new(
        "size.reads-as-error",
        &["SIZE-05"],
        "A size in the last 4095 values is returned raw and so reads as an errno",
        |env| {
            let region = env.region(u64::MAX)?;
            refused("GET_SIZE of SIZE_MAX", region.size(), libc::EPERM)?;
            region.set_size(0_u64.wrapping_sub(22))?;
            refused("GET_SIZE of -22", region.size(), libc::EINVAL)?;
            region.set_size(0_u64.wrapping_sub(4095))?;
            refused("GET_SIZE of -4095", region.size(), 4095)?;
            region.set_size(0_u64.wrapping_sub(4096))?;
            equal("GET_SIZE of -4096", region.size()?, -4096)
        },
    ),
    Case::new(
        "size.result-is-an-int",
        &["SIZE-05", "SIZE-06"],
        "GET_SIZE of 2 GiB and more is cut to an int by the kernel's ioctl call itself, not by \
         libc alone",
        |env| {
            let region = env.region(0x1_8000_1000)?;
            equal("GET_SIZE", region.size()?, i64::from(0x8000_1000_u32 as i32))?;
            region.set_size(0x1_0000_0005)?;
            equal("GET_SIZE of 4 GiB + 5", region.size()?, 5)?;
            region.set_size(0x1_ffff_ffff)?;
            refused("GET_SIZE of 8 GiB - 1", region.size(), libc::EPERM)
        },
    ),
    Case::new(
        "size.zero",
        &["SIZE-07", "MMAP-02"],
        "A region of size 0 cannot be mapped: EINVAL",
        |env| {
            let region = env.open()?;
            refused("mmap", region.share(PAGE), libc::EINVAL)?;
            region.set_size(4096)?;
            region.set_size(0)?;
            refused("mmap", region.share(PAGE), libc::EINVAL)
        },
    ),
    Case::new(
        "size.rounding-wraps",
        &["SIZE-08"],
        "A size in the last page of the 64 bits rounds to 0: mmap of it is EINVAL",
        |env| {
            for size in [u64::MAX, u64::MAX - 4094] {
                let region = env.region(size)?;
                refused(&format!("mmap of {size:#x}"), region.share(PAGE), libc::EINVAL)?;
                region.set_size(4096)?;
            }
            Ok(())
        },
    ),
    Case::new(
        "size.top-bit",
        &["SIZE-09", "MMAP-07"],
        "A size with the top bit set passes the device's checks and is EINVAL where the backing \
         file is made",
        |env| {
            let region = env.region(1 << 63)?;
            refused("mmap", region.share(PAGE), libc::EINVAL)?;
            equal("SET_SIZE after the failure", region.set_size(4096)?, 0)?;
            region.share(PAGE)?.store(0, 1)?;
            Ok(())
        },
    ),
    Case::new(
        "size.top-bit-mask-first",
        &["SIZE-09", "MMAP-05"],
        "With such a size the protection is still checked first: EPERM",
        |env| {
            let region = env.region(1 << 63)?;
            region.set_mask(1)?;
            refused("mmap", region.share(PAGE), libc::EPERM)
        },
    ),
    Case::new(
        "size.last-rounded",
        &["SIZE-09"],
        "The largest size that does not wrap when rounded is EINVAL as well",
        |env| {
            let region = env.region(u64::MAX - 4095)?;
            refused("mmap", region.share(PAGE), libc::EINVAL)
        },
    ),
    Case::new(
        "size.huge-is-charged",
        &["SIZE-10", "MMAP-28"],
        "A size of 2^46 bytes is ENOMEM at mmap: the whole object is charged",
        |env| {
            overcommit_is_default()?;
            let region = env.region(1 << 46)?;
            refused("mmap", region.share(PAGE), libc::ENOMEM)?;
            equal("SET_SIZE after the failure", region.set_size(4096)?, 0)
        },
    ),
    Case::new(
        "size.huge-noreserve",
        &["SIZE-10"],
        "MAP_NORESERVE on the first mmap skips the charge for the life of the object",
        |env| {
            overcommit_is_default()?;
            let region = env.region(1 << 46)?;
            let map = region.map(
                PAGE,
                RW,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                (1 << 46) - PAGE as u64,
            )?;
            map.store(4095, 6)?;
            let again = region.map(PAGE, R, libc::MAP_SHARED, (1 << 46) - PAGE as u64)?;
            equal("the last byte", again.load(4095)?, 6)
        },
    ),
    Case::new(
        "size.unaligned-maps-whole-pages",
        &["SIZE-11"],
        "Of 5000 bytes two pages can be mapped, and bytes behind the size keep what is written",
        |env| {
            let (region, map) = env.mapped(5000)?;
            refused("mmap of three pages", region.share(3 * PAGE), libc::EINVAL)?;
            map.store(8191, 3)?;
            drop(map);
            equal("byte 8191", region.share(2 * PAGE)?.load(8191)?, 3)
        },
    ),
    Case::new(
        "size.unaligned-reads-to-the-byte",
        &["SIZE-11", "READ-03"],
        "Of 5000 bytes read(2) and SEEK_END see 5000",
        |env| {
            let (region, map) = env.mapped(5000)?;
            map.store(4999, 1)?;
            map.store(5000, 2)?;
            equal("SEEK_END", region.seek(0, libc::SEEK_END)?, 5000)?;
            region.seek(4999, libc::SEEK_SET)?;
            equal("read at 4999", region.read(10)?, vec![1])
        },
    ),
    Case::new(
        "size.one-byte",
        &["SIZE-11", "MMAP-03"],
        "A region of one byte maps one page",
        |env| {
            let (region, map) = env.mapped(1)?;
            map.store(0, 1)?;
            equal("GET_SIZE", region.size()?, 1)?;
            refused("mmap of a page and a byte", region.share(PAGE + 1), libc::EINVAL)?;
            let both = region.map(PAGE, RW, libc::MAP_SHARED, PAGE as u64)?;
            equal("touching the page behind it", both.load(0), Err(BUS))
        },
    ),
];

/// Charging is only as described under the kernel's heuristic overcommit.
fn overcommit_is_default() -> crate::case::Verdict {
    match std::fs::read_to_string("/proc/sys/vm/overcommit_memory").as_deref().map(str::trim) {
        Ok("0") => Ok(()),
        other => skip(format!("vm.overcommit_memory is {other:?}, the case needs 0")),
    }
}
