// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a supervisor tells a tracer, and the pipe between the two.
//!
//! - [`record`]: one answer, one purge or one end of a region;
//! - [`pipe`]: the two ends of the pipe that carries records;
//! - [`attach`]: how a tracer of `ashmem agent` gets its pipe.
//!
//! The supervisor is ashmem-agent, the reader ashmem-trace; neither knows the other.

pub mod attach;
pub mod pipe;
pub mod record;
