// SPDX-License-Identifier: MIT OR Apache-2.0
//! The service manager: the sockets and descriptors that it passes to this process, and the
//! messages to it (sd_listen_fds(3), sd_notify(3)).

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, Result};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, sendmsg, socket_with,
};
use rustix::pipe::{PipeFlags, pipe_with};

/// `SD_LISTEN_FDS_START`.
const FIRST: i32 = 3;
/// How long the manager may take to read a message.
const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// sd_listen_fds(3): the descriptors that were passed to this process, each with its name. Call it
/// once, before any other thread runs.
pub fn passed_descriptors() -> Vec<(String, OwnedFd)> {
    let variable = |name| std::env::var(name).unwrap_or_default();
    if variable("LISTEN_PID") != std::process::id().to_string() {
        return Vec::new();
    }
    let count: i32 = variable("LISTEN_FDS").parse().unwrap_or(0);
    let names = variable("LISTEN_FDNAMES");
    let mut names = names.split(':');
    (FIRST..FIRST.saturating_add(count))
        .filter_map(|number| {
            let name = names.next().unwrap_or_default().to_owned();
            // SAFETY: the number is only asked about.
            if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
                return None;
            }
            // SAFETY: it is open, was passed to this process, and nobody else here knows it.
            Some((name, unsafe { OwnedFd::from_raw_fd(number) }))
        })
        .collect()
}

/// The service manager that started this process.
pub struct Manager {
    socket: OwnedFd,
}

impl Manager {
    /// The manager that `NOTIFY_SOCKET` names, if it is set.
    ///
    /// Those of connect(2).
    pub fn from_environment() -> Result<Option<Self>> {
        std::env::var_os("NOTIFY_SOCKET").map(|path| Self::at(Path::new(&path))).transpose()
    }

    /// The manager at this socket; `@` begins an abstract name.
    ///
    /// Those of connect(2).
    pub(crate) fn at(path: &Path) -> Result<Self> {
        let path = path.as_os_str().as_encoded_bytes();
        let address = match path.strip_prefix(b"@") {
            Some(name) => SocketAddrUnix::new_abstract_name(name)?,
            None => SocketAddrUnix::new(path)?,
        };
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        connect(&socket, &address)?;
        Ok(Self { socket })
    }

    /// sd_notify(3): reports a change of state: `READY=1`, `STOPPING=1`.
    pub fn tell(&self, state: &str) {
        if let Err(error) = self.send(state, None) {
            tracing::warn!(%error, state, "sending the service manager a message failed");
        }
    }

    /// sd_notify(3), FDSTORE: stores a descriptor under a name, until it is removed or hangs up.
    ///
    /// Those of sendmsg(2). Whether the manager stores it, the manager does not say.
    pub fn keep(&self, name: &str, fd: impl AsFd) -> Result<()> {
        self.send(&format!("FDSTORE=1\nFDNAME={name}"), Some(fd.as_fd()))
    }

    /// sd_notify(3), FDSTOREREMOVE: removes the descriptors of this name.
    pub fn forget(&self, name: &str) {
        self.tell(&format!("FDSTOREREMOVE=1\nFDNAME={name}"));
    }

    /// sd_notify_barrier(3): waits until the manager has read all messages.
    ///
    /// TIMEDOUT: it did not in time.
    pub fn wait(&self) -> Result<()> {
        let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        self.send("BARRIER=1", Some(theirs.as_fd()))?;
        drop(theirs);
        match rustix::io::retry_on_intr(|| {
            poll(&mut [PollFd::new(&ours, PollFlags::IN)], Some(&PATIENCE))
        })? {
            0 => Err(Errno::TIMEDOUT),
            _ => Ok(()),
        }
    }

    fn send(&self, text: &str, fd: Option<BorrowedFd<'_>>) -> Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds: Vec<BorrowedFd<'_>> = fd.into_iter().collect();
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(Errno::NOBUFS);
        }
        let send = || {
            sendmsg(
                &self.socket,
                &[IoSlice::new(text.as_bytes())],
                &mut control,
                SendFlags::NOSIGNAL,
            )
        };
        rustix::io::retry_on_intr(send).map(drop)
    }
}
