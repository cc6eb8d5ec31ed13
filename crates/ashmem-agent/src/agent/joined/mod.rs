// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processes that join the agent by themselves (`ashmem join`): anybody's, and hostile ones too.
//!
//! A runtime that brings a listener is root's or the agent's own user's, and is believed. Who joins
//! is not: it may be any program of any container or user that can reach the socket. It gains
//! nothing that it could not do itself: the agent acts only upon calls that the kernel says a
//! process under that very listener has made, and gives it memory that the process pays for. What
//! is left is that it could use up the agent, so
//!
//! - a container is one tenant, however often its processes join, and one account;
//!   `joiner` says how the kernel tells which;
//! - `limits` bounds connections, listeners, containers and memory of each account;
//! - `errand` does what the process can make last, and `closer` closes its connections, so that
//!   nobody waits for either without end.

pub(super) mod closer;
pub(super) mod errand;
pub(super) mod joiner;
pub(super) mod limits;

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::error::{SystemError, failed};
use crate::join::wire::{self, AgentAnswer};
use crate::seccomp::listener::is_listener;
use crate::target_thread;

/// How long a process may take for each of its messages.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Why a process was not served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It said nothing that can be used.
    #[error("it {0}")]
    Message(&'static str),
    /// Its memory cannot be read.
    #[error(
        "the agent may not look at this process ({0}): it lacks CAP_SYS_PTRACE, or runs in another \
         user namespace; `ashmem doctor` on the host tells which"
    )]
    Blind(Errno),
    /// A limit is reached.
    #[error("{0}")]
    Limit(#[from] limits::Limit),
    /// Who it is cannot be told.
    #[error(transparent)]
    Unknown(#[from] joiner::Unknown),
    /// A system call failed.
    #[error(transparent)]
    System(#[from] SystemError),
}

impl Error {
    /// What to answer.
    pub(super) fn answer(&self) -> AgentAnswer {
        match self {
            Self::Limit(limits::Limit::Pending) => AgentAnswer::NotNow(self.to_string()),
            _ => AgentAnswer::No(self.to_string()),
        }
    }
}

/// Hears a process's greeting, and looks at its memory as every answer will. To be done as an
/// errand: the process can make it last.
pub(super) fn hear_greeting(connection: &OwnedFd, pid: i32) -> Result<(), Error> {
    let address = wire::read_greeting(connection)
        .map_err(failed("reading a greeting"))?
        .ok_or(Error::Message("does not speak as this version of `ashmem join` does"))?;
    let mut seen = [0; wire::LINE.len()];
    match target_thread::read_memory(pid, address, &mut seen) {
        Ok(_) if seen == *wire::LINE => Ok(()),
        Ok(_) | Err(Errno::FAULT) => Err(Error::Message("has no greeting in its memory")),
        Err(errno) => Err(Error::Blind(errno)),
    }
}

/// Receives the listener. Whatever else comes is closed, and nothing is asked of it before: any
/// file may come here, also one whose server never answers. To be done as an errand: it is closed
/// here.
pub(super) fn take_listener(connection: &OwnedFd) -> Result<OwnedFd, Error> {
    let came = wire::read_listener(connection)
        .map_err(failed("receiving a listener"))?
        .ok_or(Error::Message("sent no listener"))?;
    match is_listener(&came) {
        true => Ok(came),
        false => Err(Error::Message("sent a descriptor that is no listener of seccomp's")),
    }
}

/// Waits for the process's next message.
pub(super) fn wait_for(connection: &OwnedFd) -> Result<(), Error> {
    let mut polled = [PollFd::new(connection, PollFlags::IN)];
    match rustix::io::retry_on_intr(|| poll(&mut polled, Some(&PATIENCE))) {
        Ok(0) => Err(Error::Message("did not speak within ten seconds")),
        Ok(_) => Ok(()),
        Err(errno) => Err(failed("waiting for a joining process")(errno).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scm_rights::send_with;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use std::os::fd::AsFd;

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .expect("a pair")
    }

    #[test]
    fn what_only_poses_as_a_listener_is_none() {
        let name = "anon_inode:seccomp notify";
        let memory = crate::regions::memfd::create(name.as_bytes()).expect("memfd_create");
        assert!(!is_listener(&memory));
        let folder = std::env::temp_dir().join(format!("ashmem-joined-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = std::fs::File::create(folder.join(name)).expect("a file of that name");
        assert!(!is_listener(&file));
        std::fs::remove_dir_all(folder).expect("it was ours");
        let event = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC);
        assert!(!is_listener(event.expect("another anonymous inode")));
    }

    #[test]
    fn messages_without_the_one_listener_are_refused() {
        let null = std::fs::File::open("/dev/null").expect("the null device");
        let descriptors = [null.as_fd(), null.as_fd()];
        for (bytes, count) in [("L", 0), ("L", 1), ("L", 2), ("X", 1), ("LL", 1)] {
            let (theirs, ours) = pair();
            send_with(&theirs, bytes.as_bytes(), &descriptors[..count]).expect("it listens");
            let refused = take_listener(&ours);
            assert!(matches!(refused, Err(Error::Message(_))), "{bytes} {count}: {refused:?}");
        }
        let (theirs, ours) = pair();
        drop(theirs);
        assert!(matches!(take_listener(&ours), Err(Error::Message(_))), "it left");
    }
}
