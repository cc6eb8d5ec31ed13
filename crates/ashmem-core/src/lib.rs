// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
//! The ashmem device as pure logic: it knows no kernel, no system call and no allocator.
//!
//! The kernel module, the seccomp agent and the tests' model are shells around this crate: they do
//! input, output, memory and locking; every decision that a specification row names is taken here.
//!
//! - [`abi`]: the ioctl numbers and structures, and the decoding of `(cmd, arg)` into a
//!   [`abi::Request`];
//! - [`region`]: one region's name, size, protection mask and whether it is mapped, and each
//!   request's checks in order;
//! - [`pins`]: the unpinned ranges of one region, in a balanced tree;
//! - [`range`]: one of these ranges, and where ranges live;
//! - [`lru`]: the order in which the unpinned ranges of all regions are purged;
//! - [`store`]: what a shell provides: memory for ranges, and the lock around the purge order.
//!
//! Row names such as `PIN-19` are those of the project's `docs/specification.md`.
//!
//! What it does not do: allocate, block, panic, read user memory, know a page's content.

#![no_std]
#![forbid(unsafe_code)]

pub mod abi;
mod errno;
pub mod lru;
pub mod pins;
pub mod range;
pub mod region;
pub mod store;
mod tree;

pub use errno::Errno;
