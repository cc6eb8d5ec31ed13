//! Who called ashmem, with what, and what came of it.
//!
//! One [`event::Event`] is one call, one purge or one end of a region, whatever saw it. It is written as a line for people
//! ([`mod@line`]) or as a line of JSON ([`json`]), whose form is fixed.
//!
//! - [`event`], [`operation`]: what happened; [`text`]: names from outside, made harmless;
//! - [`source`]: what sees events: [`module`] (its tracepoints, read through [`tracefs`]), [`agent`] (the supervisor of `ashmem run`),
//!   [`syscalls`] (the kernel's system call tracepoints);
//! - [`processes`], [`regions`]: what a source remembers of whom and what it met; [`process_selector`]: processes as a person names them;
//!   [`container`]: which container a process is in; [`life`]: what a region comes to;
//! - [`session`]: a trace from its first line to its last: [`selection`], then [`mod@line`], [`json`], [`perfetto`] or [`summary`],
//!   then [`output`]; [`clock`]: what time it was.

pub mod agent;
pub mod clock;
pub mod container;
pub mod container_watch;
pub mod event;
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
