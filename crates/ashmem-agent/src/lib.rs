// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ashmem device without a kernel module: seccomp user notifications, answered from memfds.
//!
//! A program or a container runs under a seccomp filter ([`seccomp`]), which turns the few calls
//! that could concern the device into notifications. A [`supervisor`] answers them: an open of
//! `/dev/ashmem` with a memfd, ioctls from the region's state, and every call that does not concern
//! the device with Continue. The rules of the device are ashmem-core's.
//!
//! Each folder uses only those above it in this list:
//!
//! - [`mod@notice`]: lines on standard error;
//! - [`seccomp`]: filters, profiles, the listener; [`notification`]: what a listener brings and
//!   takes;
//! - [`target_thread`]: the calling thread, accessed from outside: memory, descriptors, rights;
//! - [`trace`]: tells tracers what is answered; [`journal`]: what a restart must not lose;
//! - [`regions`]: what a region is and how long it lives;
//! - [`emulation`]: a tenant (one program or container), its regions and its calls;
//! - `asked`: tells whoever may ask what the regions are;
//! - `inside`: answers put into the programs themselves;
//! - [`supervisor`]: the request loop, and its housekeeping thread;
//! - [`join`]: a program that filters itself and hands its listener to an agent;
//! - [`run`]: a program that we start; [`agent`]: containers that their runtimes bring, or that
//!   join.

// They panic where standard output or error takes no more: `notice!` does not.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod agent;
mod asked;
pub mod emulation;
pub mod error;
mod execute;
pub mod ids;
mod inside;
pub mod join;
pub mod journal;
mod line_budget;
mod nameless_socket;
pub mod notice;
pub mod notification;
pub mod regions;
pub mod run;
mod scm_rights;
pub mod seccomp;
pub mod supervisor;
mod sys;
pub mod target_thread;
pub mod trace;

pub use run::Ending;
