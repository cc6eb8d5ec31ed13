// SPDX-License-Identifier: MIT OR Apache-2.0
//! One region, owned.

use crate::backend::{self, Backend};
use crate::error::{Errno, Error, Result};
use crate::mapping::Mapping;
use crate::pin::Pin;
use crate::protection::Protection;
use crate::purge::Purge;
use crate::{descriptor, device, memfd};
use std::ffi::CStr;
use std::ops::{Bound, RangeBounds};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

/// A shared memory region, held by a descriptor that is closed when this is dropped.
///
/// Mappings of it, and descriptors that others received, outlive it.
#[derive(Debug)]
pub struct Region {
    fd: OwnedFd,
    size: usize,
    backend: Backend,
}

impl Region {
    /// Makes a region of `size` bytes, zeroed and with every right.
    ///
    /// The name is for people: the device keeps its first 255 bytes, a memfd 249.
    ///
    /// # Errors
    /// - [`Error::Invalid`]: `size` is 0.
    /// - [`Error::UnknownBackend`], [`Error::NoDevice`]: see [`Backend`].
    /// - [`Error::System`]: `EMFILE`, `ENFILE`, `ENOMEM`; `EINVAL` for a size beyond what a file
    ///   can have.
    #[inline]
    pub fn create(name: &CStr, size: usize) -> Result<Self> {
        Options::new().create(name, size)
    }

    /// Takes a region that somebody else made, of whichever kind.
    ///
    /// The size is what [`descriptor::size`] can tell. A memfd whose size is not sealed gets the
    /// seals, so that no other holder can pull its pages from under a mapping.
    ///
    /// # Errors
    /// - [`Error::NotRegion`]: the descriptor is something else. It is closed.
    /// - [`Error::Unsealed`]: the seals could not be added.
    /// - [`Error::Invalid`]: a device's descriptor that was never given a size.
    pub fn from_fd(fd: OwnedFd) -> Result<Self> {
        let backend = descriptor::backend(&fd)?;
        if backend == Backend::Memfd {
            memfd::seal_size(fd.as_fd())?;
        }
        let size = descriptor::size(&fd)?;
        if size == 0 {
            return Err(EMPTY);
        }
        Ok(Self { fd, size, backend })
    }

    /// Size in bytes.
    #[inline]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// What it is made of.
    #[inline]
    pub const fn backend(&self) -> Backend {
        self.backend
    }

    /// The most that a new mapping may do.
    ///
    /// # Errors
    /// As [`descriptor::protection`].
    pub fn protection(&self) -> Result<Protection> {
        descriptor::protection(self)
    }

    /// Takes rights from the region, for good and for every holder; what is mapped stays as it is.
    ///
    /// # Errors
    /// As [`descriptor::set_protection`].
    pub fn set_protection(&self, mask: Protection) -> Result<()> {
        descriptor::set_protection(self, mask)
    }

    /// Maps the whole region, shared with all others that do.
    ///
    /// # Errors
    /// - [`Error::Forbidden`]: a right that the region's mask has not (row MMAP-05 of the
    ///   specification; of a memfd, `F_SEAL_FUTURE_WRITE`).
    /// - `EACCES`: a right that the descriptor has not, for it was opened with fewer.
    /// - `ENOMEM`: no room for it in the address space.
    pub fn map(&self, protection: Protection) -> Result<Mapping> {
        Mapping::new(self.as_fd(), self.size, protection).map_err(|error| {
            // The kernel has one number for all that may not be: the mask tells whether it is why.
            match (error.errno(), self.protection()) {
                (Errno::PERM, Ok(mask)) if !mask.contains(protection) => {
                    Error::Forbidden { wanted: protection, mask }
                }
                _ => error,
            }
        })
    }

    /// Pins a range, in bytes on page boundaries, until the guard is dropped. `..` is the whole
    /// region.
    ///
    /// # Errors
    /// As [`descriptor::pin`]; [`Error::Invalid`] for an empty range.
    pub fn pin(&self, range: impl RangeBounds<usize>) -> Result<Pin<'_>> {
        let (offset, length) = interval(range)?;
        let purge = descriptor::pin(self, offset, length)?;
        Ok(Pin::new(self.as_fd(), offset, length, purge))
    }

    /// Unpins a range: the kernel may take its content when it needs memory.
    ///
    /// # Errors
    /// As [`Region::pin`].
    ///
    /// # Example
    /// A cache that can be made again:
    /// ```
    /// # use ashmem::{Protection, Purge, Region};
    /// let region = Region::create(c"cache", 16 * 4096)?;
    /// let memory = region.map(Protection::READ | Protection::WRITE)?;
    /// memory.write_at(0, &[7; 4096]);
    /// region.unpin(..)?;
    /// // ... later:
    /// let pin = region.pin(..)?;
    /// if pin.purge() == Purge::Purged {
    ///     memory.write_at(0, &[7; 4096]);
    /// }
    /// // ... use it; the guard's end unpins it again
    /// # drop(pin);
    /// # Ok::<(), ashmem::Error>(())
    /// ```
    pub fn unpin(&self, range: impl RangeBounds<usize>) -> Result<()> {
        let (offset, length) = interval(range)?;
        descriptor::unpin(self, offset, length)
    }

    /// Pins a range for good, without a guard, and tells what became of it.
    ///
    /// # Errors
    /// As [`Region::pin`].
    pub fn pin_for_good(&self, range: impl RangeBounds<usize>) -> Result<Purge> {
        let (offset, length) = interval(range)?;
        descriptor::pin(self, offset, length)
    }

    /// Another descriptor of the same region.
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn try_clone(&self) -> Result<Self> {
        let fd = rustix::io::fcntl_dupfd_cloexec(&self.fd, 3)
            .map_err(Error::of("copying the descriptor (fcntl)"))?;
        Ok(Self { fd, ..*self })
    }
}

const EMPTY: Error = Error::Invalid("a region needs a size of at least one byte");

/// A range as the device takes it, where a length of 0 means "to the end".
fn interval(range: impl RangeBounds<usize>) -> Result<(usize, usize)> {
    const NOTHING: Error =
        Error::Invalid("an empty range: the device would take it for all up to the end");
    let overflow = || Error::Invalid("a range beyond the address space");
    let offset = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.checked_add(1).ok_or_else(overflow)?,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.checked_add(1).ok_or_else(overflow)?,
        Bound::Excluded(end) => *end,
        Bound::Unbounded => return Ok((offset, 0)),
    };
    match end.checked_sub(offset) {
        None | Some(0) => Err(NOTHING),
        Some(length) => Ok((offset, length)),
    }
}

/// How a region is to be made, where [`Region::create`] says too little.
///
/// ```
/// use ashmem::{Backend, Options};
///
/// let region = Options::new().backend(Backend::Memfd).create(c"frames", 1 << 20)?;
/// assert_eq!(region.backend(), Backend::Memfd);
/// # Ok::<(), ashmem::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    backend: Option<Backend>,
}

impl Options {
    /// As [`Region::create`] makes it.
    #[inline]
    pub const fn new() -> Self {
        Self { backend: None }
    }

    /// Of this, whatever the environment says.
    #[inline]
    pub const fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Makes the region.
    ///
    /// # Errors
    /// As [`Region::create`].
    #[inline]
    pub fn create(self, name: &CStr, size: usize) -> Result<Region> {
        if size == 0 {
            return Err(EMPTY);
        }
        let (fd, backend) = match self.backend {
            None => backend::create(name, size)?,
            Some(Backend::Device) => (device::create(name, size)?, Backend::Device),
            Some(Backend::Memfd) => (memfd::create(name, size)?, Backend::Memfd),
        };
        Ok(Region { fd, size, backend })
    }
}

impl AsFd for Region {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Region {
    #[inline]
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl IntoRawFd for Region {
    #[inline]
    fn into_raw_fd(self) -> RawFd {
        self.fd.into_raw_fd()
    }
}

impl From<Region> for OwnedFd {
    #[inline]
    fn from(region: Region) -> Self {
        region.fd
    }
}

impl TryFrom<OwnedFd> for Region {
    type Error = Error;

    /// As [`Region::from_fd`].
    fn try_from(fd: OwnedFd) -> Result<Self> {
        Self::from_fd(fd)
    }
}
