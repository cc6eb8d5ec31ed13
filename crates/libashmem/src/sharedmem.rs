// SPDX-License-Identifier: MIT OR Apache-2.0
//! `<android/sharedmem.h>`: the NDK's functions.
//!
//! `ASharedMemory_dupFromJava` is left out: its arguments are a `JNIEnv` and an
//! `android.os.SharedMemory` object, a class of Android's framework that no Java machine on Linux
//! has. Who has a descriptor needs only `dup`.

use crate::border::{descriptor, fail};
use crate::cutils;
use ashmem::{Error, descriptor as region};
use std::ffi::{c_char, c_int};

/// Makes a region of `size` bytes and returns its descriptor, closed on exec; -1 with errno when it
/// cannot.
///
/// # Safety
/// `name` is NULL or points to a terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ASharedMemory_create(name: *const c_char, size: usize) -> c_int {
    if size == 0 {
        return fail(Error::Invalid("a region needs a size of at least one byte"), -1);
    }
    // SAFETY: the caller's promise.
    unsafe { cutils::ashmem_create_region(name, size) }
}

/// The region's size in bytes; 0 with errno when the descriptor is none.
#[unsafe(no_mangle)]
pub extern "C" fn ASharedMemory_getSize(fd: c_int) -> usize {
    match descriptor(fd).and_then(region::size) {
        Ok(size) => size,
        Err(error) => fail(error, 0),
    }
}

/// Narrows what new mappings may do to `PROT_*` bits; 0, or -1 with errno.
#[unsafe(no_mangle)]
pub extern "C" fn ASharedMemory_setProt(fd: c_int, prot: c_int) -> c_int {
    cutils::ashmem_set_prot_region(fd, prot)
}
