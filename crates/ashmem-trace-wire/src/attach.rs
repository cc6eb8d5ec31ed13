// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a tracer of `ashmem agent` gets its pipe: at the socket where OCI runtimes bring containers,
//! which admits root and the agent's own user.
//!
//! The agent makes the pipe. A tracer could make a pipe of its own blocking again, and stop every
//! container.

use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, Result};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// What a tracer sends.
pub const REQUEST: &[u8] = b"{\"ashmemTrace\":1}\n";
/// How long the agent may take to answer.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Why an agent gives no pipe.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The socket: there is none, nobody listens there, or it is another user's.
    #[error(transparent)]
    Socket(#[from] io::Error),
    /// The agent did not answer in time.
    #[error("no answer within {} seconds", PATIENCE.tv_sec)]
    TimedOut,
    /// It closed the connection.
    #[error(
        "what listens there gave no pipe: it is another program, or has as many tracers as it \
         serves"
    )]
    NoPipe,
}

impl From<Errno> for AttachError {
    fn from(errno: Errno) -> Self {
        Self::Socket(errno.into())
    }
}

/// Asks the agent at this socket for a pipe with all that it answers from now on.
///
/// # Errors
/// See [`AttachError`].
pub fn attach(socket: &Path) -> std::result::Result<OwnedFd, AttachError> {
    let mut connection = UnixStream::connect(socket)?;
    connection.write_all(REQUEST)?;
    let ready = rustix::io::retry_on_intr(|| {
        poll(&mut [PollFd::new(&connection, PollFlags::IN)], Some(&PATIENCE))
    })?;
    if ready == 0 {
        return Err(AttachError::TimedOut);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(&connection, &mut [IoSliceMut::new(&mut [0])], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    fds.next().ok_or(AttachError::NoPipe)
}

/// sendmsg(2): gives a tracer its end of the pipe.
pub fn give(connection: impl AsFd, reader: &OwnedFd) -> Result<()> {
    let fds = [reader.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(Errno::NOBUFS);
    }
    sendmsg(
        connection,
        &[IoSlice::new(b"!")],
        &mut control,
        SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
    )
    .map(drop)
}
