// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's side: which calls become notifications, and how they are received and answered.
//!
//! - [`syscalls`]: the calls by number, and a notification's registers as a typed call;
//! - [`bpf`]: the assembler of seccomp programs;
//! - [`filter`]: the seccomp program of a program that we start;
//! - [`profile`]: the same rules in a container runtime's own policy;
//! - [`listener`]: the descriptor that notifications are read from.

pub mod bpf;
pub mod filter;
pub mod listener;
pub(crate) mod own;
pub mod profile;
pub mod syscalls;
