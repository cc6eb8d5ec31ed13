// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the C library's functions cost beside the bare calls that a C program would make instead.
//!
//! Both sides are asked for the same and their answers looked at the same way. The library's
//! functions are called as C calls them, none is inlined here.

use crate::clock::Clock;
use crate::life::{BATCHES, LIVES, NAME, laps};
use crate::system::{self, Answer, PAGE, answer};
use anyhow::{Context, Result, bail};
use ashmem_bench::{Report, figure};
use ashmem_core::abi;
use libashmem::cutils::{ashmem_pin_region, ashmem_unpin_region};
use libashmem::sharedmem::{ASharedMemory_create, ASharedMemory_getSize, ASharedMemory_setProt};
use std::ffi::{c_int, c_ulong};
use std::hint::black_box;
use std::process::Command;

const ALL: c_int = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;

/// On the device, which `ASHMEM_BACKEND` or its absence has the library take; and on memfd, in a
/// process of its own, for one decides once.
pub(crate) fn both(clock: &Clock) -> Result<Vec<(String, f64)>> {
    let mut figures = on_device(clock)?;
    let mut other = Command::new("/proc/self/exe");
    let output = other.args(["--only", "library-memfd"]).env("ASHMEM_BACKEND", "memfd").output();
    let output = output.context("starting this program once more")?;
    if !output.status.success() {
        bail!("with ASHMEM_BACKEND=memfd: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    let report: Report =
        serde_json::from_slice(&output.stdout).context("reading what this program printed")?;
    figures.extend(report.figures);
    Ok(figures)
}

fn on_device(clock: &Clock) -> Result<Vec<(String, f64)>> {
    let fd = create()?;
    // Pinning wants a region that was mapped once.
    system::unmap(system::Descriptor::from(fd).map(0, PAGE, 0)?, PAGE)?;
    let named = |call: &str, bare: f64, library: f64| {
        [(figure::bare(call), bare), (figure::library(call), library)]
    };
    let mut figures = Vec::new();

    let bare =
        clock.measure(BATCHES, LIVES, || ioctl("GET_SIZE", fd, abi::GET_SIZE, 0).map(drop))?;
    let library = clock.measure(BATCHES, LIVES, || {
        let size = ASharedMemory_getSize(black_box(fd));
        answer("ASharedMemory_getSize", size as i64 - 1).map(drop)
    })?;
    figures.extend(named("get-size", bare, library));

    let bare = clock.measure(BATCHES, LIVES, || {
        ioctl("SET_PROT", fd, abi::SET_PROT_MASK, ALL as usize).map(drop)
    })?;
    let library = clock.measure(BATCHES, LIVES, || {
        answer("ASharedMemory_setProt", ASharedMemory_setProt(black_box(fd), ALL).into()).map(drop)
    })?;
    figures.extend(named("set-prot", bare, library));

    let bare = clock.measure(BATCHES, LIVES, || {
        let pin = black_box(abi::Pin { offset: 0, len: PAGE as u32 });
        ioctl("UNPIN", fd, abi::UNPIN, &raw const pin as usize)?;
        ioctl("PIN", fd, abi::PIN, &raw const pin as usize).map(drop)
    })?;
    let library = clock.measure(BATCHES, LIVES, || {
        answer("ashmem_unpin_region", ashmem_unpin_region(black_box(fd), 0, PAGE).into())?;
        answer("ashmem_pin_region", ashmem_pin_region(black_box(fd), 0, PAGE).into()).map(drop)
    })?;
    figures.extend(named("pins", bare, library));
    close(fd)?;

    figures.extend(named("create", creation(clock, bare_create)?, creation(clock, create)?));
    Ok(figures)
}

/// Beside memfd_create(2), ftruncate(2) and the seals that keep the size.
pub(crate) fn on_memfd(clock: &Clock) -> Answer<Vec<(String, f64)>> {
    let (bare, library) = (creation(clock, bare_memfd)?, creation(clock, create)?);
    Ok(vec![(figure::bare("memfd.create"), bare), (figure::library("memfd.create"), library)])
}

/// The making of a region, without its end.
fn creation(clock: &Clock, make: impl Fn() -> Answer<c_int>) -> Answer<f64> {
    let [cost] = laps(clock, |lap| {
        lap.start();
        let fd = make()?;
        lap.take();
        close(fd)
    })?;
    Ok(cost)
}

#[inline(always)]
fn create() -> Answer<c_int> {
    // SAFETY: the name is terminated.
    let fd = unsafe { ASharedMemory_create(black_box(NAME.as_ptr()), black_box(PAGE)) };
    answer("ASharedMemory_create", fd.into()).map(|_| fd)
}

/// As libcutils does it.
#[inline(always)]
fn bare_create() -> Answer<c_int> {
    // SAFETY: the path is terminated.
    let fd = unsafe { libc::open(c"/dev/ashmem".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    answer("open of the device", fd.into())?;
    ioctl("SET_NAME", fd, abi::SET_NAME, black_box(NAME.as_ptr()) as usize)?;
    ioctl("SET_SIZE", fd, abi::SET_SIZE, black_box(PAGE)).map(|_| fd)
}

#[inline(always)]
fn bare_memfd() -> Answer<c_int> {
    // SAFETY: the name is terminated.
    let fd = unsafe {
        libc::memfd_create(black_box(NAME.as_ptr()), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING)
    };
    answer("memfd_create", fd.into())?;
    // SAFETY: takes numbers only.
    answer("ftruncate", unsafe { libc::ftruncate(fd, black_box(PAGE) as libc::off_t) }.into())?;
    // SAFETY: takes numbers only.
    let sealed =
        unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, libc::F_SEAL_GROW | libc::F_SEAL_SHRINK) };
    answer("F_ADD_SEALS", sealed.into()).map(|_| fd)
}

/// ioctl(2) of the C library, as a C program calls it.
#[inline(always)]
fn ioctl(call: &'static str, fd: c_int, command: u32, argument: usize) -> Answer {
    // SAFETY: where the argument is a pointer, it points at what the request reads.
    answer(call, unsafe { libc::ioctl(black_box(fd), c_ulong::from(command), argument) }.into())
}

fn close(fd: c_int) -> Answer<()> {
    system::Descriptor::from(fd).close()
}
