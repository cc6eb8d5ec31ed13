// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why `/dev/ashmem` works here or does not, and the exact command that puts it right.
//!
//! There are three ways to the device: the kernel module, `ashmem agent` for containers, and
//! `ashmem run` for one program. A [`check::Check`] looks at one thing and comes back with a
//! [`finding::Finding`]; it names the ways that need the thing. A way works when none of its checks
//! finds a fault. Nothing here changes the machine.
//!
//! - [`host`]: the machine, or a folder in its place, as all checks see it; [`kernel_release`],
//!   [`distribution`], [`board`], [`module_file`], [`keys`]: what is read there more than once;
//! - [`trial`], [`child`]: what is not read but tried: a region made and used, calls that might
//!   kill who makes them;
//! - [`check`], [`checks`]: what a check is, and one file for each; [`way`], [`finding`],
//!   [`diagnosis`]: what becomes of them; [`screen`]: how it looks;
//! - [`explain`], [`message`]: the other way round, from a line of a log to its cause;
//!   [`log_reader`], [`log_line`], [`subject`]: a line as it comes, what it is, and what it speaks
//!   of; [`log_origin`]: what machine a log comes from; [`advice`]: what to do then;
//! - [`module_state`]: each installed kernel, and whether the module is there for it;
//! - [`image`]: what an image of Android will ask for.

pub mod advice;
mod ascii_pattern;
pub mod board;
pub mod check;
pub mod checks;
pub mod child;
pub mod diagnosis;
pub mod distribution;
mod errno_word;
pub mod explain;
pub mod finding;
pub mod host;
pub mod image;
pub mod kernel_release;
pub mod keys;
pub mod log_line;
pub mod log_origin;
pub mod log_reader;
mod log_record;
pub mod log_source;
pub mod message;
pub mod module_file;
pub mod module_state;
mod plain_text;
pub mod screen;
pub mod subject;
mod translation;
pub mod trial;
mod version;
pub mod way;

pub use diagnosis::Diagnosis;
pub use host::Host;
pub use version::VERSION;
pub use way::AskedMode;
