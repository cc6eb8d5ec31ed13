// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the agent's messages to its keeper arrive: a socket without a name, whose place the agent
//! inherits. Nobody else reaches it, but whoever may look at the agent's memory.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketType, recvmsg, sockopt,
};
use rustix::process::Pid;

use super::descriptor_store::DescriptorStore;
use crate::error::{SystemError, failed};
use crate::nameless_socket::NamelessSocket;

/// A message of the agent's is a few words.
const LONGEST: usize = 512;
/// Messages at once; then signals get their turn.
const MOST_AT_ONCE: usize = 4096;

/// The socket, and what an agent connects to.
pub(super) struct MessageSocket {
    pub(super) socket: OwnedFd,
    pub(super) place: OwnedFd,
}

impl MessageSocket {
    /// Makes one, if it can be in this folder.
    pub(super) fn bind(folder: Option<&Path>) -> Result<Self, SystemError> {
        let folder: Vec<&Path> = folder.into_iter().collect();
        let NamelessSocket { socket, place } = NamelessSocket::bind(SocketType::DGRAM, &folder)
            .map_err(failed(
                "making a socket for the agent's messages, beside its own or in /tmp",
            ))?;
        sockopt::set_socket_passcred(&socket, true)
            .map_err(failed("asking for the senders of messages"))?;
        Ok(Self { socket, place })
    }

    /// Takes in all that was said, and does what the agent asks for, if there is one; whether it
    /// said that it is ready. What others say is thrown away: it must not stay, and wake the keeper
    /// for ever.
    pub(super) fn read_all(&self, agent: Option<Pid>, stored: &mut DescriptorStore) -> bool {
        let mut is_ready = false;
        let mut bytes = [0; LONGEST];
        for _ in 0..MOST_AT_ONCE {
            let mut space =
                [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1), ScmCredentials(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut data = [IoSliceMut::new(&mut bytes)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            let got = match recvmsg(&self.socket, &mut data, &mut control, flags) {
                Ok(got) => got.bytes,
                Err(Errno::INTR) => continue,
                Err(_) => break,
            };
            let (mut sender, mut fd) = (None, None);
            for message in control.drain() {
                match message {
                    RecvAncillaryMessage::ScmRights(fds) => fd = fds.last(),
                    RecvAncillaryMessage::ScmCredentials(credentials) => {
                        sender = Some(credentials.pid);
                    }
                    _ => {}
                }
            }
            if agent.is_some() && sender == agent {
                let text = String::from_utf8_lossy(bytes.get(..got).unwrap_or_default());
                is_ready |= text.lines().any(|line| line == "READY=1");
                stored.hear(&text, fd);
            } else {
                tracing::debug!(pid = ?sender, "ignored a message that is not the agent's");
            }
        }
        is_ready
    }
}

#[cfg(test)]
mod tests {
    use super::{DescriptorStore, MessageSocket};
    use crate::agent::systemd::Manager;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Pid, getpid};
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::path::Path;

    #[test]
    fn the_agent_alone_is_believed_and_nothing_stays() {
        let folder = std::env::temp_dir().join(format!("ashmem-keeper-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let socket = MessageSocket::bind(Some(&folder)).expect("a socket");
        std::fs::remove_dir(folder).expect("the socket has no name there");
        let place = format!("/proc/self/fd/{}", socket.place.as_raw_fd());
        let manager = Manager::at(Path::new(&place)).expect("it is there");
        let mut stored = DescriptorStore::new();
        let null = || OwnedFd::from(std::fs::File::open("/dev/null").expect("the null device"));
        let stranger = Pid::from_raw(1);
        for (agent, count) in [(None, 0), (stranger, 0), (Some(getpid()), 1)] {
            manager.keep("container-0-state", null()).expect("a message");
            manager.tell("READY=1");
            assert_eq!(socket.read_all(agent, &mut stored), count == 1, "{agent:?}");
            assert_eq!(stored.len(), count, "{agent:?}");
            let mut polled = [PollFd::new(&socket.socket, PollFlags::IN)];
            let waiting = poll(&mut polled, Some(&Timespec::default())).expect("a look");
            assert_eq!(waiting, 0, "a message stays, and wakes the keeper for ever");
        }
        manager.forget("container-0-state");
        assert!(!socket.read_all(Some(getpid()), &mut stored));
        assert_eq!(stored.len(), 0);
    }
}
