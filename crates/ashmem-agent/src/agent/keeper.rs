// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where no service manager stores descriptors: a small process that has the agent's sockets,
//! starts the agent, stores what the agent gives it, and starts the next one with all of it.
//!
//! It speaks systemd's protocol, so the agent is the same under both ([`super::systemd`]): FDSTORE
//! and FDSTOREREMOVE of sd_notify(3), and sd_listen_fds(3). It opens nothing that a container
//! brings, and believes messages of its own agent alone.

use std::collections::BTreeMap;
use std::fs;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix,
    SocketFlags, SocketType, recvmsg, sockopt,
};
use rustix::process::{Pid, Resource, Signal, WaitOptions, WaitStatus};

use super::endpoint::Endpoint;
use crate::error::{SystemError, failed};
use crate::sys::{self, Forked, SignalMask};

/// The most descriptors that are stored, as in systemd's unit. Fewer where this process may have
/// few open: starting an agent takes three times as many for a moment.
const MOST: usize = 4096;
/// The most bytes that their names take; an agent gets them as one variable, for which the kernel's
/// limit is 128 KiB.
const MOST_NAMES: usize = 120_000;
/// The pause before the next agent; it doubles for as long as agents end before they are ready.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long an agent may take to end when it is told to.
const PATIENCE: Duration = Duration::from_secs(10);
/// A message of the agent's is a few words.
const LONGEST: usize = 512;

/// Why there is no keeper.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No socket was given.
    #[error("there is no socket to hold")]
    NoSocket,
    /// A system call failed.
    #[error(transparent)]
    System(#[from] SystemError),
    /// The program cannot be found again.
    #[error("finding this program, to start the agent by it: {0}")]
    Program(std::io::Error),
}

/// Keeps an agent running on these sockets until SIGTERM or SIGINT comes, then ends it and removes
/// the sockets. SIGHUP has the agent replaced, by what the program's file is then: an upgrade.
///
/// Call it in a process of one thread.
///
/// # Errors
/// See [`Error`].
pub fn keep(sockets: Vec<Endpoint>) -> Result<(), Error> {
    let paths: Vec<PathBuf> = sockets.iter().filter_map(Endpoint::path).collect();
    let first = paths.first().ok_or(Error::NoSocket)?;
    let program = std::env::current_exe().map_err(Error::Program)?;
    let mask = SignalMask::block_all();
    let signals = sys::signals().map_err(failed("making a signalfd"))?;
    let messages = MessageSocket::bind(first)?;
    let mut keeper = Keeper {
        program,
        sockets,
        messages,
        stored: StoredFds { fds: BTreeMap::new(), most: room() },
        agent: None,
        pause: PAUSES.0,
        mask,
    };
    let done = keeper.run(&signals);
    for path in paths.iter().chain([&keeper.messages.path]) {
        let _ = fs::remove_file(path);
    }
    done.map_err(Error::from)
}

/// How many descriptors can be stored, with as many open files as this process may have.
fn room() -> usize {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Whether or not it may be raised, what counts is the limit that there is then.
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
    let limit = rustix::process::getrlimit(Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit / 4).ok()).map_or(MOST, |room| room.min(MOST))
}

struct Keeper {
    program: PathBuf,
    sockets: Vec<Endpoint>,
    messages: MessageSocket,
    stored: StoredFds,
    agent: Option<RunningAgent>,
    /// Before the next start.
    pause: Duration,
    /// The signals that an agent is started with.
    mask: SignalMask,
}

struct RunningAgent {
    pid: Pid,
    is_ready: bool,
}

impl Keeper {
    fn run(&mut self, signals: &OwnedFd) -> Result<(), SystemError> {
        let mut next_start = Some(Instant::now());
        let (mut is_stopping, mut last_moment) = (false, None);
        loop {
            if next_start.is_some_and(|at| at <= Instant::now()) {
                next_start = None;
                self.start()?;
            }
            if last_moment.is_some_and(|at: Instant| at <= Instant::now()) {
                last_moment = None;
                self.signal(Signal::KILL);
            }
            let next = [next_start, last_moment].into_iter().flatten().min();
            self.wait(signals, next)?;
            self.listen();
            while let Some(signal) = sys::next_signal(signals) {
                match i32::try_from(signal.ssi_signo).unwrap_or_default() {
                    libc::SIGTERM | libc::SIGINT => {
                        is_stopping = true;
                        (next_start, last_moment) = (None, Some(Instant::now() + PATIENCE));
                        self.signal(Signal::TERM);
                    }
                    libc::SIGHUP => self.signal(Signal::TERM),
                    _ => {}
                }
            }
            if self.has_ended()? {
                next_start = (!is_stopping).then(|| Instant::now() + self.pause);
            }
            if self.agent.is_none() && next_start.is_none() {
                return Ok(());
            }
        }
    }

    /// Until a signal or a message comes, a stored descriptor hangs up, or this moment is there.
    fn wait(&mut self, signals: &OwnedFd, until: Option<Instant>) -> Result<(), SystemError> {
        let nothing = PollFlags::empty();
        let mut fds = vec![
            PollFd::new(signals, PollFlags::IN),
            PollFd::new(&self.messages.socket, PollFlags::IN),
        ];
        fds.extend(self.stored.fds.values().map(|fd| PollFd::new(fd, nothing)));
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut fds, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(failed("waiting for the agent")(errno)),
        }
        // A listener hangs up when the last process under its filter is gone.
        let is_alive: Vec<bool> = fds.iter().skip(2).map(|fd| fd.revents().is_empty()).collect();
        let mut is_alive = is_alive.into_iter();
        self.stored.fds.retain(|_, _| is_alive.next().unwrap_or(true));
        Ok(())
    }

    fn listen(&mut self) {
        if let Some(agent) = &mut self.agent {
            agent.is_ready |= self.messages.read_all(agent.pid, &mut self.stored);
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(agent) = &self.agent {
            // It is a child that was not waited for yet.
            let _ = rustix::process::kill_process(agent.pid, signal);
        }
    }

    /// Whether the agent has ended; what it said last is heard.
    fn has_ended(&mut self) -> Result<bool, SystemError> {
        let Some(pid) = self.agent.as_ref().map(|agent| agent.pid) else { return Ok(false) };
        let ended = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG)
            .map_err(failed("waiting for the agent's end"))?;
        let Some((_, status)) = ended else { return Ok(false) };
        self.listen();
        let was_ready = self.agent.take().is_some_and(|agent| agent.is_ready);
        self.pause = if was_ready { PAUSES.0 } else { (self.pause * 2).min(PAUSES.1) };
        tracing::info!(
            pid = pid.as_raw_pid(),
            status = describe(status),
            stored = self.stored.fds.len(),
            "the agent has ended"
        );
        Ok(true)
    }

    fn start(&mut self) -> Result<(), SystemError> {
        let keeper = rustix::process::getpid();
        match sys::fork().map_err(failed("starting the agent"))? {
            Forked::Child => self.become_agent(keeper),
            Forked::Parent(pid) => {
                let started = Pid::from_raw(pid).map(|pid| RunningAgent { pid, is_ready: false });
                self.agent = started;
                Ok(())
            }
        }
    }

    /// In the child: passes the descriptors on and executes the agent.
    fn become_agent(&self, keeper: Pid) -> ! {
        // An agent whose keeper was killed would hold the sockets against the next keeper.
        let bound = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
        if bound.is_err() || rustix::process::getppid() != Some(keeper) {
            sys::exit(1);
        }
        let mut names: Vec<&str> = self.sockets.iter().map(Endpoint::unit).collect();
        names.extend(self.stored.fds.keys().map(String::as_str));
        let fds = self.sockets.iter().map(AsFd::as_fd);
        let fds: Vec<_> = fds.chain(self.stored.fds.values().map(AsFd::as_fd)).collect();
        if let Err(errno) = sys::pass_descriptors(&fds) {
            eprintln!("ashmem: passing {} descriptors to the agent: {errno}", fds.len());
            sys::exit(1);
        }
        let mut agent = Command::new(&self.program);
        agent.arg("agent").env("LISTEN_PID", std::process::id().to_string());
        agent.env("LISTEN_FDS", fds.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        agent.env("NOTIFY_SOCKET", &self.messages.path);
        self.mask.restore();
        let error = agent.exec();
        eprintln!("ashmem: executing {}: {error}", self.program.display());
        sys::exit(127)
    }
}

fn describe(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}

/// Where the agent's messages arrive: a socket that only this user and root can reach.
struct MessageSocket {
    path: PathBuf,
    socket: OwnedFd,
}

impl MessageSocket {
    /// Beside a socket that no other keeper has, and under its name.
    fn bind(beside: &Path) -> Result<Self, SystemError> {
        let mut path = beside.to_owned().into_os_string();
        path.push(".keeper");
        let path = PathBuf::from(path);
        let name = SocketAddrUnix::new(&path)
            .map_err(failed("the keeper's path does not fit into a socket's name"))?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
            .map_err(failed("making a socket for the agent's messages"))?;
        sockopt::set_socket_passcred(&socket, true)
            .map_err(failed("asking for the senders of messages"))?;
        // A keeper that was killed left it.
        let _ = fs::remove_file(&path);
        let mask = rustix::process::umask(Mode::from_bits_retain(0o177));
        let bound = rustix::net::bind(&socket, &name);
        rustix::process::umask(mask);
        bound.map_err(failed("binding a socket for the agent's messages"))?;
        Ok(Self { path, socket })
    }

    /// Takes in what the agent has said; whether it said that it is ready.
    fn read_all(&self, agent: Pid, stored: &mut StoredFds) -> bool {
        let mut is_ready = false;
        let mut bytes = [0; LONGEST];
        // So many, and then the signals get their turn.
        for _ in 0..MOST {
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
            if sender == Some(agent) {
                let text = String::from_utf8_lossy(bytes.get(..got).unwrap_or_default());
                is_ready |= text.lines().any(|line| line == "READY=1");
                stored.hear(&text, fd);
            } else {
                tracing::warn!(pid = ?sender, "ignored a message that is not the agent's");
            }
        }
        is_ready
    }
}

/// What the agent has stored, by its names.
struct StoredFds {
    fds: BTreeMap<String, OwnedFd>,
    most: usize,
}

impl StoredFds {
    /// Does what a message asks for. The descriptor of a message that asks nothing of it is closed,
    /// which is the answer to BARRIER=1.
    fn hear(&mut self, text: &str, fd: Option<OwnedFd>) {
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
        let Some(name) = value("FDNAME=") else { return };
        // It stands between colons in the next agent's environment.
        let is_plain = |sign: char| sign.is_ascii_alphanumeric() || sign == '-';
        if name.is_empty() || !name.chars().all(is_plain) {
            tracing::warn!("ignored a descriptor of a name that cannot be passed on");
        } else if value("FDSTOREREMOVE=") == Some("1") {
            self.fds.remove(name);
        } else if let Some(fd) = fd.filter(|_| value("FDSTORE=") == Some("1")) {
            let names: usize = self.fds.keys().map(|name| name.len() + 1).sum();
            let has_room = self.fds.len() < self.most && names + name.len() < MOST_NAMES;
            if has_room || self.fds.contains_key(name) {
                self.fds.insert(name.to_owned(), fd);
            } else {
                tracing::error!(
                    stored = self.fds.len(),
                    "no more descriptors are stored: a container is lost with this agent (the \
                     limit is a quarter of the open files that it may have, and 4096)"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MessageSocket, StoredFds};
    use crate::agent::systemd::Manager;
    use rustix::process::{Pid, getpid};
    use std::collections::BTreeMap;
    use std::os::fd::OwnedFd;

    fn stored(most: usize) -> StoredFds {
        StoredFds { fds: BTreeMap::new(), most }
    }

    fn some_fd() -> OwnedFd {
        OwnedFd::from(std::fs::File::open("/dev/null").expect("the null device"))
    }

    #[test]
    fn what_is_stored_has_a_name_that_can_be_passed_on_and_a_bound() {
        let mut stored = stored(2);
        for name in ["", "a:b", "a b", "a\u{e9}", "one", "one", "two", "three"] {
            stored.hear(&format!("FDSTORE=1\nFDNAME={name}"), Some(some_fd()));
        }
        assert_eq!(stored.fds.keys().collect::<Vec<_>>(), ["one", "two"]);
        stored.hear("FDSTORE=1\nFDNAME=four", None);
        stored.hear("BARRIER=1", Some(some_fd()));
        stored.hear("FDSTOREREMOVE=1\nFDNAME=one", None);
        assert_eq!(stored.fds.keys().collect::<Vec<_>>(), ["two"]);
    }

    #[test]
    fn the_agent_alone_is_believed() {
        let folder = std::env::temp_dir().join(format!("ashmem-keeper-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let socket = MessageSocket::bind(&folder.join("a")).expect("a socket");
        let manager = Manager::at(&socket.path).expect("it is there");
        let mut stored = stored(8);
        let stranger = Pid::from_raw(1).expect("a number");
        for (agent, count) in [(stranger, 0), (getpid(), 1)] {
            manager.keep("container-0-state", some_fd()).expect("a message");
            manager.tell("READY=1");
            assert_eq!(socket.read_all(agent, &mut stored), count == 1, "{agent:?}");
            assert_eq!(stored.fds.len(), count, "{agent:?}");
        }
        manager.forget("container-0-state");
        assert!(!socket.read_all(getpid(), &mut stored));
        assert!(stored.fds.is_empty());
        std::fs::remove_dir_all(folder).expect("it was ours");
    }
}
