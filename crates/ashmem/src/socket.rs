// SPDX-License-Identifier: MIT OR Apache-2.0
//! Regions from process to process, over a Unix socket.

use crate::error::{Error, Result};
use crate::region::Region;
use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

/// What goes with the descriptor: a stream socket carries none without a byte.
const BYTE: u8 = b'A';

impl Region {
    /// Sends the region over a connected Unix socket of any type: one byte, and the descriptor with
    /// it.
    ///
    /// What the other process may do with it is what the mask says ([`Region::set_protection`]). It
    /// stays ours too.
    ///
    /// # Errors
    /// `EPIPE`, `ENOTCONN`, `EAGAIN` (a socket that does not block), `ETOOMANYREFS` (too many
    /// descriptors under way).
    ///
    /// # References
    /// - `SCM_RIGHTS` in [unix(7)](https://man7.org/linux/man-pages/man7/unix.7.html)
    pub fn send(&self, socket: impl AsFd) -> Result<()> {
        let fds = [self.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        retry_on_intr(|| {
            rustix::net::sendmsg(
                &socket,
                &[IoSlice::new(&[BYTE])],
                &mut control,
                SendFlags::NOSIGNAL,
            )
        })
        .map_err(Error::of("sending the region (sendmsg)"))?;
        Ok(())
    }

    /// Receives a region that [`Region::send`] or any other `SCM_RIGHTS` message brings, closed on
    /// exec.
    ///
    /// One byte is taken from the socket. Descriptors beyond the first are closed.
    ///
    /// # Errors
    /// - [`Error::Closed`], [`Error::NoDescriptor`].
    /// - `EMFILE`: this process has no room for the descriptor, which is lost.
    /// - `EAGAIN`: a socket that does not block.
    /// - What came is no region: as [`Region::from_fd`].
    ///
    /// # Example
    /// ```
    /// # use ashmem::{Protection, Region};
    /// let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
    /// Region::create(c"parcel", 4096)?.send(&ours)?;
    /// assert_eq!(Region::receive(&theirs)?.size(), 4096);
    /// # Ok::<(), ashmem::Error>(())
    /// ```
    pub fn receive(socket: impl AsFd) -> Result<Self> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let message = retry_on_intr(|| {
            rustix::net::recvmsg(
                &socket,
                &mut [IoSliceMut::new(&mut byte)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            )
        })
        .map_err(Error::of("receiving a region (recvmsg)"))?;
        let mut received: Option<OwnedFd> = None;
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = part {
                for fd in fds {
                    received.get_or_insert(fd);
                }
            }
        }
        match received {
            Some(fd) => Self::from_fd(fd),
            None if message.bytes == 0 => Err(Error::Closed),
            // The kernel cuts the message when it finds no free descriptor number.
            None if message.flags.contains(ReturnFlags::CTRUNC) => Err(Error::System {
                call: "receiving a region: no descriptor number was free (recvmsg)",
                errno: rustix::io::Errno::MFILE,
            }),
            None => Err(Error::NoDescriptor),
        }
    }
}
