// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers put into the programs themselves: which program gets the code, and when.
//!
//! A program that uses the device gets the blob of [`ashmem_inside`] at one of these calls: as it
//! leaves the call, all its threads are stopped, it is made to map the blob and a page of jumps,
//! and the site of the call is patched to lead there. Other sites follow as they are notified.
//! Whatever does not fit stays with notifications: Go, 32-bit calls, traced and undumpable
//! processes, filters of the program's own.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod implant;
mod mode;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod patcher;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod site;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod stopped;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod unpatched;

pub use mode::InsideMode;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) use patcher::{Due, Inside};

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) use unpatched::{NoDue as Due, NoInside as Inside};
