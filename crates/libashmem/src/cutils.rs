// SPDX-License-Identifier: MIT OR Apache-2.0
//! `<cutils/ashmem.h>`: the functions of Android's libcutils.

use crate::border::{descriptor, fail, name};
use ashmem::{Errno, Error, Protection, Purge, descriptor as region};
use std::ffi::{c_char, c_int};
use std::os::fd::IntoRawFd;

/// What `ashmem_unpin_region` answers: the range is unpinned now.
const IS_UNPINNED: c_int = 0;
/// What `ashmem_pin_region` answers.
const NOT_PURGED: c_int = 0;
/// What `ashmem_pin_region` answers.
const WAS_PURGED: c_int = 1;

/// 1 when the descriptor is a region, 0 with errno when it is not.
#[unsafe(no_mangle)]
pub extern "C" fn ashmem_valid(fd: c_int) -> c_int {
    match descriptor(fd).and_then(region::check) {
        Ok(()) => 1,
        Err(error) => fail(error, 0),
    }
}

/// Makes a region and returns its descriptor, closed on exec; -1 with errno when it cannot. A size
/// of 0 is taken.
///
/// # Safety
/// `name` is NULL or points to a terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ashmem_create_region(name: *const c_char, size: usize) -> c_int {
    // SAFETY: the caller's promise.
    let name = unsafe { self::name(name) };
    match region::create(name, size) {
        Ok(fd) => fd.into_raw_fd(),
        Err(error) => fail(error, -1),
    }
}

/// Narrows what new mappings may do to `PROT_*` bits; 0, or -1 with errno.
#[unsafe(no_mangle)]
pub extern "C" fn ashmem_set_prot_region(fd: c_int, prot: c_int) -> c_int {
    let mask = Protection::from_bits_retain(prot.cast_unsigned());
    match descriptor(fd).and_then(|fd| region::set_protection(fd, mask)) {
        Ok(()) => 0,
        Err(error) => fail(error, -1),
    }
}

/// Pins a range; `ASHMEM_NOT_PURGED`, `ASHMEM_WAS_PURGED`, or -1 with errno. A length of 0 is all
/// to the region's end.
#[unsafe(no_mangle)]
pub extern "C" fn ashmem_pin_region(fd: c_int, offset: usize, len: usize) -> c_int {
    match descriptor(fd).and_then(|fd| region::pin(fd, offset, len)) {
        Ok(Purge::Kept) => NOT_PURGED,
        Ok(Purge::Purged) => WAS_PURGED,
        Err(error) => fail(error, -1),
    }
}

/// Unpins a range; `ASHMEM_IS_UNPINNED`, or -1 with errno.
#[unsafe(no_mangle)]
pub extern "C" fn ashmem_unpin_region(fd: c_int, offset: usize, len: usize) -> c_int {
    match descriptor(fd).and_then(|fd| region::unpin(fd, offset, len)) {
        Ok(()) => IS_UNPINNED,
        Err(error) => fail(error, -1),
    }
}

/// The region's size in bytes, or -1 with errno: `EOVERFLOW` for a region that an `int` cannot
/// count.
#[unsafe(no_mangle)]
pub extern "C" fn ashmem_get_size_region(fd: c_int) -> c_int {
    let size = descriptor(fd).and_then(region::size).and_then(|size| {
        c_int::try_from(size)
            .map_err(|_| Error::System { call: "counting in an int", errno: Errno::OVERFLOW })
    });
    match size {
        Ok(size) => size,
        Err(error) => fail(error, -1),
    }
}
