// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files by which the kernel is told what to do.

use std::fs::OpenOptions;
use std::io::Write;

/// Writes to a file that the kernel made; it is neither made nor cut here.
pub(crate) fn put(path: &str, text: &str) -> i64 {
    let written = OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    if written.is_ok() { 0 } else { -1 }
}

/// Makes the n-th fallible call of the calling thread fail (Documentation/fault-injection), 0 for
/// none.
pub(crate) fn set_fail(n: u32) {
    // Kernels without fault injection have no such file, and nothing fails.
    put("/proc/thread-self/fail-nth", &n.to_string());
}
