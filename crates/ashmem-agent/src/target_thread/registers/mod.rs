// SPDX-License-Identifier: MIT OR Apache-2.0
//! Registers of a stopped thread, as far as it takes to have it call mmap(2) once more.
//!
//! A file for each kind of processor, all with the same functions.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
mod unknown;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::{ARE_KNOWN, ArmRegisters as Registers, OWN_MAP_FLAGS};
#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
pub(crate) use unknown::{ARE_KNOWN, NoRegisters as Registers, OWN_MAP_FLAGS};
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{ARE_KNOWN, OWN_MAP_FLAGS, X86Registers as Registers};
