// SPDX-License-Identifier: MIT OR Apache-2.0
//! The census: which shared memory regions a host has, who holds and maps them, what they cost,
//! which leak.
//!
//! Everything is read from `/proc`, so it is the same for regions of the kernel module, regions
//! that `ashmem run` and `ashmem agent` make, and plain memfds; what `/proc` does not show of the
//! second, their supervisors are asked for. Nothing that is looked at is changed.
//!
//! - [`observer`]: takes a [`census`], and the next one at a fraction of the cost; [`region`] and
//!   [`group`] are what it consists of;
//! - [`growth`]: what grew between two moments; [`holding`]: regions that a program makes one after
//!   another, as one; [`pattern`], [`which`]: how names and regions are recognised;
//! - [`process`], [`container`], [`holder_name`], [`android_app`]: who, on the host and inside;
//! - `proc`: one file of `/proc` each; `look`: one process with what it holds and maps;
//! - `supervisors`: what supervisors say of their regions, as far as they are believed;
//! - [`page_map`]: which pages of one region have memory, which are unpinned;
//! - [`query`], [`listing`], [`leak_listing`]: what of a census is wanted, and how it reads as
//!   text.

pub mod amount;
pub mod android_app;
pub mod census;
pub mod descriptor;
pub use ashmem_trace::container;
pub mod group;
pub mod growth;
pub mod holder_name;
pub mod holding;
pub mod leak_listing;
pub mod listing;
mod look;
#[cfg(test)]
mod made_up;
pub mod observer;
pub mod page_map;
pub mod pattern;
pub mod process;
pub mod query;
pub mod region;
mod same_file;
mod style;
mod supervisors;
pub mod which;
