//! Passing the listener, and the node if there is one, from the program's process to its supervisor.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, Result};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

/// What arrives.
pub(crate) struct Handed {
    pub(crate) listener: OwnedFd,
    /// An O_PATH descriptor of the device's node in the program's mount namespace.
    pub(crate) node: Option<OwnedFd>,
}

pub(crate) fn send(socket: impl AsFd, listener: BorrowedFd<'_>, node: Option<BorrowedFd<'_>>) -> Result<()> {
    let descriptors: Vec<BorrowedFd<'_>> = std::iter::once(listener).chain(node).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(Errno::NOBUFS);
    }
    sendmsg(socket, &[IoSlice::new(b"L")], &mut control, SendFlags::empty()).map(drop)
}

/// # Errors
/// PIPE: the other side ended without sending anything.
pub(crate) fn receive(socket: impl AsFd) -> Result<Handed> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut data = [IoSliceMut::new(&mut byte)];
    rustix::io::retry_on_intr(|| recvmsg(&socket, &mut data, &mut control, RecvFlags::CMSG_CLOEXEC))?;
    let mut descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let mut descriptors = descriptors.next().ok_or(Errno::PIPE)?;
    let listener = descriptors.next().ok_or(Errno::PIPE)?;
    Ok(Handed { listener, node: descriptors.next() })
}
