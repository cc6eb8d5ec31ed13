// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that are not ours, of files that are no regions.

use crate::calls::{call, ioctl};
use crate::timing::best;

pub(crate) fn getppid() -> f64 {
    best(200_000, || call(libc::SYS_getppid, [0; 6]))
}

pub(crate) fn read() -> f64 {
    let file = null();
    best(100_000, || call(libc::SYS_read, [file, 0, 0, 0, 0, 0]))
}

pub(crate) fn write() -> f64 {
    let file = null();
    best(100_000, || call(libc::SYS_write, [file, 0, 0, 0, 0, 0]))
}

pub(crate) fn ioctl_not_ours() -> f64 {
    best(200_000, || ioctl(1, 0x5401, 0))
}

/// A file that every host has, open for both.
pub(crate) fn null() -> i64 {
    static NULL: std::sync::OnceLock<i64> = std::sync::OnceLock::new();
    let open = || {
        call(libc::SYS_openat, [libc::AT_FDCWD.into(), c"/dev/null".as_ptr() as i64, 2, 0, 0, 0])
    };
    *NULL.get_or_init(open)
}
