// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sockets that descriptors are sent through, and how many descriptors this process has.

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

pub fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("its own descriptors").count()
}

pub fn pair(kind: SocketType) -> (OwnedFd, OwnedFd) {
    rustix::net::socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).expect("a pair")
}

/// Sends bytes and so many descriptors of a file that is none of what is expected.
pub fn send(socket: &OwnedFd, bytes: &[u8], count: usize) {
    let null = std::fs::File::open("/dev/null").expect("the null device");
    let fds = vec![null.as_fd(); count];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(fds.is_empty() || control.push(SendAncillaryMessage::ScmRights(&fds)));
    // What does not fit into the socket's buffer would wait for a reader.
    let _ = rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::DONTWAIT);
}
