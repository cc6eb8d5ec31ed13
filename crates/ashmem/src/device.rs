// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ashmem device: where it is, and its calls.

use crate::errno;
use crate::error::{Error, Result};
use ashmem_core::abi;
use rustix::io::{Errno, retry_on_intr};
use std::ffi::{CStr, c_void};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use syscalls::{Sysno, raw};

/// The name every Android knows.
const PLAIN: &CStr = c"/dev/ashmem";
/// What Android 10 and later put behind it, so that nothing is found that was left over from
/// another boot.
const BOOT_ID: &CStr = c"/proc/sys/kernel/random/boot_id";

/// Length of `/dev/ashmem<boot_id>` with its NUL: six words.
const NAMED_BYTES: usize = 48;

/// Where the device was found: one of the three below.
static PLACE: AtomicU8 = AtomicU8::new(UNKNOWN);
/// `/dev/ashmem<boot_id>`, once `PLACE` says so. Whoever writes it writes the same.
static NAMED: [AtomicU64; NAMED_BYTES / 8] = [const { AtomicU64::new(0) }; NAMED_BYTES / 8];

const UNKNOWN: u8 = 0;
const AT_PLAIN: u8 = 1;
const AT_NAMED: u8 = 2;

/// The numbers whose size field is that of the caller's `unsigned long`.
const SET_SIZE: u32 =
    if cfg!(target_pointer_width = "64") { abi::SET_SIZE } else { abi::SET_SIZE_32 };
const SET_PROT_MASK: u32 =
    if cfg!(target_pointer_width = "64") { abi::SET_PROT_MASK } else { abi::SET_PROT_MASK_32 };

/// Makes a region as libcutils does: open, name, size.
#[inline]
pub(crate) fn create(name: &CStr, size: usize) -> Result<OwnedFd> {
    let fd = open()?;
    request(fd.as_fd(), abi::SET_NAME, name.as_ptr().cast())
        .map_err(Error::of("naming the region (ASHMEM_SET_NAME)"))?;
    request(fd.as_fd(), SET_SIZE, ptr::without_provenance(size))
        .map_err(Error::of("giving the region its size (ASHMEM_SET_SIZE)"))?;
    Ok(fd)
}

/// Opens the device where it was found before, or looks for it.
#[inline]
fn open() -> Result<OwnedFd> {
    let opened = match PLACE.load(Ordering::Acquire) {
        AT_PLAIN => open_path(PLAIN),
        AT_NAMED => open_named(),
        _ => return find(),
    };
    match opened {
        Ok(fd) => Ok(fd),
        Err(errno) => reopen(errno),
    }
}

#[cold]
fn reopen(errno: Errno) -> Result<OwnedFd> {
    // The module may have gone, or come back under the other name alone.
    if is_shortage(errno) { Err(opening(errno)) } else { find() }
}

/// Looks for the device and opens it.
#[cold]
pub(crate) fn find() -> Result<OwnedFd> {
    errno::kept(search)
}

fn search() -> Result<OwnedFd> {
    let named = named();
    let named = named.as_ref().and_then(|bytes| CStr::from_bytes_with_nul(bytes).ok());
    let mut absence = Errno::NOENT;
    for (place, path) in [(AT_NAMED, named), (AT_PLAIN, Some(PLAIN))] {
        let Some(path) = path else { continue };
        match open_path(path) {
            Ok(fd) if is_device(fd.as_fd()) => {
                remember(place, path);
                return Ok(fd);
            }
            // Something else has the name: a null device in a container, a file that somebody wrote
            // to.
            Ok(_) => absence = Errno::NODEV,
            Err(errno) if is_shortage(errno) => return Err(opening(errno)),
            Err(Errno::NOENT) => {}
            Err(errno) => absence = errno,
        }
    }
    Err(Error::NoDevice(absence))
}

/// An ashmem device just opened allows everything and has no size yet (PROT-01, SIZE-01).
fn is_device(fd: BorrowedFd<'_>) -> bool {
    const ALL: i32 = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    request(fd, abi::GET_PROT_MASK, ptr::null()) == Ok(ALL)
        && request(fd, abi::GET_SIZE, ptr::null()) == Ok(0)
}

/// Whether an open failed for want of descriptors or memory, which says nothing about the device.
const fn is_shortage(errno: Errno) -> bool {
    matches!(errno, Errno::MFILE | Errno::NFILE | Errno::NOMEM)
}

fn opening(errno: Errno) -> Error {
    Error::of("opening the ashmem device")(errno)
}

/// As libcutils opens it.
#[inline]
fn open_path(path: &CStr) -> rustix::io::Result<OwnedFd> {
    retry_on_intr(|| {
        // SAFETY: the path is terminated.
        errno::owned(unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) })
    })
}

/// Opens `/dev/ashmem<boot_id>` once `PLACE` says that it was found there.
#[inline]
fn open_named() -> rustix::io::Result<OwnedFd> {
    // SAFETY: the path is complete and terminated since `PLACE` was stored, and whoever stores it
    // again stores the same.
    open_path(unsafe { CStr::from_ptr(NAMED.as_ptr().cast()) })
}

/// Keeps where the device was found. All threads that come here at once store the same.
fn remember(place: u8, path: &CStr) {
    if place == AT_NAMED {
        for (chunk, word) in path.to_bytes_with_nul().chunks_exact(8).zip(&NAMED) {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(chunk);
            word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
        }
    }
    PLACE.store(place, Ordering::Release);
}

/// `/dev/ashmem<boot_id>` of this boot, terminated; `None` where `/proc` does not tell.
fn named() -> Option<[u8; NAMED_BYTES]> {
    // SAFETY: the path is terminated.
    let fd = unsafe { libc::open(BOOT_ID.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    let file = errno::owned(fd).ok()?;
    let mut bytes = [0; NAMED_BYTES];
    let (prefix, id) = bytes.split_at_mut(PLAIN.count_bytes());
    prefix.copy_from_slice(PLAIN.to_bytes());
    let (newline, id) = id.split_last_mut()?;
    (rustix::io::read(&file, &mut *id).ok()? == id.len()).then_some(())?;
    *newline = 0;
    (!id.contains(&0)).then_some(bytes)
}

/// Size in bytes, as far as ioctl(2) can tell it: its low 32 bits, the last 4095 of which read as
/// an error (SIZE-05).
#[inline]
pub(crate) fn size(fd: BorrowedFd<'_>) -> rustix::io::Result<usize> {
    request(fd, abi::GET_SIZE, ptr::null()).map(|answer| answer.cast_unsigned() as usize)
}

/// The protection mask as the device keeps it.
#[inline]
pub(crate) fn protection(fd: BorrowedFd<'_>) -> rustix::io::Result<u32> {
    request(fd, abi::GET_PROT_MASK, ptr::null()).map(i32::cast_unsigned)
}

/// Narrows the mask.
#[inline]
pub(crate) fn set_protection(fd: BorrowedFd<'_>, mask: u32) -> rustix::io::Result<()> {
    request(fd, SET_PROT_MASK, ptr::without_provenance(mask as usize)).map(drop)
}

/// Pins the interval; whether any of it was purged.
#[inline]
pub(crate) fn pin(fd: BorrowedFd<'_>, interval: abi::Pin) -> rustix::io::Result<bool> {
    let answer = request(fd, abi::PIN, ptr::from_ref(&interval).cast())?;
    Ok(i64::from(answer) == abi::WAS_PURGED)
}

/// Unpins the interval.
#[inline]
pub(crate) fn unpin(fd: BorrowedFd<'_>, interval: abi::Pin) -> rustix::io::Result<()> {
    request(fd, abi::UNPIN, ptr::from_ref(&interval).cast()).map(drop)
}

#[inline]
fn request(fd: BorrowedFd<'_>, number: u32, argument: *const c_void) -> rustix::io::Result<i32> {
    let answer = ioctl(fd, number, argument);
    if answer > ERRORS { refused(fd, number, argument, answer) } else { Ok(answer as i32) }
}

/// Apart, so that a call which the device takes is one comparison more than the kernel's answer.
#[cold]
fn refused(
    fd: BorrowedFd<'_>,
    number: u32,
    argument: *const c_void,
    mut answer: usize,
) -> rustix::io::Result<i32> {
    while answer > ERRORS {
        match Errno::from_raw_os_error(answer.wrapping_neg() as i32 & 0xfff) {
            Errno::INTR => answer = ioctl(fd, number, argument),
            errno => return Err(errno),
        }
    }
    Ok(answer as i32)
}

/// ioctl(2), made here: rustix's takes apart and packs again an answer that has to be compared
/// once, and the C library's changes `errno` where a memfd is then asked instead.
#[inline]
fn ioctl(fd: BorrowedFd<'_>, number: u32, argument: *const c_void) -> usize {
    // A descriptor is no negative number.
    let fd = fd.as_raw_fd().cast_unsigned() as usize;
    // SAFETY: the numbers that this file uses either take their argument by value or read what it
    // points to, for which the callers above pass a terminated string (SET_NAME) or a whole `Pin`;
    // none writes to the caller's memory.
    unsafe {
        raw::syscall3(Sysno::ioctl as usize, fd, number as usize, argument.expose_provenance())
    }
}

/// Above it are the kernel's error numbers, 1 to 4095, negated.
const ERRORS: usize = 4096_usize.wrapping_neg();
