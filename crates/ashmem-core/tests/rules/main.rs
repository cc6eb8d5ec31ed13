// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
//! The core held to the specification.
//!
//! - [`model`]: the device page by page, written from sections 4 to 9 of the specification and not
//!   from the core;
//! - [`arena`]: memory for ranges that notices a double free, a use after free and a leak, and
//!   counts steps;
//! - [`twin`]: the core and the model side by side, compared after every operation;
//! - the tests: [`random`] sequences, examples by row ([`rows`], [`region`]), the ioctl numbers
//!   ([`decode`]), and what a search costs ([`depth`]).
//!
//! The fuzzer's targets include the same model, arena, twin and decoding rules.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic; that is how it fails"
)]

mod arena;
mod decode;
mod depth;
mod model;
mod random;
mod region;
mod rows;
mod twin;

/// What one unpinned range costs the kernel: three links, two places, two packed words, in one
/// 64-byte line less a word.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<ashmem_core::range::Range<core::ptr::NonNull<u8>>>() == 56);
