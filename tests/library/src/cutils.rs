// SPDX-License-Identifier: MIT OR Apache-2.0
//! `<cutils/ashmem.h>`.

use crate::surroundings::{
    Case, Outcome, PAGE, Surroundings, fails, map, opened, others, same, succeeds, unmap,
};
use anyhow::{Context, Result, ensure};
use ashmem_core::abi;
use libashmem::cutils::{
    ashmem_create_region, ashmem_get_size_region, ashmem_pin_region, ashmem_set_prot_region,
    ashmem_unpin_region, ashmem_valid,
};
use libc::{MAP_SHARED, PROT_READ, PROT_WRITE};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, OwnedFd};

pub(crate) const CASES: &[Case] = &[
    ("valid: regions and memfds, nothing else", valid),
    ("create_region: a size of 0 makes a region that cannot be mapped", empty),
    ("get_size_region: the size, or EOVERFLOW where an int is too small", size),
    ("pin and unpin: 0 on what was not purged, and the range is checked", pins),
    ("pin: a purged range says so once, and reads as zeros", purged),
    ("pin and unpin: what is no region is ENOTTY", not_a_region),
    ("a memfd of somebody else's is a region like any", foreign),
];

fn region(size: usize) -> Result<OwnedFd> {
    // SAFETY: the name is terminated.
    opened(unsafe { ashmem_create_region(c"cutils".as_ptr(), size) })
}

fn valid(_: &Surroundings) -> Result<Outcome> {
    let fd = region(PAGE)?;
    succeeds("a region", || ashmem_valid(fd.as_raw_fd()), 1)?;
    for (name, fd) in others()? {
        fails(name, || ashmem_valid(fd.as_raw_fd()), 0, Errno::NOTTY)?;
    }
    fails("no descriptor", || ashmem_valid(-1), 0, Errno::BADF)?;
    fails("a number that is not open", || ashmem_valid(1 << 20), 0, Errno::BADF)?;
    Ok(Outcome::Held)
}

fn empty(_: &Surroundings) -> Result<Outcome> {
    let fd = region(0)?;
    succeeds("valid", || ashmem_valid(fd.as_raw_fd()), 1)?;
    succeeds("its size", || ashmem_get_size_region(fd.as_raw_fd()), 0)?;
    let mapped = map(&fd, 0, PROT_READ, MAP_SHARED);
    same("mapping nothing of it", mapped, Err(Errno::INVAL))?;
    Ok(Outcome::Held)
}

fn size(_: &Surroundings) -> Result<Outcome> {
    let fd = region(PAGE + 1)?;
    succeeds("the size", || ashmem_get_size_region(fd.as_raw_fd()), 4097)?;
    let largest = region(i32::MAX as usize)?;
    succeeds("INT_MAX", || ashmem_get_size_region(largest.as_raw_fd()), i32::MAX)?;
    for size in [1 << 31, 4_096_000_000] {
        let large = region(size)?;
        fails("a large region", || ashmem_get_size_region(large.as_raw_fd()), -1, Errno::OVERFLOW)?;
    }
    for (name, fd) in others()? {
        fails(name, || ashmem_get_size_region(fd.as_raw_fd()), -1, Errno::NOTTY)?;
    }
    fails("no descriptor", || ashmem_get_size_region(-1), -1, Errno::BADF)?;
    Ok(Outcome::Held)
}

fn pins(surroundings: &Surroundings) -> Result<Outcome> {
    let fd = region(4 * PAGE)?;
    let number = fd.as_raw_fd();
    if surroundings.has_device() {
        fails(
            "pinning before the first mapping",
            || ashmem_pin_region(number, 0, 0),
            -1,
            Errno::INVAL,
        )?;
    } else {
        succeeds("pinning before the first mapping", || ashmem_pin_region(number, 0, 0), 0)?;
    }
    let memory = map(&fd, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED).context("mapping it")?;
    for (offset, length) in [(0, 0), (PAGE, PAGE), (2 * PAGE, 0)] {
        succeeds("unpin", || ashmem_unpin_region(number, offset, length), 0)?;
        succeeds("pin", || ashmem_pin_region(number, offset, length), 0)?;
    }
    for (offset, length) in [(1, PAGE), (0, 5), (4 * PAGE, PAGE)] {
        if surroundings.has_device() {
            fails(
                "a range that does not fit",
                || ashmem_pin_region(number, offset, length),
                -1,
                Errno::INVAL,
            )?;
            fails(
                "the same unpinned",
                || ashmem_unpin_region(number, offset, length),
                -1,
                Errno::INVAL,
            )?;
        } else {
            succeeds("any range of a memfd", || ashmem_pin_region(number, offset, length), 0)?;
            succeeds("the same unpinned", || ashmem_unpin_region(number, offset, length), 0)?;
        }
    }
    for (offset, length) in [(1 << 32, PAGE), (0, 1 << 32)] {
        fails(
            "a range beyond 4 GiB",
            || ashmem_pin_region(number, offset, length),
            -1,
            Errno::INVAL,
        )?;
        fails(
            "the same unpinned",
            || ashmem_unpin_region(number, offset, length),
            -1,
            Errno::INVAL,
        )?;
    }
    unmap(memory, 4 * PAGE)?;
    Ok(Outcome::Held)
}

fn purged(surroundings: &Surroundings) -> Result<Outcome> {
    if !surroundings.has_device() {
        return Ok(Outcome::Skipped("nothing purges a memfd"));
    }
    let fd = region(2 * PAGE)?;
    let number = fd.as_raw_fd();
    let memory = map(&fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED).context("mapping it")?;
    // SAFETY: the mapping is two pages.
    unsafe { memory.write_bytes(7, 2 * PAGE) };
    succeeds("unpin", || ashmem_unpin_region(number, PAGE, PAGE), 0)?;
    // SAFETY: the call takes no argument.
    let purge = unsafe { libc::ioctl(number, libc::c_ulong::from(abi::PURGE_ALL_CACHES), 0) };
    if purge < 0 {
        unmap(memory, 2 * PAGE)?;
        return Ok(Outcome::Skipped("purging at will is root's"));
    }
    succeeds("pin after the purge", || ashmem_pin_region(number, 0, 0), 1)?;
    succeeds("pin again", || ashmem_pin_region(number, 0, 0), 0)?;
    // SAFETY: as above.
    let seen = unsafe { (*memory, *memory.add(PAGE)) };
    same("a byte of each page", seen, (7, 0))?;
    unmap(memory, 2 * PAGE)?;
    Ok(Outcome::Held)
}

fn not_a_region(_: &Surroundings) -> Result<Outcome> {
    for (name, fd) in others()? {
        fails(name, || ashmem_pin_region(fd.as_raw_fd(), 0, 0), -1, Errno::NOTTY)?;
        fails(name, || ashmem_unpin_region(fd.as_raw_fd(), 0, 0), -1, Errno::NOTTY)?;
    }
    fails("no descriptor", || ashmem_pin_region(-1, 0, 0), -1, Errno::BADF)?;
    fails("no descriptor", || ashmem_unpin_region(-1, 0, 0), -1, Errno::BADF)?;
    Ok(Outcome::Held)
}

fn foreign(_: &Surroundings) -> Result<Outcome> {
    let memfd = rustix::fs::memfd_create(c"foreign", MemfdFlags::ALLOW_SEALING)
        .context("making a memfd")?;
    rustix::fs::ftruncate(&memfd, 12345).context("giving it a size")?;
    let number = memfd.as_raw_fd();
    succeeds("valid", || ashmem_valid(number), 1)?;
    succeeds("its size", || ashmem_get_size_region(number), 12345)?;
    succeeds("pin", || ashmem_pin_region(number, 0, 0), 0)?;
    succeeds("unpin", || ashmem_unpin_region(number, 0, 0), 0)?;
    succeeds("read-only", || ashmem_set_prot_region(number, PROT_READ), 0)?;
    fails("writable again", || ashmem_set_prot_region(number, PROT_WRITE), -1, Errno::INVAL)?;
    let mapped = map(&memfd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    ensure!(mapped.is_err(), "a writable mapping of a read-only memfd");
    let sealed = rustix::fs::memfd_create(c"sealed", MemfdFlags::CLOEXEC)
        .context("making a memfd without seals")?;
    fails(
        "no seal can be added",
        || ashmem_set_prot_region(sealed.as_raw_fd(), PROT_READ),
        -1,
        Errno::PERM,
    )?;
    Ok(Outcome::Held)
}
