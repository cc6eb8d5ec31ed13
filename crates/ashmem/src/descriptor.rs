// SPDX-License-Identifier: MIT OR Apache-2.0
//! The calls on any descriptor of a region, from this process or another.
//!
//! Each asks the device first and, where the answer is that the descriptor is none of its, looks
//! whether it is a memfd. A memfd is any unnamed shared memory file, sealed or not, as Android
//! takes them. What is neither is [`Error::NotRegion`].
//!
//! What follows upon a refusal is kept apart (`#[cold]`): on a region of the device these calls are
//! to cost what the bare ioctl costs, which `cargo xtask bench --provider library` counts.

use crate::error::{Errno, Error, Result};
use crate::protection::Protection;
use crate::purge::Purge;
use crate::{Backend, backend, device, memfd};
use ashmem_core::abi;
use rustix::fs::FileType;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Makes a region and returns nothing but its descriptor; a size of 0 is taken, as Android's
/// libcutils takes it.
///
/// # Errors
/// As [`Region::create`](crate::Region::create).
#[inline]
pub fn create(name: &CStr, size: usize) -> Result<OwnedFd> {
    backend::create(name, size).map(|(fd, _)| fd)
}

/// `fd` is a region.
#[inline]
pub fn is_region(fd: impl AsFd) -> bool {
    check(fd.as_fd()).is_ok()
}

/// As [`is_region`], with the reason when it is none.
///
/// # Errors
/// - [`Error::NotRegion`]: it is something else.
/// - [`Error::System`] with `EBADF`: it is not open, or opened with `O_PATH`.
#[inline]
pub fn check(fd: impl AsFd) -> Result<()> {
    let fd = fd.as_fd();
    match device::protection(fd) {
        Ok(mask) if Protection::from_bits(mask).is_some() => Ok(()),
        Err(Errno::BADF) => Err(bad("asking for the mask (ASHMEM_GET_PROT_MASK)")),
        // Other drivers have other answers to a number they do not know.
        _ => memfd::stat(fd).map(drop),
    }
}

/// What the region is made of.
///
/// Under `ashmem run --fidelity fast` a device's region that was mapped once looks like a memfd
/// from here; it pins and purges all the same.
///
/// # Errors
/// As [`check`].
pub fn backend(fd: impl AsFd) -> Result<Backend> {
    let fd = fd.as_fd();
    check(fd)?;
    let stat = rustix::fs::fstat(fd).map_err(Error::of("looking at the descriptor (fstat)"))?;
    // Some kernels, and `ashmem run`, answer the device's calls on a memfd as well, with its size.
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    Ok(if is_device || device::size(fd).is_ok_and(|size| size as u32 != stat.st_size as u32) {
        Backend::Device
    } else {
        Backend::Memfd
    })
}

/// The region's size in bytes, as it was created. Of a device's region ioctl(2) tells the low 32
/// bits alone: beyond 4 GiB the answer is too small by a multiple of that.
///
/// # Errors
/// As [`check`].
///
/// # References
/// - `ASHMEM_GET_SIZE`; fstat(2) of a memfd
#[inline]
pub fn size(fd: impl AsFd) -> Result<usize> {
    let fd = fd.as_fd();
    match device::size(fd) {
        Ok(size) => Ok(size),
        Err(errno) => size_without_device(fd, errno),
    }
}

#[cold]
fn size_without_device(fd: BorrowedFd<'_>, errno: Errno) -> Result<usize> {
    match errno {
        Errno::BADF => Err(bad("asking for the size (ASHMEM_GET_SIZE)")),
        _ => memfd::size(fd),
    }
}

/// The region's protection mask.
///
/// # Errors
/// As [`check`].
#[inline]
pub fn protection(fd: impl AsFd) -> Result<Protection> {
    let fd = fd.as_fd();
    match device::protection(fd).map(Protection::from_bits) {
        Ok(Some(mask)) => Ok(mask),
        Err(Errno::BADF) => Err(bad("asking for the mask (ASHMEM_GET_PROT_MASK)")),
        Ok(None) | Err(_) => memfd::protection(fd),
    }
}

/// Takes from the mask what `mask` has not. What is mapped already stays as it is.
///
/// Of a memfd only WRITE can be taken; to take READ or EXEC succeeds there without effect, as on
/// Android.
///
/// # Errors
/// - `EINVAL`: `mask` has a right that was taken before.
/// - `EPERM`: a memfd that lets no seal be added.
/// - Otherwise as [`check`].
///
/// # References
/// - `ASHMEM_SET_PROT_MASK`; `F_SEAL_FUTURE_WRITE` in fcntl(2)
#[inline]
pub fn set_protection(fd: impl AsFd, mask: Protection) -> Result<()> {
    let fd = fd.as_fd();
    match device::set_protection(fd, mask.bits()) {
        Ok(()) => Ok(()),
        Err(errno) => set_protection_without_device(fd, mask, errno),
    }
}

#[cold]
fn set_protection_without_device(fd: BorrowedFd<'_>, mask: Protection, errno: Errno) -> Result<()> {
    match errno {
        Errno::NOTTY => memfd::set_protection(fd, mask),
        _ => Err(Error::of("narrowing the mask (ASHMEM_SET_PROT_MASK)")(errno)),
    }
}

/// Pins `length` bytes from `offset`: they stay from now on. Tells whether any of them went
/// meanwhile.
///
/// Both are in bytes, on page boundaries; a `length` of 0 is all from `offset` on. On a memfd it
/// succeeds and nothing was purged, whatever the range.
///
/// # Errors
/// - `EINVAL`: the range is not on page boundaries, beyond the region or beyond 4 GiB; or nobody
///   ever mapped the region.
/// - Otherwise as [`check`].
///
/// # References
/// - `ASHMEM_PIN`
#[inline]
pub fn pin(fd: impl AsFd, offset: usize, length: usize) -> Result<Purge> {
    let fd = fd.as_fd();
    match device::pin(fd, interval(offset, length)?) {
        Ok(false) => Ok(Purge::Kept),
        Ok(true) => Ok(Purge::Purged),
        Err(errno) => pin_without_device(fd, errno, "pinning (ASHMEM_PIN)").map(|()| Purge::Kept),
    }
}

/// Unpins `length` bytes from `offset`: the kernel may take their content when it needs memory.
///
/// # Errors
/// As [`pin`].
///
/// # References
/// - `ASHMEM_UNPIN`
#[inline]
pub fn unpin(fd: impl AsFd, offset: usize, length: usize) -> Result<()> {
    let fd = fd.as_fd();
    match device::unpin(fd, interval(offset, length)?) {
        Ok(()) => Ok(()),
        Err(errno) => pin_without_device(fd, errno, "unpinning (ASHMEM_UNPIN)"),
    }
}

/// A memfd is pinned for good: both calls do nothing to it.
#[cold]
fn pin_without_device(fd: BorrowedFd<'_>, errno: Errno, call: &'static str) -> Result<()> {
    match errno {
        Errno::NOTTY => memfd::stat(fd).map(drop),
        _ => Err(Error::of(call)(errno)),
    }
}

/// The device takes 32 bits of each. Android drops the rest unseen, and pins something else than
/// was asked for.
#[inline]
fn interval(offset: usize, length: usize) -> Result<abi::Pin> {
    match (u32::try_from(offset), u32::try_from(length)) {
        (Ok(offset), Ok(len)) => Ok(abi::Pin { offset, len }),
        _ => Err(too_far()),
    }
}

#[cold]
fn too_far() -> Error {
    Error::Invalid("an offset or a length beyond 4 GiB: the device's calls carry 32 bits of each")
}

#[cold]
fn bad(call: &'static str) -> Error {
    Error::of(call)(Errno::BADF)
}
