// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the trial runs, and what its cases have in common.

use anyhow::{Context, Result, bail, ensure};
use ashmem::Backend;
use clap::ValueEnum;
use rustix::io::Errno;
use std::fmt::Debug;
use std::fs::File;
use std::io::Error;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// What answers the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Provider {
    /// nothing: regions are memfds
    None,
    /// `ashmem run`
    Run,
    /// the kernel module
    Module,
}

/// A case: what it holds, and how.
pub(crate) type Case = (&'static str, fn(&Surroundings) -> Result<Outcome>);

/// How a case that did not fail came out.
pub(crate) enum Outcome {
    /// It held.
    Held,
    /// It has no place here; why.
    Skipped(&'static str),
}

/// Where the trial runs.
pub(crate) struct Surroundings {
    pub(crate) provider: Provider,
}

impl Surroundings {
    /// What a region is to be made of here when nobody says otherwise.
    pub(crate) fn backend(&self) -> Backend {
        if self.provider == Provider::None { Backend::Memfd } else { Backend::Device }
    }

    pub(crate) fn has_device(&self) -> bool {
        self.provider != Provider::None
    }
}

/// A page, in bytes.
pub(crate) const PAGE: usize = 4096;

/// Fails with both values unless they are the same.
pub(crate) fn same<T: PartialEq + Debug>(what: &str, is: T, should: T) -> Result<()> {
    ensure!(is == should, "{what} is {is:?} and should be {should:?}");
    Ok(())
}

/// A descriptor that a C function returned.
pub(crate) fn opened(fd: RawFd) -> Result<OwnedFd> {
    ensure!(fd >= 0, "the answer is {fd}: {}", Error::last_os_error());
    // SAFETY: the function just made it, for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Calls a C function that is to fail with this answer and this errno.
pub(crate) fn fails<T: PartialEq + Debug>(
    what: &str,
    call: impl FnOnce() -> T,
    answer: T,
    errno: Errno,
) -> Result<()> {
    set_errno(0);
    let is = call();
    let number = errno_now();
    ensure!(
        is == answer && number == errno.raw_os_error(),
        "{what}: {is:?} with errno {number}, and should be {answer:?} with {}",
        errno.raw_os_error()
    );
    Ok(())
}

/// Calls a C function that is to succeed with this answer and leave errno alone.
pub(crate) fn succeeds<T: PartialEq + Debug>(
    what: &str,
    call: impl FnOnce() -> T,
    answer: T,
) -> Result<()> {
    const UNTOUCHED: i32 = 4711;
    set_errno(UNTOUCHED);
    let is = call();
    let number = errno_now();
    ensure!(is == answer, "{what}: {is:?} with errno {number}, and should be {answer:?}");
    ensure!(number == UNTOUCHED, "{what}: succeeded, and left errno {number}");
    Ok(())
}

fn errno_now() -> i32 {
    Error::last_os_error().raw_os_error().unwrap_or_default()
}

fn set_errno(number: i32) {
    // SAFETY: this thread's errno.
    unsafe { *libc::__errno_location() = number };
}

/// Descriptors that are no regions, each with its name.
pub(crate) fn others() -> Result<Vec<(&'static str, OwnedFd)>> {
    let (pipe, _) = rustix::pipe::pipe().context("making a pipe")?;
    let (socket, _) = std::os::unix::net::UnixStream::pair().context("making sockets")?;
    let program = File::open("/proc/self/exe").context("opening this program")?;
    let folder = File::open("/").context("opening /")?;
    let null =
        File::options().read(true).write(true).open("/dev/null").context("opening /dev/null")?;
    Ok(vec![
        ("a pipe", pipe),
        ("a socket", socket.into()),
        ("a file", program.into()),
        ("a folder", folder.into()),
        ("the null device", null.into()),
    ])
}

/// The number of descriptors this process has open.
pub(crate) fn descriptors() -> Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd").context("counting descriptors")?.count())
}

/// Maps a page of a descriptor the way C does; the error when it may not be.
pub(crate) fn map(
    fd: &OwnedFd,
    length: usize,
    protection: i32,
    flags: i32,
) -> Result<*mut u8, Errno> {
    // SAFETY: a new mapping, where the kernel likes it.
    let address =
        unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, fd.as_raw_fd(), 0) };
    if address == libc::MAP_FAILED {
        Err(Errno::from_raw_os_error(errno_now()))
    } else {
        Ok(address.cast())
    }
}

/// Undoes [`map`].
pub(crate) fn unmap(address: *mut u8, length: usize) -> Result<()> {
    // SAFETY: the case is done with the mapping.
    if unsafe { libc::munmap(address.cast(), length) } != 0 {
        bail!("munmap: {}", Error::last_os_error());
    }
    Ok(())
}
