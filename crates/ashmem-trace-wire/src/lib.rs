// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a supervisor tells a tracer, and whoever asks for the state of its regions.
//!
//! - [`record`]: one answer, one purge or one end of a region;
//! - [`pipe`]: the two ends of the pipe that carries records;
//! - [`attach`]: how a tracer of `ashmem agent` gets its pipe;
//! - [`question`]: what may be asked about regions, and the answers;
//! - [`ask`]: asks several supervisors at once, none of which is trusted.
//!
//! The supervisor is ashmem-agent, the readers ashmem-trace and ashmem-inspect; neither knows the
//! other.

pub mod ask;
pub mod attach;
pub mod pipe;
pub mod question;
pub mod record;
