// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
//! The error numbers the device itself answers with.

/// An error number of Linux's generic ABI (x86 and arm agree on all of these).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Errno {
    /// EPERM: a mapping beyond the protection mask, or a purge without the privilege.
    Perm = 1,
    /// EINTR: the caller was killed while it waited.
    Intr = 4,
    /// EBADF: read or seek before the region was mapped.
    BadF = 9,
    /// ENOMEM: no memory for an unpinned range, a name or the backing file.
    NoMem = 12,
    /// EFAULT: a pointer that cannot be read or written.
    Fault = 14,
    /// EINVAL: a value or an order of calls that the device refuses.
    Inval = 22,
    /// ENOTTY: a number that is not one of the device's.
    NoTty = 25,
}

impl Errno {
    /// The value a system call returns in the kernel: the number, negative.
    pub const fn as_return(self) -> i64 {
        (self as i64).wrapping_neg()
    }
}
