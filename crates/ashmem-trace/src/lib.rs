// SPDX-License-Identifier: MIT OR Apache-2.0
//! Traces calls to ashmem: which process, with what arguments, and with what result.
//!
//! One [`event::Event`] is one call, one purge or one end of a region, from any source. It is
//! written as a line for people ([`mod@line`]) or as a line of JSON ([`json`]), whose form is
//! fixed.
//!
//! - [`event`], [`operation`]: what happened; [`text`]: names from outside, made harmless;
//! - [`source`]: the sources of events: [`module`] (its tracepoints, read through [`tracefs`]),
//!   [`agent`] (the supervisor of `ashmem run`, or of `ashmem agent`), [`syscalls`] (the kernel's
//!   system call tracepoints);
//! - [`processes`], [`regions`]: the processes and regions that a source has met;
//!   [`process_selector`]: processes as a user names them; [`container`]: the container of a
//!   process; [`container_watch`]: the end of containers; [`life`]: the state of a region during a
//!   trace; [`family`]: what names begin with; [`family_totals`]: what the regions of each come to;
//! - [`session`]: a trace from its first line to its last: [`selection`], then [`mod@line`],
//!   [`json`], [`perfetto`], [`growth`] or [`summary`], then [`output`]; [`clock`]: the time.

pub mod agent;
pub mod amount;
pub mod clock;
pub mod container;
pub mod container_watch;
pub mod event;
pub mod family;
pub mod family_totals;
pub mod glob;
pub mod growth;
pub mod json;
pub mod life;
pub mod line;
pub mod module;
pub mod operation;
pub mod output;
pub mod perfetto;
pub mod process_selector;
pub mod processes;
pub mod regions;
pub mod selection;
pub mod session;
pub mod source;
pub mod summary;
pub mod syscalls;
pub mod text;
pub mod tracefs;
