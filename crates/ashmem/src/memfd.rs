// SPDX-License-Identifier: MIT OR Apache-2.0
//! What stands for a region where there is no device: a memfd whose size is sealed, as Android
//! makes it.

use crate::errno;
use crate::error::{Error, Result};
use crate::protection::Protection;
use rustix::fs::{FileType, SealFlags, Stat};
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The longest name memfd_create takes, without its NUL.
const NAME_BYTES: usize = 249;
/// A region keeps its size.
const SIZE_SEALS: SealFlags = SealFlags::GROW.union(SealFlags::SHRINK);

/// Makes a region of this many bytes.
#[inline]
pub(crate) fn create(name: &CStr, size: usize) -> Result<OwnedFd> {
    let fd = if name.count_bytes() <= NAME_BYTES { make(name)? } else { make_shortened(name)? };
    rustix::fs::ftruncate(&fd, size as u64)
        .map_err(Error::of("giving the memfd its size (ftruncate)"))?;
    rustix::fs::fcntl_add_seals(&fd, SIZE_SEALS)
        .map_err(Error::of("sealing the memfd's size (F_ADD_SEALS)"))?;
    Ok(fd)
}

#[inline]
fn make(name: &CStr) -> Result<OwnedFd> {
    const FLAGS: libc::c_uint = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name is terminated.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), FLAGS) };
    errno::owned(fd).map_err(Error::of("making a memfd (memfd_create)"))
}

/// The device cuts a long name; a program that relies on that must not fail here.
#[cold]
fn make_shortened(name: &CStr) -> Result<OwnedFd> {
    let mut short = [0; NAME_BYTES + 1];
    for (to, from) in short.iter_mut().take(NAME_BYTES).zip(name.to_bytes()) {
        *to = *from;
    }
    CStr::from_bytes_until_nul(&short).map_or(Err(Error::Invalid("a name without an end")), make)
}

/// What the kernel says of the memfd; [`Error::NotRegion`] when the descriptor is something else.
pub(crate) fn stat(fd: BorrowedFd<'_>) -> Result<(Stat, SealFlags)> {
    let stat = rustix::fs::fstat(fd).map_err(Error::of("looking at the descriptor (fstat)"))?;
    // Files of a mounted tmpfs have seals too, but they have a name in it.
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink != 0 {
        return Err(Error::NotRegion);
    }
    let seals = rustix::fs::fcntl_get_seals(fd).map_err(|_| Error::NotRegion)?;
    Ok((stat, seals))
}

/// Size in bytes.
pub(crate) fn size(fd: BorrowedFd<'_>) -> Result<usize> {
    let (stat, _) = stat(fd)?;
    usize::try_from(stat.st_size)
        .map_err(|_| Error::System { call: "reading the memfd's size", errno: Errno::OVERFLOW })
}

/// Makes sure that a memfd from somebody else keeps its size.
pub(crate) fn seal_size(fd: BorrowedFd<'_>) -> Result<()> {
    let (_, seals) = stat(fd)?;
    if seals.contains(SIZE_SEALS) {
        return Ok(());
    }
    rustix::fs::fcntl_add_seals(fd, SIZE_SEALS).map_err(|_| Error::Unsealed)
}

/// The mask that the seals amount to (as Google's memfd-ashmem-shim has it).
pub(crate) fn protection(fd: BorrowedFd<'_>) -> Result<Protection> {
    let (_, seals) = stat(fd)?;
    let is_read_only = seals.intersects(SealFlags::WRITE | SealFlags::FUTURE_WRITE);
    Ok(if is_read_only { Protection::READ | Protection::EXEC } else { Protection::all() })
}

/// Takes WRITE from all mappings to come when the mask has none; READ and EXEC cannot be taken.
pub(crate) fn set_protection(fd: BorrowedFd<'_>, mask: Protection) -> Result<()> {
    let has_write = protection(fd)?.contains(Protection::WRITE);
    match (has_write, mask.contains(Protection::WRITE)) {
        _ if !Protection::all().contains(mask) => {
            Err(Error::Invalid("a protection that does not exist"))
        }
        (false, true) => Err(Error::Invalid(
            "the region is read-only: a right that was taken does not come back",
        )),
        (true, false) => rustix::fs::fcntl_add_seals(fd.as_fd(), SealFlags::FUTURE_WRITE)
            .map_err(Error::of("sealing the memfd against writing (F_ADD_SEALS)")),
        _ => Ok(()),
    }
}
