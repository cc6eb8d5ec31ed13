// SPDX-License-Identifier: MIT OR Apache-2.0
//! The socket where a supervisor is asked about its regions.
//!
//! It has no name once it is made: whoever asks reaches it as `/proc/PID/fd/N`, which the kernel
//! lets those do who may look at this process (`PTRACE_MODE_READ`). A memfd of a name that says N
//! shows where it is.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

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
        let mut last = Errno::NOENT;
        for folder in folders() {
            match Self::bind_in(folder) {
                Ok(socket) => return Ok(socket),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn bind_in(folder: PathBuf) -> Result<Self> {
        let mut number = [0; 8];
        rustix::rand::getrandom(&mut number, rustix::rand::GetRandomFlags::empty())?;
        let name = format!("ashmem-supervisor-{:016x}", u64::from_ne_bytes(number));
        let path = folder.join(name);
        let address = SocketAddrUnix::new(&path)?;
        let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
        let listening = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        // While it has a name, nobody but this user and root connects.
        let mask = rustix::process::umask(Mode::from_bits_retain(0o177));
        let bound = rustix::net::bind(&listening, &address);
        rustix::process::umask(mask);
        bound?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = rustix::fs::open(&path, flags, Mode::empty());
        let removed = rustix::fs::unlink(&path);
        let place = place?;
        removed?;
        rustix::net::listen(&listening, BACKLOG)?;
        let sign = memfd::create(sign(place.as_raw_fd()).as_bytes())?;
        Ok(Self { listening, _place: place, _sign: sign })
    }
}

/// Where a socket may be made.
fn folders() -> impl Iterator<Item = PathBuf> {
    let named = ["XDG_RUNTIME_DIR", "TMPDIR"].into_iter().filter_map(std::env::var_os);
    let usual = ["/tmp", "/dev/shm", "/var/tmp"].into_iter().map(OsString::from);
    named.chain(usual).map(PathBuf::from).filter(|folder| folder.is_absolute())
}
