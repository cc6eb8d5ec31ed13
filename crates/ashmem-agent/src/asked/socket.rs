// SPDX-License-Identifier: MIT OR Apache-2.0
//! The socket where a supervisor is asked about its regions.
//!
//! It has no name once it is made ([`crate::nameless_socket`]): whoever asks reaches it as
//! `/proc/PID/fd/N`. A memfd of a name that says N shows where it is.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Result;
use rustix::net::SocketType;

use crate::nameless_socket::NamelessSocket;
use crate::regions::memfd;
use ashmem_trace_wire::question::sign;

/// Askers that may wait to be accepted.
const BACKLOG: i32 = 16;

/// A listening socket, and what it is found by.
pub(crate) struct QuestionSocket {
    pub(super) listening: OwnedFd,
    /// What is connected to.
    _place: OwnedFd,
    /// Shows the number of the place.
    _sign: OwnedFd,
}

impl QuestionSocket {
    /// Makes one. Call it while the process has one thread: it sets the umask for a moment.
    ///
    /// # Errors
    /// There is no folder where this process may make a socket; EMFILE and the like.
    pub(crate) fn bind() -> Result<Self> {
        let NamelessSocket { socket, place } = NamelessSocket::bind(SocketType::STREAM, &[])?;
        rustix::net::listen(&socket, BACKLOG)?;
        let sign = memfd::create(sign(place.as_raw_fd()).as_bytes())?;
        Ok(Self { listening: socket, _place: place, _sign: sign })
    }
}
