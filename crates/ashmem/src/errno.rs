// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C library's error number, for the few calls made through it.
//!
//! Those that return a descriptor are: the kernel's answer is seen here not to be -1, and nothing
//! is left that could panic. The C library built on this crate holds no panic path, and `cargo
//! xtask library` sees to it.

use crate::error::Errno;
use std::ffi::c_int;
use std::os::fd::{FromRawFd, OwnedFd};

/// The number that the last call of the C library left.
#[inline]
pub(crate) fn last() -> Errno {
    // SAFETY: the calling thread's errno is its own to read.
    let number = unsafe { *libc::__errno_location() };
    // The kernel has numbers from 1 to 4095 alone; said so that the compiler sees it and drops
    // rustix's check.
    Errno::from_raw_os_error((number & 0xfff).max(1))
}

/// Does something and leaves the number as it was, for a failure that is not the caller's to hear
/// of.
#[inline]
pub(crate) fn kept<T>(attempt: impl FnOnce() -> T) -> T {
    // SAFETY: nothing is required.
    let number = unsafe { libc::__errno_location() };
    // SAFETY: the calling thread's errno is its own to read and write, for as long as the thread
    // lives.
    let before = unsafe { *number };
    let result = attempt();
    // SAFETY: as above.
    unsafe { *number = before };
    result
}

/// The descriptor that a call returned, or why there is none.
#[inline]
pub(crate) fn owned(fd: c_int) -> Result<OwnedFd, Errno> {
    if fd < 0 {
        return Err(last());
    }
    // SAFETY: it was just opened and is nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
