// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls of the device, answered inside the program that makes them.
//!
//! A notification costs two switches between processes. Most calls need none: a region's state is
//! in its memfd ([`state`]), so the program itself can find the answer with a call or two of its
//! own. The code that does so is [`BLOB`], which the supervisor maps into a program. It is one flat
//! piece: position-independent, without writable data, without locks and without signals. What it
//! does not answer, it leaves to the call as the program made it, and that is notified.
//!
//! `src/blob` is the code, a program of its own that the build script compiles and checks: no
//! relocation, no data, no place that could panic, no more bytes than [`layout::LIMIT`].

pub mod layout;
pub mod state;

/// The code, as it lies from [`layout::WINDOW`] on: an empty header, then the gate, the entry, and
/// the rest. Empty for other processors than x86-64 and arm64.
pub const BLOB: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/blob.bin"));

#[cfg(all(test, target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests;
