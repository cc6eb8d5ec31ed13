// SPDX-License-Identifier: GPL-2.0
//! The caller's memory and rights. No lock may be held around these: a page fault takes the address
//! space's lock, which mmap holds when it takes a region's (LOCK-01).

use core::mem::MaybeUninit;
use core::num::NonZeroUsize;

use ashmem_core::{Errno, abi};

use crate::glue;

/// `struct ashmem_pin`, as one word.
///
/// # Errors
/// EFAULT.
pub(crate) fn read_pin(address: u64) -> Result<u64, Errno> {
    let mut pin = 0;
    // SAFETY: the C half checks the address; `pin` is ours to write.
    if unsafe { glue::ashmem_read_pin(address, &raw mut pin) } == 0 {
        Ok(pin)
    } else {
        Err(Errno::Fault)
    }
}

/// Reads a string up to its NUL, at most 255 bytes; the rest of a longer one is left out (NAME-04).
/// Answers how many bytes of `to` were filled, `None` for an empty string.
///
/// # Errors
/// EFAULT.
pub(crate) fn read_string(
    address: u64,
    to: &mut [MaybeUninit<u8>; abi::NAME_LEN],
) -> Result<Option<NonZeroUsize>, Errno> {
    // SAFETY: the C half checks the address and writes at most NAME_LEN bytes.
    let len =
        unsafe { glue::ashmem_read_string(to.as_mut_ptr().cast(), address, abi::NAME_LEN as _) };
    let len = usize::try_from(len).map_err(|_| Errno::Fault)?;
    Ok(NonZeroUsize::new(len.min(abi::NAME_LEN - 1)))
}

/// Writes `bytes` to the caller.
///
/// # Errors
/// EFAULT.
pub(crate) fn write(address: u64, bytes: &[u8]) -> Result<(), Errno> {
    // SAFETY: the C half checks the address; `bytes` is readable for its length.
    let error = unsafe { glue::ashmem_write(address, bytes.as_ptr().cast(), bytes.len() as _) };
    if error == 0 { Ok(()) } else { Err(Errno::Fault) }
}

/// Whether the caller may purge every region: CAP_SYS_ADMIN in the initial user namespace
/// (PURGE-01).
pub(crate) fn may_purge() -> bool {
    // SAFETY: looks at the current task only.
    unsafe { glue::ashmem_may_purge() }
}

/// Whether the caller's personality has READ_IMPLIES_EXEC (PROT-07).
pub(crate) fn read_implies_exec() -> bool {
    // SAFETY: looks at the current task only.
    unsafe { glue::ashmem_read_implies_exec() }
}

/// A 32-bit caller's pointer as an address.
pub(crate) fn compat_pointer(address: u64) -> u64 {
    // SAFETY: arithmetic only.
    unsafe { glue::ashmem_compat_pointer(address) }
}
