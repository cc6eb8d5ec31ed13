// SPDX-License-Identifier: MIT OR Apache-2.0
//! Between C's conventions and ours: descriptors, names, errno.

use ashmem::{Errno, Error};
use std::ffi::{CStr, c_char, c_int};
use std::os::fd::BorrowedFd;

/// The number as a descriptor for the length of a call.
#[inline]
pub(crate) fn descriptor<'call>(fd: c_int) -> Result<BorrowedFd<'call>, Error> {
    if fd < 0 {
        return Err(Error::System { call: "using a descriptor", errno: Errno::BADF });
    }
    // SAFETY: it is not -1. Whether it is open is C's to know; it is used for system calls alone,
    // which answer EBADF.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// The name a caller gave, or what Android takes for none.
///
/// # Safety
/// `name` is NULL or points to a terminated string that nobody changes during the call.
#[inline]
pub(crate) const unsafe fn name<'call>(name: *const c_char) -> &'call CStr {
    if name.is_null() {
        return c"none";
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(name) }
}

/// Leaves the error in errno and answers `failure`.
#[cold]
pub(crate) fn fail<T>(error: Error, failure: T) -> T {
    // SAFETY: the calling thread's errno is its own to write.
    unsafe { *libc::__errno_location() = error.errno().raw_os_error() };
    failure
}
