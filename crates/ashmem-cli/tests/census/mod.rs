// SPDX-License-Identifier: MIT OR Apache-2.0
//! Regions of this process, and what the program says of them.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Command, Output};

/// A memfd of this name with a page.
pub(crate) fn region(name: &std::ffi::CStr) -> OwnedFd {
    // SAFETY: the name lives through the call.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    assert!(fd >= 0, "memfd_create");
    // SAFETY: the call made it, and nobody else has it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: a descriptor of our own.
    assert_eq!(unsafe { libc::ftruncate(fd.as_raw_fd(), 4096) }, 0);
    fd
}

/// The program with these words.
pub(crate) fn ashmem(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ashmem"));
    command.args(words);
    command
}

/// What a program that ends well prints, and what it says besides.
pub(crate) fn printed(words: &[&str]) -> (String, String) {
    let Output { status, stdout, stderr } = ashmem(words).output().expect("starting ashmem");
    let said = String::from_utf8(stderr).expect("text");
    assert!(status.success(), "{words:?} ended with {status}: {said}");
    (String::from_utf8(stdout).expect("text"), said)
}
