// SPDX-License-Identifier: MIT OR Apache-2.0
//! The second process, the socket between the two, and what each is called.

use crate::stage::{self, decimal, shown};
use anyhow::{Context, Result, bail};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// A forked process that plays its part and ends.
pub(crate) struct Player(libc::pid_t);

impl Player {
    /// Forks; the child, called `name`, plays `part` and ends.
    pub(crate) fn start(name: &'static str, part: impl FnOnce() -> Result<()>) -> Result<Self> {
        // SAFETY: this program has one thread, so the child may run any code.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()).context("forking the second process"),
            0 => {
                stage::be(name);
                // SAFETY: takes numbers only. A parent that dies takes its child along.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                let status = match part() {
                    Ok(()) => 0,
                    Err(error) => {
                        eprintln!("{name}: {error:#}");
                        1
                    }
                };
                std::process::exit(status)
            }
            pid => Ok(Self(pid)),
        }
    }

    /// Waits for its end; an error unless it played its part well.
    pub(crate) fn join(self) -> Result<()> {
        let mut status = 0;
        // SAFETY: waits for our own child; `status` is an int.
        if unsafe { libc::waitpid(self.0, &mut status, 0) } != self.0 {
            return Err(io::Error::last_os_error()).context("waiting for the second process");
        }
        if status != 0 {
            bail!("the second process ended with wait status {status:#x}; its own words are above");
        }
        Ok(())
    }
}

/// One end of a socket between two processes.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

impl Socket {
    /// Two connected ends.
    pub(crate) fn pair() -> Result<(Self, Self)> {
        let mut fds: [RawFd; 2] = [0; 2];
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
        // SAFETY: the array has room for the two descriptors.
        if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) } == -1 {
            return Err(io::Error::last_os_error()).context("making a pair of sockets");
        }
        // SAFETY: socketpair has just made them and nobody else knows them.
        let [one, other] = fds.map(|fd| Self(unsafe { OwnedFd::from_raw_fd(fd) }));
        Ok((one, other))
    }

    /// Tells the other process to go on, or that this one cannot. Not part of the story.
    pub(crate) fn say(&self, go_on: bool) -> Result<()> {
        let word = [u8::from(go_on)];
        // SAFETY: the buffer is one byte long.
        match unsafe {
            libc::send(self.0.as_raw_fd(), word.as_ptr().cast(), word.len(), libc::MSG_NOSIGNAL)
        } {
            1 => Ok(()),
            _ => Err(io::Error::last_os_error()).context("waking the other process"),
        }
    }

    /// Waits for what the other process says.
    pub(crate) fn hear(&self) -> Result<bool> {
        let mut word = [0_u8];
        // SAFETY: the buffer is one byte long.
        match unsafe { libc::recv(self.0.as_raw_fd(), word.as_mut_ptr().cast(), word.len(), 0) } {
            1 => Ok(word != [0]),
            0 => bail!("the other process ended early"),
            _ => Err(io::Error::last_os_error()).context("waiting for the other process"),
        }
    }

    /// Sends a descriptor (SCM_RIGHTS).
    pub(crate) fn send(&self, descriptor: impl AsFd) -> Result<()> {
        let fd = descriptor.as_fd().as_raw_fd();
        let mut letter = Letter::new();
        letter.with(|header| {
            // SAFETY: the letter's control buffer is aligned and has room for a header and one
            // descriptor.
            unsafe {
                let control = libc::CMSG_FIRSTHDR(header);
                (*control).cmsg_level = libc::SOL_SOCKET;
                (*control).cmsg_type = libc::SCM_RIGHTS;
                (*control).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
                libc::CMSG_DATA(control).cast::<RawFd>().write_unaligned(fd);
            }
            // SAFETY: the header points at the letter's buffers, which live until the call returns.
            let sent = unsafe { libc::sendmsg(self.0.as_raw_fd(), header, libc::MSG_NOSIGNAL) };
            let arguments = format!("{}, {{SCM_RIGHTS, [{fd}]}}, MSG_NOSIGNAL", self.0.as_raw_fd());
            shown("sendmsg", &arguments, sent as i64, decimal)
        })?;
        // The receiver's lines come after ours.
        self.say(true)
    }

    /// Receives a descriptor.
    pub(crate) fn receive(&self) -> Result<OwnedFd> {
        let socket = self.0.as_raw_fd();
        Letter::new().with(|header| {
            // SAFETY: the header points at the letter's buffers, which live until the call returns.
            let got = unsafe { libc::recvmsg(socket, header, libc::MSG_CMSG_CLOEXEC) };
            // SAFETY: the kernel filled the control buffer; what is read was checked to be there.
            let fd = unsafe {
                let control = libc::CMSG_FIRSTHDR(header);
                let carries =
                    got > 0 && !control.is_null() && (*control).cmsg_type == libc::SCM_RIGHTS;
                carries.then(|| libc::CMSG_DATA(control).cast::<RawFd>().read_unaligned())
            };
            if got > 0 {
                self.hear()?;
            }
            let content =
                fd.map_or_else(|| "no descriptor".to_owned(), |fd| format!("SCM_RIGHTS, [{fd}]"));
            shown(
                "recvmsg",
                &format!("{socket}, {{{content}}}, MSG_CMSG_CLOEXEC"),
                got as i64,
                decimal,
            )?;
            let fd = fd.context("the message carries no descriptor")?;
            // SAFETY: a descriptor that arrives this way is ours alone.
            Ok(unsafe { OwnedFd::from_raw_fd(fd) })
        })
    }
}

/// A message of one byte with room for one descriptor.
struct Letter {
    byte: [u8; 1],
    /// As words, for the kernel's header in it wants their alignment.
    control: [u64; 4],
}

impl Letter {
    const fn new() -> Self {
        Self { byte: [0], control: [0; 4] }
    }

    /// Lends the kernel's view of the letter, which points into it.
    fn with<T>(&mut self, send_or_receive: impl FnOnce(&mut libc::msghdr) -> T) -> T {
        let mut vector =
            libc::iovec { iov_base: self.byte.as_mut_ptr().cast(), iov_len: self.byte.len() };
        // SAFETY: an all-zero header is a valid one, without name, data or control.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut vector;
        header.msg_iovlen = 1;
        header.msg_control = self.control.as_mut_ptr().cast();
        // SAFETY: computes a number from a number; the buffer is larger.
        header.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<RawFd>() as u32) } as _;
        send_or_receive(&mut header)
    }
}
