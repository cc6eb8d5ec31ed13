// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a region is, where its memory lies, and how long it lives.
//!
//! - [`node`]: the device as programs see it from outside;
//! - [`region`], [`arena`]: one region's state, and the unpinned ranges of all;
//! - [`memfd`], `memfd_pool`: the memory of a region, and a pool of memfds for future opens;
//! - `memfd_state`: a region's state where its memfd holds it;
//! - [`table`], `pending_opens`, `watch_quota`: the regions of one tenant, found by inode;
//! - `busy`: those that a request works at.

pub mod arena;
pub(crate) mod busy;
pub mod memfd;
pub(crate) mod memfd_pool;
pub(crate) mod memfd_state;
pub mod node;
pub(crate) mod pending_opens;
pub mod region;
pub mod table;
pub(crate) mod watch_quota;
