// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client of the device, for the tests: every call, with its answer as the kernel gave it.
//!
//! - [`region`]: a descriptor and the device's requests, with arguments good and bad;
//! - [`map`]: mappings, touched byte by byte;
//! - [`fault`]: accesses that answer with a signal instead of dying of it;
//! - [`errno`]: which call was refused, and with what.

pub mod errno;
pub mod fault;
pub mod map;
pub mod region;
