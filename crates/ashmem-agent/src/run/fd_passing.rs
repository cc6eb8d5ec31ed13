// SPDX-License-Identifier: MIT OR Apache-2.0
//! Passes the listener, and the node if there is one, from the program's process to its supervisor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, Result};

use crate::scm_rights::{receive_with, send_with};
use crate::sys;

/// What the supervisor receives.
pub(crate) struct Received {
    pub(crate) listener: OwnedFd,
    pub(crate) node: Option<NodeFds>,
}

/// The device's node as its mount namespace shows it.
pub(crate) struct NodeFds {
    /// Its status, as a process in that namespace sees it.
    pub(crate) stat: libc::stat,
    /// Descriptors of both names.
    pub(crate) names: [OwnedFd; 2],
}

const STAT_SIZE: usize = size_of::<libc::stat>();

impl NodeFds {
    /// fstat(2) of the node that both descriptors refer to.
    pub(crate) fn of(names: [OwnedFd; 2]) -> Result<Self> {
        let stat = sys::fstat(&names[0])?;
        Ok(Self { stat, names })
    }
}

pub(crate) fn send(
    socket: impl AsFd,
    listener: BorrowedFd<'_>,
    node: Option<&NodeFds>,
) -> Result<()> {
    let names = node.into_iter().flat_map(|node| node.names.iter().map(AsFd::as_fd));
    let descriptors: Vec<BorrowedFd<'_>> = std::iter::once(listener).chain(names).collect();
    let mut bytes = [0_u8; STAT_SIZE];
    if let Some(node) = node {
        // SAFETY: the structure is plain integers and as long as the buffer.
        unsafe {
            std::ptr::copy_nonoverlapping(
                (&raw const node.stat).cast(),
                bytes.as_mut_ptr(),
                STAT_SIZE,
            )
        };
    }
    send_with(socket, &bytes, &descriptors)
}

/// # Errors
/// PIPE: the other side ended without sending anything.
pub(crate) fn receive(socket: impl AsFd) -> Result<Received> {
    let mut bytes = [0; STAT_SIZE];
    let mut descriptors = Vec::new();
    receive_with(socket, &mut bytes, &mut descriptors)?;
    let mut descriptors = descriptors.into_iter();
    let listener = descriptors.next().ok_or(Errno::PIPE)?;
    let names = descriptors.next().zip(descriptors.next());
    // SAFETY: the buffer is as long as the structure, of which every bit pattern is a valid one.
    let stat = unsafe { bytes.as_ptr().cast::<libc::stat>().read_unaligned() };
    Ok(Received {
        listener,
        node: names.map(|(short, long)| NodeFds { stat, names: [short, long] }),
    })
}
