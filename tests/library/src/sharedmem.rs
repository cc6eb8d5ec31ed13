// SPDX-License-Identifier: MIT OR Apache-2.0
//! `<android/sharedmem.h>`.

use crate::surroundings::{
    Case, Outcome, PAGE, Surroundings, fails, map, opened, others, same, succeeds, unmap,
};
use anyhow::{Context, Result, ensure};
use libashmem::sharedmem::{ASharedMemory_create, ASharedMemory_getSize, ASharedMemory_setProt};
use libc::{MAP_SHARED, PROT_EXEC, PROT_READ, PROT_WRITE};
use rustix::io::{Errno, FdFlags};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

pub(crate) const CASES: &[Case] = &[
    ("create: zeroed, as long as asked for, closed on exec", create),
    ("create: a name is optional, and may be of any length", names),
    ("create: a size of 0 is EINVAL", nothing),
    ("create: a size beyond what a file can have is an error", beyond),
    ("getSize: exact for what is no multiple of a page; of the device, up to 4 GiB", sizes),
    ("getSize: 0 and errno for what is no region", not_a_region),
    ("setProt: what is taken stays away, from every holder", read_only),
    ("setProt: rights that do not exist are EINVAL, other descriptors ENOTTY", wrong_protection),
];

/// A region by the NDK's function.
fn region(name: &CStr, size: usize) -> Result<OwnedFd> {
    // SAFETY: the name is terminated.
    opened(unsafe { ASharedMemory_create(name.as_ptr(), size) })
}

fn create(_: &Surroundings) -> Result<Outcome> {
    let fd = region(c"created", 3 * PAGE)?;
    let flags = rustix::io::fcntl_getfd(&fd).context("reading the descriptor's flags")?;
    ensure!(flags.contains(FdFlags::CLOEXEC), "the descriptor stays open on exec");
    let memory = map(&fd, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED).context("mapping it")?;
    // SAFETY: the mapping is this long and nobody else has it.
    let bytes = unsafe { std::slice::from_raw_parts_mut(memory, 3 * PAGE) };
    ensure!(bytes.iter().all(|byte| *byte == 0), "it does not begin with zeros");
    bytes.fill(7);
    let again = map(&fd, PAGE, PROT_READ, MAP_SHARED).context("mapping it again")?;
    // SAFETY: the mapping is a page long.
    same("a byte through the other mapping", unsafe { *again.add(PAGE - 1) }, 7)?;
    unmap(again, PAGE)?;
    unmap(memory, 3 * PAGE)?;
    Ok(Outcome::Held)
}

fn names(_: &Surroundings) -> Result<Outcome> {
    // SAFETY: NULL is allowed.
    opened(unsafe { ASharedMemory_create(ptr::null(), PAGE) }).context("NULL")?;
    region(c"", PAGE).context("an empty name")?;
    for length in [249, 250, 255, 256, 5000] {
        let name = [vec![b'n'; length], vec![0]].concat();
        let name = CStr::from_bytes_with_nul(&name).context("a terminated name")?;
        region(name, PAGE).with_context(|| format!("a name of {length} bytes"))?;
    }
    Ok(Outcome::Held)
}

fn nothing(_: &Surroundings) -> Result<Outcome> {
    // SAFETY: the name is terminated, or none.
    fails("no size", || unsafe { ASharedMemory_create(c"empty".as_ptr(), 0) }, -1, Errno::INVAL)?;
    // SAFETY: as above.
    let without_name = || unsafe { ASharedMemory_create(ptr::null(), 0) };
    fails("no name and no size", without_name, -1, Errno::INVAL)?;
    Ok(Outcome::Held)
}

fn beyond(surroundings: &Surroundings) -> Result<Outcome> {
    if surroundings.has_device() {
        // Until it is mapped a region of the device has a size but no file.
        return Ok(Outcome::Skipped("the device takes any size, and refuses to map it"));
    }
    // SAFETY: the name is terminated.
    let create = || unsafe { ASharedMemory_create(c"all".as_ptr(), usize::MAX) };
    fails("all addresses", create, -1, Errno::INVAL)?;
    Ok(Outcome::Held)
}

fn sizes(surroundings: &Surroundings) -> Result<Outcome> {
    for size in [1, PAGE - 1, PAGE + 1, (2 << 30) + 5, 4_096_000_000] {
        let fd = region(c"sized", size)?;
        succeeds("getSize", || ASharedMemory_getSize(fd.as_raw_fd()), size)?;
    }
    let fd = region(c"large", (5 << 30) + 7)?;
    let told = if surroundings.has_device() { (1 << 30) + 7 } else { (5 << 30) + 7 };
    succeeds("getSize beyond 4 GiB", || ASharedMemory_getSize(fd.as_raw_fd()), told)?;
    Ok(Outcome::Held)
}

fn not_a_region(_: &Surroundings) -> Result<Outcome> {
    for (name, fd) in others()? {
        fails(name, || ASharedMemory_getSize(fd.as_raw_fd()), 0, Errno::NOTTY)?;
    }
    for closed in [-1, i32::MIN, 1 << 20] {
        fails("no descriptor", || ASharedMemory_getSize(closed), 0, Errno::BADF)?;
    }
    Ok(Outcome::Held)
}

fn read_only(_: &Surroundings) -> Result<Outcome> {
    let fd = region(c"narrowed", PAGE)?;
    let memory =
        map(&fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED).context("mapping it to write")?;
    succeeds("setProt(R|W)", || ASharedMemory_setProt(fd.as_raw_fd(), PROT_READ | PROT_WRITE), 0)?;
    succeeds("setProt(R)", || ASharedMemory_setProt(fd.as_raw_fd(), PROT_READ), 0)?;
    succeeds("setProt(R) again", || ASharedMemory_setProt(fd.as_raw_fd(), PROT_READ), 0)?;
    let back = || ASharedMemory_setProt(fd.as_raw_fd(), PROT_READ | PROT_WRITE);
    fails("setProt(R|W) afterwards", back, -1, Errno::INVAL)?;
    let other = fd.try_clone().context("copying the descriptor")?;
    let refused = map(&other, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
    ensure!(matches!(refused, Err(Errno::PERM | Errno::ACCESS)), "a writable mapping: {refused:?}");
    let view = map(&other, PAGE, PROT_READ, MAP_SHARED).context("mapping it to read")?;
    // SAFETY: the mapping is ours.
    let widened = unsafe { libc::mprotect(view.cast(), PAGE, PROT_READ | PROT_WRITE) };
    same("mprotect to writable", widened, -1)?;
    // SAFETY: the first mapping stays writable, and both are a page long.
    let seen = unsafe {
        *memory = 9;
        *view
    };
    same("what the older mapping wrote", seen, 9)?;
    unmap(view, PAGE)?;
    unmap(memory, PAGE)?;
    Ok(Outcome::Held)
}

fn wrong_protection(_: &Surroundings) -> Result<Outcome> {
    let fd = region(c"whole", PAGE)?;
    for protection in [-1, 8, PROT_READ | 0x1000] {
        fails(
            "a right that does not exist",
            || ASharedMemory_setProt(fd.as_raw_fd(), protection),
            -1,
            Errno::INVAL,
        )?;
    }
    succeeds(
        "setProt(all)",
        || ASharedMemory_setProt(fd.as_raw_fd(), PROT_READ | PROT_WRITE | PROT_EXEC),
        0,
    )?;
    for (name, fd) in others()? {
        for protection in [PROT_READ, PROT_READ | PROT_WRITE] {
            fails(name, || ASharedMemory_setProt(fd.as_raw_fd(), protection), -1, Errno::NOTTY)?;
        }
    }
    fails("no descriptor", || ASharedMemory_setProt(-1, PROT_READ), -1, Errno::BADF)?;
    Ok(Outcome::Held)
}
