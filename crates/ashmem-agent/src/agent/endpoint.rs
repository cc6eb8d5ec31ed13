// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sockets at which container runtimes reach the agent.

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::error::SystemError;
use crate::line_budget;
use crate::sys::bind_under;

/// The unit whose socket is for processes that join, and the one whose sockets are for runtimes.
const JOIN_UNIT: &str = "ashmem-join.socket";
const RUNTIMES_UNIT: &str = "ashmem-agent.socket";

/// The kind of peer at a socket, and its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// An OCI runtime, which brings a listener and leaves (a stream).
    Oci,
    /// LXC's monitor, which sends every notification for as long as its container runs (datagrams
    /// in order).
    Lxc,
    /// A process that joins by itself, and may be anybody's (datagrams in order).
    Join,
}

impl Protocol {
    fn socket_type(self) -> SocketType {
        match self {
            Self::Oci => SocketType::STREAM,
            Self::Lxc | Self::Join => SocketType::SEQPACKET,
        }
    }

    /// The permissions of the socket, as what its umask takes away: everybody may join.
    fn umask(self) -> u32 {
        if self == Self::Join { 0o111 } else { 0o177 }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Oci => "OCI",
            Self::Lxc => "LXC",
            Self::Join => "processes that join",
        })
    }
}

/// A socket's address, written `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(PathBuf);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.starts_with('@') {
            return Err("an abstract socket has no owner and no permissions; give a path: \
                        unix:/run/ashmem/agent.sock"
                .into());
        }
        if !path.starts_with('/') {
            return Err(
                "the path must be absolute, as runtimes ask: unix:/run/ashmem/agent.sock".into()
            );
        }
        Ok(Self(path.into()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "unix:{}", self.0.display())
    }
}

impl Address {
    /// The path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// Why a socket is not served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process serves it.
    #[error(
        "{0}: another process serves this socket already; stop it first, or choose another path"
    )]
    Busy(Address),
    /// It could not be made.
    #[error("{address}: {error}")]
    Unmade {
        /// Where.
        address: Address,
        /// The step that failed.
        error: SystemError,
    },
}

/// Why a descriptor that a service manager passed is not served.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// It is something else.
    #[error("it is no listening SOCK_STREAM or SOCK_SEQPACKET socket")]
    NotListening,
    /// It is no socket at all.
    #[error("getsockopt: {0}")]
    System(#[from] Errno),
}

/// A listening socket.
pub struct Endpoint {
    protocol: Protocol,
    socket: OwnedFd,
}

/// A peer that has connected.
pub struct Peer {
    /// The connection.
    pub connection: OwnedFd,
    /// The user it runs as, told by the kernel.
    pub user: u32,
}

impl Endpoint {
    /// Makes a listening socket to which only this user and root can connect, or, where processes
    /// join, everybody. A socket that a dead agent left behind is replaced.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn bind(protocol: Protocol, address: &Address) -> Result<Self, Error> {
        let system = |step| {
            move |errno| Error::Unmade {
                address: address.clone(),
                error: SystemError { step, errno },
            }
        };
        let socket = || {
            rustix::net::socket_with(
                AddressFamily::UNIX,
                protocol.socket_type(),
                SocketFlags::CLOEXEC,
                None,
            )
            .map_err(system("making a socket"))
        };
        let name = SocketAddrUnix::new(address.path())
            .map_err(system("the path does not fit into a socket's name"))?;
        if let Some(directory) = address.path().parent()
            && !directory.exists()
        {
            rustix::fs::mkdir(directory, Mode::from_bits_retain(0o755))
                .map_err(system("making its directory"))?;
        }
        // Until it listens, a socket looks like a dead agent's: who makes another waits.
        let lock =
            PathLock::take(address.path()).map_err(system("locking its path (PATH.lock)"))?;
        let listening = socket()?;
        let mut bound = bind_under(&listening, &name, protocol.umask());
        if bound == Err(Errno::ADDRINUSE) {
            let there = rustix::fs::lstat(address.path()).map_err(system("looking at its path"))?;
            if FileType::from_raw_mode(there.st_mode) != FileType::Socket {
                return Err(system("something that is no socket is at its path")(Errno::EXIST));
            }
            if rustix::net::connect(socket()?, &name) != Err(Errno::CONNREFUSED) {
                return Err(Error::Busy(address.clone()));
            }
            bound = rustix::fs::unlink(address.path())
                .and_then(|()| bind_under(&listening, &name, protocol.umask()));
        }
        bound.map_err(system("binding"))?;
        rustix::net::listen(&listening, 128).map_err(system("listening"))?;
        drop(lock);
        Ok(Self { protocol, socket: listening })
    }

    /// Takes over a listening socket of a service manager; its name (`FileDescriptorName=`, or
    /// that of its unit) and its type tell the protocol.
    ///
    /// # Errors
    /// See [`AdoptError`].
    pub fn adopt(name: &str, socket: OwnedFd) -> Result<Self, AdoptError> {
        let protocol = match rustix::net::sockopt::socket_type(&socket)? {
            SocketType::STREAM => Protocol::Oci,
            SocketType::SEQPACKET if name == JOIN_UNIT => Protocol::Join,
            SocketType::SEQPACKET => Protocol::Lxc,
            _ => return Err(AdoptError::NotListening),
        };
        if !rustix::net::sockopt::socket_acceptconn(&socket)? {
            return Err(AdoptError::NotListening);
        }
        Ok(Self { protocol, socket })
    }

    /// Where peers reach it, for people: its path in the agent's view.
    #[must_use]
    pub fn place(&self) -> String {
        self.path().map_or_else(
            || "a socket without a path".to_owned(),
            |path| format!("unix:{}", path.display()),
        )
    }

    /// getsockname(2): its path in the view of whoever made it.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        let name = SocketAddrUnix::try_from(rustix::net::getsockname(&self.socket).ok()?).ok()?;
        Some(OsStr::from_bytes(name.path()?.to_bytes()).into())
    }

    /// The name by which [`Self::adopt`] knows the protocol again.
    pub(crate) fn unit(&self) -> &'static str {
        match self.protocol {
            Protocol::Join => JOIN_UNIT,
            Protocol::Oci | Protocol::Lxc => RUNTIMES_UNIT,
        }
    }

    /// The protocol.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// accept(2): the next connection of root or of the user that this process runs as, or, where
    /// processes join, of anybody. Other connections are closed; the permissions of the socket
    /// refuse them too, unless they were widened.
    ///
    /// # Errors
    /// EMFILE, ENFILE and the like; the connection stays in the queue.
    pub fn accept(&self) -> Result<Peer, Errno> {
        loop {
            let connection = match rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC) {
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                other => other?,
            };
            let user = rustix::net::sockopt::socket_peercred(&connection)?.uid.as_raw();
            let is_trusted = user == 0 || user == rustix::process::geteuid().as_raw();
            if is_trusted || self.protocol == Protocol::Join {
                return Ok(Peer { connection, user });
            }
            if line_budget::may_say() {
                tracing::warn!(
                    user,
                    "refused a connection: only root and the agent's own user may bring containers"
                );
            }
        }
    }
}

/// flock(2) on a file beside a path, which this user alone may open; the file is gone with it.
struct PathLock {
    path: PathBuf,
    _file: OwnedFd,
}

impl PathLock {
    /// WOULDBLOCK: somebody has it for a second already.
    fn take(beside: &Path) -> Result<Self, Errno> {
        let mut path = beside.to_owned().into_os_string();
        path.push(".lock");
        let path = PathBuf::from(path);
        let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut last = Errno::WOULDBLOCK;
        for _ in 0..50 {
            let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // Whoever had it may have removed the file meanwhile.
                Ok(()) if is_at(&file, &path) => return Ok(Self { path, _file: file }),
                Ok(()) => continue,
                Err(error) => last = error,
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(last)
    }
}

impl Drop for PathLock {
    fn drop(&mut self) {
        let _ = rustix::fs::unlink(&self.path);
    }
}

/// Whether this file is the one at this path.
fn is_at(file: &OwnedFd, path: &Path) -> bool {
    let there = rustix::fs::statat(rustix::fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW);
    match (rustix::fs::fstat(file), there) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}

impl AsFd for Endpoint {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_absolute_paths() {
        for text in ["unix:/run/a.sock", "/run/a.sock"] {
            assert_eq!(
                text.parse::<Address>().expect("an address").to_string(),
                "unix:/run/a.sock"
            );
        }
        for text in ["unix:@name", "unix:run/a.sock", ""] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_dead_agents_socket_is_replaced_and_a_living_ones_is_not() {
        use std::os::unix::fs::{FileTypeExt, PermissionsExt};
        let directory =
            std::env::temp_dir().join(format!("ashmem-endpoint-{}", std::process::id()));
        let address: Address =
            directory.join("agent.sock").to_string_lossy().parse().expect("an address");
        for (protocol, mode) in
            [(Protocol::Oci, 0o600), (Protocol::Lxc, 0o600), (Protocol::Join, 0o666)]
        {
            let first = Endpoint::bind(protocol, &address).expect("the first");
            let status = std::fs::metadata(address.path()).expect("it is there");
            assert!(status.file_type().is_socket());
            assert_eq!(status.permissions().mode() & 0o777, mode);
            assert!(matches!(Endpoint::bind(protocol, &address), Err(Error::Busy(_))));
            assert_eq!(first.path().as_deref(), Some(address.path()));
            let adopted = Endpoint::adopt(first.unit(), first.socket).expect("a listening socket");
            assert_eq!(adopted.protocol(), protocol);
            assert_eq!(adopted.place(), address.to_string());
        }
        std::fs::remove_dir_all(directory).expect("it was ours");
    }

    #[test]
    fn what_is_no_socket_is_never_replaced() {
        let folder = std::env::temp_dir().join(format!("ashmem-file-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("a");
        std::fs::write(&path, "somebody's").expect("a file");
        let address: Address = path.to_string_lossy().parse().expect("an address");
        let refused = Endpoint::bind(Protocol::Oci, &address).err().expect("a file is there");
        assert!(refused.to_string().contains("no socket is at its path"), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).expect("it is left"), "somebody's");
        std::fs::remove_dir_all(folder).expect("it was ours");
    }

    #[test]
    fn a_socket_that_another_process_makes_at_this_moment_is_left_alone() {
        let folder = std::env::temp_dir().join(format!("ashmem-lock-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("a");
        let address: Address = path.to_string_lossy().parse().expect("an address");
        // Another's that is bound and does not listen yet.
        let lock = PathLock::take(&path).expect("nobody has it");
        let kind = SocketType::STREAM;
        let other = rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
            .expect("a socket");
        let name = SocketAddrUnix::new(&path).expect("a short path");
        rustix::net::bind(&other, &name).expect("a free path");
        let refused = Endpoint::bind(Protocol::Oci, &address).err().expect("another makes it");
        assert!(refused.to_string().contains("locking"), "{refused}");
        rustix::net::listen(&other, 1).expect("it listens now");
        drop(lock);
        assert!(matches!(Endpoint::bind(Protocol::Oci, &address), Err(Error::Busy(_))));
        drop(other);
        Endpoint::bind(Protocol::Oci, &address).expect("it is dead");
        let left = std::fs::read_dir(&folder).expect("a folder").count();
        assert_eq!(left, 1, "no lock is left");
        std::fs::remove_dir_all(folder).expect("it was ours");
    }

    #[test]
    fn only_root_and_the_agents_own_user_may_bring_containers() {
        use rustix::thread::set_thread_res_uid;
        use std::os::unix::fs::PermissionsExt;
        use std::os::unix::net::UnixStream;
        let directory = std::env::temp_dir().join(format!("ashmem-peer-{}", std::process::id()));
        let address: Address =
            directory.join("agent.sock").to_string_lossy().parse().expect("an address");
        let endpoint = Endpoint::bind(Protocol::Oci, &address).expect("a socket");
        let open_to_all = std::fs::Permissions::from_mode(0o666);
        std::fs::set_permissions(address.path(), open_to_all).expect("it is ours");
        let own = rustix::process::geteuid();
        if own.is_root() {
            // A thread's user is its own: the others stay root. Its connection comes first and is
            // passed over.
            let (nobody, path) = (rustix::process::Uid::from_raw(65534), address.path().to_owned());
            let stranger = std::thread::spawn(move || {
                set_thread_res_uid(nobody, nobody, nobody).expect("root may");
                UnixStream::connect(path).map(drop)
            });
            stranger.join().expect("it ends").expect("the permissions let it in");
        }
        let _own = UnixStream::connect(address.path()).expect("it listens");
        assert_eq!(endpoint.accept().expect("a peer").user, own.as_raw());
        std::fs::remove_dir_all(directory).expect("it was ours");
    }
}
