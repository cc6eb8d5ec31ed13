// SPDX-License-Identifier: MIT OR Apache-2.0
//! A socket that has no name in any folder once it is made.
//!
//! It is reached as `/proc/PID/fd/N`, N being its place: the kernel lets those follow that who may
//! look at that process (`PTRACE_MODE_READ`), and whoever inherits the place.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::sys::bind_under;

/// The socket, and what is connected to.
pub(crate) struct NamelessSocket {
    pub(crate) socket: OwnedFd,
    pub(crate) place: OwnedFd,
}

impl NamelessSocket {
    /// Makes one that never blocks. It has a name for a moment, in the first of these folders where
    /// that can be, or in one for temporary files. Call it while the process has one thread: it
    /// sets the umask for a moment.
    ///
    /// # Errors
    /// There is no folder where this process may make a socket; EMFILE and the like.
    pub(crate) fn bind(kind: SocketType, first: &[&Path]) -> Result<Self> {
        let first = first.iter().map(|folder| folder.to_path_buf());
        let mut last = Errno::NOENT;
        for folder in first.chain(folders()) {
            match Self::bind_in(kind, &folder) {
                Ok(socket) => return Ok(socket),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn bind_in(kind: SocketType, folder: &Path) -> Result<Self> {
        let mut number = [0; 8];
        rustix::rand::getrandom(&mut number, rustix::rand::GetRandomFlags::empty())?;
        let name = format!("ashmem-supervisor-{:016x}", u64::from_ne_bytes(number));
        let path = folder.join(name);
        let address = SocketAddrUnix::new(&path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None)?;
        // While it has a name, nobody but this user and root connects.
        bind_under(&socket, &address, 0o177)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = rustix::fs::open(&path, flags, Mode::empty());
        let removed = rustix::fs::unlink(&path);
        let place = place?;
        removed?;
        Ok(Self { socket, place })
    }
}

/// Where a socket may be made.
fn folders() -> impl Iterator<Item = PathBuf> {
    let named = ["XDG_RUNTIME_DIR", "TMPDIR"].into_iter().filter_map(std::env::var_os);
    let usual = ["/tmp", "/dev/shm", "/var/tmp"].into_iter().map(PathBuf::from);
    named.map(PathBuf::from).chain(usual).filter(|folder| folder.is_absolute())
}
