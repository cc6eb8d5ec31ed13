// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which kind of memory a new region is made of, and how that is decided.

use crate::error::{Error, Result};
use crate::{device, memfd};
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU8, Ordering};

/// What a region is made of.
///
/// Unless a caller names one ([`Options::backend`](crate::Options::backend)), the environment
/// variable `ASHMEM_BACKEND` decides:
///
/// | Value | A new region |
/// |---|---|
/// | `auto`, empty, unset | the device where there is one, otherwise memfd |
/// | `device` | the device; an error where there is none |
/// | `memfd` | memfd |
///
/// Anything else is an error, and a program that gained rights by being executed (set-user-ID, file
/// capabilities) ignores the variable. It is read once, at the first region a process makes without
/// naming a backend, and `auto` looks for the device at that moment; a process that found none
/// stays with memfd. A process that found one and whose device went away since (the module was
/// unloaded) makes memfds until it is back.
///
/// Regions that others made are used as what they are, whatever is chosen here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// The ashmem device: `/dev/ashmem<boot_id>`, or `/dev/ashmem`. Taken only when it answers as
    /// ashmem does.
    Device,
    /// A memfd whose size is sealed, which is what Android itself uses where its kernel supports
    /// it.
    ///
    /// What it has not: only WRITE can be taken from its mask. Its pages are never purged, so
    /// pinning and unpinning do nothing and succeed, as on Android. `/proc/PID/maps` shows
    /// `/memfd:NAME`, and a name ends after 249 bytes.
    Memfd,
}

/// What was decided for this process. One word and no lock: threads that race to it come to the
/// same result, and a child forked meanwhile finds nothing half done.
static DECIDED: AtomicU8 = AtomicU8::new(UNDECIDED);

const UNDECIDED: u8 = 0;
const MEMFD: u8 = 1;
/// The device, and nothing else will do.
const DEVICE: u8 = 2;
/// The device, as one was found.
const FOUND: u8 = 3;

/// Makes a region of what the process has decided on.
#[inline]
pub(crate) fn create(name: &CStr, size: usize) -> Result<(OwnedFd, Backend)> {
    match DECIDED.load(Ordering::Relaxed) {
        MEMFD => memfd::create(name, size).map(as_memfd),
        DEVICE => device::create(name, size).map(as_device),
        FOUND => device_or_memfd(name, size),
        _ => decide(name, size),
    }
}

fn device_or_memfd(name: &CStr, size: usize) -> Result<(OwnedFd, Backend)> {
    match device::create(name, size) {
        Err(Error::NoDevice(_)) => memfd::create(name, size).map(as_memfd),
        other => other.map(as_device),
    }
}

#[cold]
fn decide(name: &CStr, size: usize) -> Result<(OwnedFd, Backend)> {
    let decision = match variable() {
        b"" | b"auto" => match device::find() {
            Ok(_) => FOUND,
            Err(Error::NoDevice(_)) => MEMFD,
            // No descriptors left, say: that tells nothing about the device, so the next region
            // asks again.
            Err(error) => return Err(error),
        },
        b"device" => DEVICE,
        b"memfd" => MEMFD,
        _ => return Err(Error::UnknownBackend),
    };
    DECIDED.store(decision, Ordering::Relaxed);
    create(name, size)
}

/// The value of `ASHMEM_BACKEND`, empty when it is to be ignored.
fn variable() -> &'static [u8] {
    // SAFETY: getauxval only reads what the kernel handed to the process when it began.
    if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        return b"";
    }
    // SAFETY: the name is terminated.
    let value = unsafe { libc::getenv(c"ASHMEM_BACKEND".as_ptr()) };
    if value.is_null() {
        return b"";
    }
    // SAFETY: getenv returns a terminated string. It stays where it is unless the program changes
    // this very variable, which it must not do beside other threads that read the environment
    // (POSIX, setenv).
    unsafe { CStr::from_ptr(value) }.to_bytes()
}

const fn as_device(fd: OwnedFd) -> (OwnedFd, Backend) {
    (fd, Backend::Device)
}

const fn as_memfd(fd: OwnedFd) -> (OwnedFd, Backend) {
    (fd, Backend::Memfd)
}
