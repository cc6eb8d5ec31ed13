// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can go wrong, each with its errno and what to do about it.

use std::fmt;

use crate::protection::Protection;

/// A system's error number, as rustix has it.
pub use rustix::io::Errno;

/// What comes of a call: its answer, or an [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed. [`Error::errno`] is what the C library leaves in `errno` for the same.
///
/// `Debug` is the sentence of `Display`, for that is what people get to read where `main` returns
/// the error, or an `unwrap` meets it:
///
/// ```
/// let error = ashmem::Region::create(c"nothing", 0).unwrap_err();
/// assert_eq!(format!("{error:?}"), "a region needs a size of at least one byte");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused a call.
    #[error("{call}: {errno}")]
    System {
        /// The call that was made.
        call: &'static str,
        /// What it answered.
        errno: Errno,
    },
    /// Neither `/dev/ashmem<boot_id>` nor `/dev/ashmem` could be opened, or what could be opened is
    /// no ashmem device (`ENODEV`).
    #[error(
        "/dev/ashmem: {0}: load the kernel module (modprobe ashmem_linux), start the program with \
         `ashmem run`, or let it use memfd (ASHMEM_BACKEND=memfd)"
    )]
    NoDevice(Errno),
    /// `ASHMEM_BACKEND` is set to something else than `auto`, `device` or `memfd` (`EINVAL`).
    #[error(
        "ASHMEM_BACKEND is set, but to none of auto, device, memfd: set it to one of them, or \
         unset it"
    )]
    UnknownBackend,
    /// A size of nothing, or a range that is empty, reversed, not on page boundaries or beyond 4
    /// GiB (`EINVAL`).
    #[error("{0}")]
    Invalid(&'static str),
    /// A mapping with a right that the region's protection mask has not (`EPERM`).
    #[error(
        "the region's protection mask {} forbids a mapping with {}: ask for no more than \
         Region::protection has; a right that was taken from a region does not come back",
        rights(*mask),
        rights(*wanted)
    )]
    Forbidden {
        /// What the mapping was to be able to do.
        wanted: Protection,
        /// What mappings of the region may do at most.
        mask: Protection,
    },
    /// The descriptor is neither a region of the device nor a memfd (`ENOTTY`).
    #[error("the descriptor is no shared memory region: neither the ashmem device's nor a memfd")]
    NotRegion,
    /// A memfd that others can still shrink, whose mapping could fault at any time; its seals
    /// cannot be added any more (`EPERM`).
    #[error(
        "the memfd's size is not sealed and can no longer be: have its maker add F_SEAL_SHRINK and \
         F_SEAL_GROW"
    )]
    Unsealed,
    /// The peer closed the socket before it sent a region (`ECONNRESET`).
    #[error("the socket's other end closed without sending a region")]
    Closed,
    /// A message came without a descriptor (`EBADMSG`).
    #[error(
        "a message came that carries no descriptor: is the other end sending with Region::send or \
         SCM_RIGHTS?"
    )]
    NoDescriptor,
}

impl Error {
    /// The error as a number.
    pub const fn errno(self) -> Errno {
        match self {
            Self::System { errno, .. } | Self::NoDevice(errno) => errno,
            Self::UnknownBackend | Self::Invalid(_) => Errno::INVAL,
            Self::NotRegion => Errno::NOTTY,
            Self::Unsealed | Self::Forbidden { .. } => Errno::PERM,
            Self::Closed => Errno::CONNRESET,
            Self::NoDescriptor => Errno::BADMSG,
        }
    }

    /// For `map_err`: the error of this call.
    pub(crate) fn of(call: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self::System { call, errno }
    }
}

impl fmt::Debug for Error {
    /// The sentence.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Rights as `/proc/PID/maps` writes them: `rw-`.
fn rights(of: Protection) -> &'static str {
    const WRITTEN: [&str; 8] = ["---", "r--", "-w-", "rw-", "--x", "r-x", "-wx", "rwx"];
    WRITTEN.get(of.bits() as usize).copied().unwrap_or("unknown")
}

impl From<Error> for std::io::Error {
    /// Keeps the kind and the sentence. The number itself is [`Error::errno`].
    fn from(error: Error) -> Self {
        Self::new(Self::from_raw_os_error(error.errno().raw_os_error()).kind(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::{Errno, Error};
    use crate::protection::Protection;

    #[test]
    fn an_error_from_main_is_a_sentence() {
        let forbidden = Error::Forbidden {
            wanted: Protection::READ | Protection::WRITE,
            mask: Protection::READ,
        };
        let shown = format!("{forbidden:?}");
        assert_eq!(shown, forbidden.to_string());
        assert!(shown.contains("mask r-- forbids a mapping with rw-: ask for"), "{shown}");
        assert_eq!(forbidden.errno(), Errno::PERM);
        let from_main = format!("{:?}", Error::UnknownBackend);
        assert!(from_main.starts_with("ASHMEM_BACKEND is set, but to none of"), "{from_main}");
    }
}
