// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who joins: the process behind a connection, its container and its account, as the kernel tells.
//!
//! The *container* is the outermost pid namespace below the agent's own that the process lies in:
//! whatever sandboxes it makes inside, they belong to it. Processes in the agent's own pid
//! namespace are one container for each account.
//!
//! The *account* is who made the outermost user namespace below the agent's own: a user of the
//! host, however many numbers that user has inside. In the agent's own user namespace it is the
//! process's user.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::net::sockopt::socket_peercred;
use rustix::process::{PidfdFlags, pidfd_open};

use crate::ids::Identity;
use crate::sys::check;

/// `NS_GET_PARENT` and `NS_GET_OWNER_UID` of ioctl_ns(2).
const PARENT: u64 = 0xb702;
const OWNER: u64 = 0xb704;
/// Namespaces nest no deeper than 32.
const DEPTH: usize = 33;

/// Why a process cannot be told from others.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// It is in no namespace below ours.
    #[error("the agent does not see this process: it runs outside of the agent's namespaces")]
    Unseen,
    /// It ended, or gave its connection away.
    #[error("the process that connected has ended")]
    Ended,
    /// Its namespaces cannot be seen.
    #[error(
        "the agent may not see this process's namespaces ({0}): it lacks CAP_SYS_PTRACE, or runs \
         in another user namespace"
    )]
    Namespaces(Errno),
}

/// A process that joins.
#[derive(Debug)]
pub(crate) struct Joiner {
    pid: i32,
    identity: Identity,
}

impl Joiner {
    /// Who made this connection.
    pub(crate) fn behind(connection: &OwnedFd) -> std::result::Result<Self, Unknown> {
        let peer = socket_peercred(connection).map_err(|_| Unknown::Ended)?;
        // A process that we cannot see has the number 0.
        if peer.pid.as_raw_pid() <= 0 {
            return Err(Unknown::Unseen);
        }
        let handle = pidfd_open(peer.pid, PidfdFlags::empty()).map_err(|_| Unknown::Ended)?;
        let pid = peer.pid.as_raw_pid();
        let account = account(pid, peer.uid.as_raw());
        let container = container(pid);
        // What was read by the number was of that process if it is still there.
        if has_ended(&handle) {
            return Err(Unknown::Ended);
        }
        let (user, container) = (account?, container?);
        let id = match container {
            Some(namespace) => format!("pid:[{namespace}]"),
            None => Identity::HOST.to_owned(),
        };
        Ok(Self { pid, identity: Identity { user, id, joined: true } })
    }

    /// Its number.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Its container, of its account.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }
}

fn has_ended(handle: &OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&now)) != Ok(0)
}

/// The account of a process that is this user.
fn account(pid: i32, user: u32) -> std::result::Result<u32, Unknown> {
    match outermost(pid, "user")? {
        Some(namespace) => owner(&namespace).map_err(Unknown::Namespaces),
        None => Ok(user),
    }
}

/// The number of a process's container: its pid namespace's inode.
fn container(pid: i32) -> std::result::Result<Option<u64>, Unknown> {
    let Some(namespace) = outermost(pid, "pid")? else { return Ok(None) };
    let found = rustix::fs::fstat(&namespace).map_err(Unknown::Namespaces)?;
    Ok(Some(found.st_ino))
}

/// The outermost namespace of this kind that a process is in, below ours; `None`: it is in ours.
fn outermost(pid: i32, kind: &str) -> std::result::Result<Option<OwnedFd>, Unknown> {
    let look = |process: &str| {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        rustix::fs::open(format!("/proc/{process}/ns/{kind}"), flags, Mode::empty())
    };
    let ours = look("self").and_then(inode).map_err(Unknown::Namespaces)?;
    let mut below = None;
    let mut current = look(&pid.to_string()).map_err(|errno| match errno {
        Errno::NOENT | Errno::SRCH => Unknown::Ended,
        errno => Unknown::Namespaces(errno),
    })?;
    for _ in 0..DEPTH {
        if inode(&current).map_err(Unknown::Namespaces)? == ours {
            return Ok(below);
        }
        let above = parent(&current).map_err(|errno| match errno {
            Errno::PERM => Unknown::Unseen,
            errno => Unknown::Namespaces(errno),
        })?;
        below = Some(std::mem::replace(&mut current, above));
    }
    Err(Unknown::Unseen)
}

/// What tells a namespace from every other.
fn inode(namespace: impl AsFd) -> Result<(u64, u64)> {
    rustix::fs::fstat(namespace).map(|found| (found.st_dev, found.st_ino))
}

fn parent(namespace: &OwnedFd) -> Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: the command takes no pointer.
    let parent = check(unsafe { libc::ioctl(namespace.as_raw_fd(), PARENT) })?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(parent) })
}

/// Who made a user namespace.
fn owner(namespace: &OwnedFd) -> Result<u32> {
    let mut user = 0_u32;
    // SAFETY: the command writes one user's number, for which there is room.
    check(unsafe { libc::ioctl(namespace.as_raw_fd(), OWNER, &raw mut user) })?;
    Ok(user)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_of_ours_is_of_the_host_and_of_this_user() {
        let (theirs, ours) = UnixStream::pair().expect("a pair");
        let joiner = Joiner::behind(&ours.into()).expect("it is this process");
        drop(theirs);
        assert_eq!(joiner.pid(), std::process::id() as i32);
        let user = rustix::process::geteuid().as_raw();
        assert_eq!(*joiner.identity(), Identity { user, id: Identity::HOST.into(), joined: true });
    }

    #[test]
    fn sandboxes_in_a_container_are_that_container_and_their_maker_pays() {
        // Two levels of both namespaces; the user inside is another one on each.
        let script = "echo; exec unshare --user --map-root-user --pid --fork sh -c \
                      'echo; exec sleep 60'";
        let mut outer = Command::new("unshare")
            .args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "sh", "-c"])
            .arg(script)
            .stdout(Stdio::piped())
            .spawn()
            .expect("util-linux");
        let mut said = outer.stdout.take().expect("piped");
        if said.read_exact(&mut [0; 2]).is_err() {
            let _ = outer.wait();
            return eprintln!("skipped: this user may make no namespaces");
        }
        let children = |pid: i32| {
            let path = format!("/proc/{pid}/task/{pid}/children");
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.split_whitespace().next().and_then(|word| word.parse::<i32>().ok())
        };
        // unshare, its sh (by then the inner unshare), that one's sleep.
        let first = children(outer.id() as i32).expect("the first level");
        let second = children(first).expect("the second level");
        assert_ne!(
            std::fs::read_link(format!("/proc/{first}/ns/pid")).expect("it runs"),
            std::fs::read_link(format!("/proc/{second}/ns/pid")).expect("it runs"),
        );
        let of = |pid| (account(pid, 4711).expect("seen"), container(pid).expect("seen"));
        assert_eq!(of(first), of(second));
        assert_eq!(of(first).0, rustix::process::geteuid().as_raw(), "not the number inside");
        assert!(of(first).1.is_some());
        outer.kill().expect("it runs");
        outer.wait().expect("it ended");
    }
}
