// SPDX-License-Identifier: MIT OR Apache-2.0
//! A region's memory in this process.

use crate::error::{Error, Result};
use crate::protection::Protection;
use rustix::mm::{MapFlags, ProtFlags};
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};
use std::{ptr, slice};

/// A mapped region, unmapped when dropped. It outlives the [`Region`](crate::Region) it was made
/// from.
///
/// Others may write to the same pages at any time, so [`read_at`](Self::read_at) and
/// [`write_at`](Self::write_at) copy, byte by byte, each byte whole. More order than that two
/// processes must agree on themselves.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    length: usize,
    protection: Protection,
}

// SAFETY: the pages belong to no thread, and unmapping them is any thread's to do.
unsafe impl Send for Mapping {}
// SAFETY: through a shared reference bytes are read and written atomically only; all else is unsafe
// to call.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub(crate) fn new(fd: BorrowedFd<'_>, length: usize, protection: Protection) -> Result<Self> {
        let rights = ProtFlags::from_bits_retain(protection.bits());
        let anywhere = ptr::null_mut();
        // SAFETY: without an address of ours the kernel puts it where nothing else is. That no
        // holder of the file takes pages away is what `Region` makes sure of: the device and the
        // seals both keep the size.
        let start = unsafe { rustix::mm::mmap(anywhere, length, rights, MapFlags::SHARED, fd, 0) };
        let start = start.map_err(Error::of("mapping the region (mmap)"))?;
        let start = NonNull::new(start.cast())
            .ok_or(Error::Invalid("the region was mapped at address 0"))?;
        Ok(Self { start, length, protection })
    }

    /// Length in bytes: the region's size.
    #[inline]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Never: a region has at least one byte.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// What may be done here.
    #[inline]
    pub const fn protection(&self) -> Protection {
        self.protection
    }

    /// The first byte, for what this type does not offer.
    #[inline]
    pub const fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Copies bytes out.
    ///
    /// # Panics
    /// When the range is not within the mapping, or the mapping has no `READ`.
    #[inline]
    pub fn read_at(&self, offset: usize, bytes: &mut [u8]) {
        let cells = self.cells(offset, bytes.len(), Protection::READ);
        for (byte, cell) in bytes.iter_mut().zip(cells) {
            *byte = cell.load(Ordering::Relaxed);
        }
    }

    /// Copies bytes in.
    ///
    /// # Panics
    /// When the range is not within the mapping, or the mapping has no `WRITE`.
    #[inline]
    pub fn write_at(&self, offset: usize, bytes: &[u8]) {
        let cells = self.cells(offset, bytes.len(), Protection::WRITE);
        for (byte, cell) in bytes.iter().zip(cells) {
            cell.store(*byte, Ordering::Relaxed);
        }
    }

    #[inline]
    #[track_caller]
    fn cells(&self, offset: usize, length: usize, right: Protection) -> &[AtomicU8] {
        assert!(self.protection.contains(right), "the region is mapped without {right:?}");
        let end = offset.checked_add(length);
        assert!(
            end.is_some_and(|end| end <= self.length),
            "{length} bytes at {offset} are beyond the region's {}",
            self.length
        );
        // SAFETY: the range is within the mapping, which lives as long as `self`; any bytes are
        // valid atomics, whoever writes to them; and what the mapping does not allow was refused
        // above.
        unsafe { slice::from_raw_parts(self.start.as_ptr().add(offset).cast(), length) }
    }

    /// The memory as bytes, without a copy.
    ///
    /// # Safety
    /// While the slice lives nobody writes to the region: no other process, no other mapping, no
    /// [`write_at`](Self::write_at), and none of it is purged. The mapping has `READ`.
    #[inline]
    pub const unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: the mapping is this long, and the caller promises that nothing changes in it.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    /// The memory as bytes to write to, without a copy.
    ///
    /// # Safety
    /// While the slice lives nobody else reads or writes the region, and none of it is purged. The
    /// mapping has `READ` and `WRITE`.
    #[inline]
    pub const unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is this long, and the caller promises to be alone.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference into it is left.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.length) };
    }
}
