// SPDX-License-Identifier: MIT OR Apache-2.0
//! Android's shared memory regions on Linux.
//!
//! A [`Region`] is memory behind a file descriptor: it has a size that never changes, a name for
//! people who read `/proc/PID/maps`, and a protection mask that only ever narrows. Hand the
//! descriptor to another process, and both map the same pages.
//!
//! ```
//! use ashmem::{Protection, Region};
//!
//! let region = Region::create(c"greeting", 4096)?;
//! region.map(Protection::READ | Protection::WRITE)?.write_at(0, b"hello");
//! region.set_protection(Protection::READ)?;      // for good, and for whoever receives it
//!
//! let mut text = [0; 5];
//! region.map(Protection::READ)?.read_at(0, &mut text);
//! assert_eq!(&text, b"hello");
//! assert!(region.map(Protection::READ | Protection::WRITE).is_err());
//! # Ok::<(), ashmem::Error>(())
//! ```
//!
//! # What it does
//!
//! - Uses the ashmem device where the machine has one (the kernel module, or `ashmem run`), and a
//!   sealed memfd where it has none; [`Backend`] says how that is chosen, and the variable
//!   `ASHMEM_BACKEND` how to decide it otherwise.
//! - Keeps descriptors in [`OwnedFd`](std::os::fd::OwnedFd), closed on exec; nothing here takes or
//!   returns a bare number.
//! - Unmaps what it mapped ([`Mapping`]), unpins what it pinned ([`Pin`]).
//! - Sends regions over Unix sockets and receives them ([`Region::send`], [`Region::receive`]).
//! - Works on regions that others made, whichever way they did ([`Region::from_fd`],
//!   [`descriptor`]).
//! - Can be used from any number of threads, and by a child after `fork`: there is no lock, and
//!   nothing is allocated.
//!
//! # What it does not do
//!
//! - It does not hide that memory is shared: what another process may write can change between two
//!   reads, so bytes are copied in and out, and a slice costs an `unsafe` ([`Mapping::as_slice`]).
//! - It does not invent what a memfd has not: see [`Backend::Memfd`].
//! - It does not open regions by name. A name is a label; the descriptor is the region.
//!
//! The same for C is `libashmem`: `<android/sharedmem.h>` and `<cutils/ashmem.h>`.

mod backend;
pub mod descriptor;
mod device;
mod errno;
mod error;
mod mapping;
mod memfd;
mod pin;
mod protection;
mod purge;
mod region;
mod socket;

pub use backend::Backend;
pub use error::{Errno, Error, Result};
pub use mapping::Mapping;
pub use pin::Pin;
pub use protection::Protection;
pub use purge::Purge;
pub use region::{Options, Region};
