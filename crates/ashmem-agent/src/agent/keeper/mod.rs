// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where no service manager stores descriptors: a small process that has the agent's sockets,
//! starts the agent, stores what the agent gives it, and starts the next one with all of it.
//!
//! It speaks systemd's protocol, so the agent is the same under both ([`super::systemd`]): FDSTORE
//! and FDSTOREREMOVE of sd_notify(3), and sd_listen_fds(3). It opens nothing that a container
//! brings, and believes messages of its own agent alone.
//!
//! All containers depend on it. Whatever fails, for want of memory or processes, is tried again:
//! SIGTERM and SIGINT alone end it.

mod descriptor_store;
mod message_socket;
mod schedule;
pub mod service_user;

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus};

use self::descriptor_store::DescriptorStore;
use self::message_socket::MessageSocket;
use self::schedule::Schedule;
use self::service_user::ServiceUser;
use super::endpoint::Endpoint;
use crate::error::{SystemError, failed};
use crate::notice;
use crate::sys::{self, Forked, SignalMask};

/// The pause after a wait that failed: memory needs time to come back.
const PAUSE: Duration = Duration::from_millis(100);

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
/// the sockets, where it may. SIGHUP has the agent replaced, by what the program's file is then: an
/// upgrade. Both run as this user from now on, if one is given.
///
/// Call it in a process of one thread. It closes every descriptor but these and standard error.
///
/// # Errors
/// See [`Error`].
pub fn keep(sockets: Vec<Endpoint>, user: Option<ServiceUser>) -> Result<(), Error> {
    let paths: Vec<PathBuf> = sockets.iter().filter_map(Endpoint::path).collect();
    let first = paths.first().ok_or(Error::NoSocket)?;
    let done = hold(sockets, first.parent(), user);
    for path in &paths {
        remove(path);
    }
    done
}

fn hold(
    sockets: Vec<Endpoint>,
    folder: Option<&Path>,
    user: Option<ServiceUser>,
) -> Result<(), Error> {
    let program = std::env::current_exe().map_err(Error::Program)?;
    let numbers: Vec<RawFd> = sockets.iter().map(|socket| socket.as_fd().as_raw_fd()).collect();
    sys::close_inherited_fds(&numbers);
    sys::hear_of_children();
    if let Some(user) = user {
        user.become_it()?;
    }
    // What it stores is every container's: a process of the same user shall not take it.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(failed("closing this process to others of its user"))?;
    let mask = SignalMask::block_all();
    let signals = sys::signals().map_err(failed("making a signalfd"))?;
    let messages = MessageSocket::bind(folder)?;
    let mut keeper = Keeper {
        program,
        sockets,
        messages,
        stored: DescriptorStore::new(),
        agent: None,
        schedule: Schedule::new(Instant::now()),
        mask,
    };
    keeper.run(&signals);
    Ok(())
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::debug!(path = %path.display(), %error, "the socket's name stays");
    }
}

struct Keeper {
    program: PathBuf,
    sockets: Vec<Endpoint>,
    messages: MessageSocket,
    stored: DescriptorStore,
    agent: Option<RunningAgent>,
    schedule: Schedule,
    /// The signals that an agent is started with.
    mask: SignalMask,
}

struct RunningAgent {
    pid: Pid,
    is_ready: bool,
}

impl Keeper {
    fn run(&mut self, signals: &OwnedFd) {
        loop {
            let now = Instant::now();
            if self.schedule.is_start_due(now) {
                self.start(now);
            }
            if self.schedule.is_kill_due(now) {
                tracing::warn!("the agent did not end when it was told to, and is killed");
                self.signal(Signal::KILL);
            }
            self.wait(signals);
            self.listen();
            while let Some(signal) = sys::next_signal(signals) {
                match i32::try_from(signal.ssi_signo).unwrap_or_default() {
                    libc::SIGTERM | libc::SIGINT => {
                        self.schedule.stop();
                        self.end_agent();
                    }
                    libc::SIGHUP => self.end_agent(),
                    _ => {}
                }
            }
            self.reap();
            if self.agent.is_none() && self.schedule.is_over() {
                return;
            }
        }
    }

    /// Until a signal or a message comes, a container ends, or something is due.
    fn wait(&mut self, signals: &OwnedFd) {
        let until = self.schedule.next();
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if let Err(errno) = self.stored.wait(&[signals, &self.messages.socket], left) {
            tracing::error!(%errno, "waiting for the agent, which is tried again");
            thread::sleep(PAUSE);
        }
    }

    fn listen(&mut self) {
        let pid = self.agent.as_ref().map(|agent| agent.pid);
        let is_ready = self.messages.read_all(pid, &mut self.stored);
        if let Some(agent) = &mut self.agent {
            agent.is_ready |= is_ready;
        }
    }

    /// Tells the agent to end, which it does in time or is killed.
    fn end_agent(&mut self) {
        if self.agent.is_some() {
            self.schedule.told(Instant::now());
            self.signal(Signal::TERM);
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(agent) = &self.agent {
            // It is a child that was not waited for yet.
            let _ = rustix::process::kill_process(agent.pid, signal);
        }
    }

    /// Looks whether the agent has ended; what it said last is heard.
    fn reap(&mut self) {
        let Some(pid) = self.agent.as_ref().map(|agent| agent.pid) else { return };
        let status = match rustix::process::waitpid(Some(pid), WaitOptions::NOHANG) {
            Ok(None) => return,
            Ok(Some((_, status))) => describe(status),
            // It is no child any more: it has ended, and somebody else was told how.
            Err(errno) => errno.to_string(),
        };
        self.listen();
        let was_ready = self.agent.take().is_some_and(|agent| agent.is_ready);
        self.schedule.ended(Instant::now(), was_ready);
        let stored = self.stored.len();
        tracing::info!(pid = pid.as_raw_pid(), status, stored, "the agent has ended");
    }

    fn start(&mut self, now: Instant) {
        let keeper = rustix::process::getpid();
        match sys::fork() {
            Ok(Forked::Child) => self.become_agent(keeper),
            Ok(Forked::Parent(pid)) => {
                let started = Pid::from_raw(pid).map(|pid| RunningAgent { pid, is_ready: false });
                self.agent = started;
            }
            Err(errno) => {
                tracing::error!(%errno, "starting the agent failed, and is tried again");
                self.schedule.ended(now, false);
            }
        }
    }

    /// In the child: passes the descriptors on and executes the agent.
    fn become_agent(&self, keeper: Pid) -> ! {
        // An agent whose keeper was killed would hold the sockets against the next keeper, and may
        // be too stuck to hear of it.
        let bound = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        if bound.is_err() || rustix::process::getppid() != Some(keeper) {
            sys::exit(1);
        }
        let (mut names, mut fds): (Vec<_>, Vec<_>) =
            self.sockets.iter().map(|socket| (socket.unit(), socket.as_fd())).unzip();
        for (name, fd) in self.stored.all() {
            names.push(name);
            fds.push(fd);
        }
        let count = fds.len();
        // Behind what is counted: it is for connect(2) alone, once.
        fds.push(self.messages.place.as_fd());
        if let Err(errno) = sys::pass_descriptors(&fds) {
            notice!("passing {count} descriptors to the agent: {errno}");
            sys::exit(1);
        }
        let mut agent = Command::new(&self.program);
        agent.arg("agent").env("LISTEN_PID", std::process::id().to_string());
        agent.env("LISTEN_FDS", count.to_string()).env("LISTEN_FDNAMES", names.join(":"));
        agent.env("NOTIFY_SOCKET", format!("/proc/self/fd/{}", sys::FIRST_PASSED + count));
        self.mask.restore();
        let error = agent.exec();
        notice!("executing {}: {error}", self.program.display());
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
