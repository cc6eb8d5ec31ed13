// SPDX-License-Identifier: MIT OR Apache-2.0
//! A process that joins an agent, and then becomes a container's first program (`ashmem join`).
//!
//! The process filters itself and hands the listener to the agent, so the container's engine needs
//! to know nothing of it: no profile, no proxy, no notifications. Nothing of the engine's own runs
//! under the filter either, so that every call can be answered that `ashmem run` answers.
//!
//! It stays the process that it was: pid 1 in most containers, with the arguments, the environment,
//! the descriptors and the signals that the engine gave it.

pub(crate) mod wire;

use std::ffi::{CString, OsString};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use self::wire::AgentAnswer;
use crate::error::{SystemError, failed};
pub use crate::execute::{NOT_STARTED, NulError};
use crate::execute::{become_or_say, words_of};
use crate::notice;
use crate::seccomp::filter::{Fidelity, Filter, NodeLookup};
use crate::seccomp::listener::{InstallError, Privileges, install};
use crate::sys::SignalMask;

/// How long the agent may take for each answer; one that its service manager has to start first
/// takes a moment.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two attempts, where the agent has no room at the moment.
const PAUSE: Duration = Duration::from_millis(20);
/// The device, where a node may lie.
const NODE: &str = "/dev/ashmem";

/// What to do.
pub struct Join {
    /// The agent's socket, as this process sees it.
    pub agent: PathBuf,
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// How much of the device is emulated.
    pub fidelity: Fidelity,
    /// Whether the program is executed without the device where no agent serves it.
    pub or_without: bool,
}

/// Why the agent does not serve this process.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// Nobody is there.
    #[error(
        "no agent answers at {} ({error}): start it (`systemctl start ashmem-join.socket`; \
         without systemd the service ashmem-agent, or `ashmem agent --keep --join unix:PATH`), and \
         mount its socket into the container",
        path.display()
    )]
    NoAgent { path: PathBuf, error: Errno },
    /// It went away, or is silent.
    #[error("{0}; is the agent of the same version? its log says more")]
    Talk(SystemError),
    /// It does not want to.
    #[error("the agent refuses: {0}")]
    Refused(String),
    /// It has no room at this moment.
    #[error("the agent has had no room for half a minute: {0}")]
    NoRoom(String),
    /// No filter.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// From here on the process is filtered, and must not go on unanswered.
    #[error("{0}: after that no program can go on here, whose calls nobody would answer")]
    Unanswered(Box<Error>),
}

impl Join {
    /// Joins, and becomes the program. Call it while the process has one thread. Returns only if
    /// that failed, what was said on standard error; the exit code to end with.
    #[must_use]
    pub fn run(self) -> u8 {
        let words = match words_of(self.command) {
            Ok(words) => words,
            Err(error) => return not_started(&error.to_string()),
        };
        match join(&self.agent, self.fidelity) {
            Ok(()) => {}
            Err(error @ Error::Unanswered(_)) => return not_started(&error.to_string()),
            Err(error) if self.or_without => {
                notice!("{} has no {NODE}: {error}", name(&words));
            }
            Err(error) => return not_started(&error.to_string()),
        }
        // SIGPIPE, which the Rust runtime ignores, acts as it does on every other program.
        SignalMask::block_all().restore();
        become_or_say(&words, "ashmem join")
    }
}

fn not_started(why: &str) -> u8 {
    notice!("the program was not started: {why}");
    NOT_STARTED
}

fn name(words: &[CString]) -> String {
    words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Filters this process, with the agent to answer its calls.
fn join(path: &Path, fidelity: Fidelity) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    let agent = loop {
        let agent = reach(path).map_err(|error| Error::NoAgent { path: path.into(), error })?;
        // One that is refused at once may be so before it has greeted.
        let greeted = wire::greet(&agent);
        match hear(&agent) {
            Err(Error::NoRoom(_)) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            Err(Error::Talk(error)) => {
                greeted.map_err(failed("greeting the agent")).map_err(Error::Talk)?;
                return Err(Error::Talk(error));
            }
            answer => break answer.map(|()| agent)?,
        }
    };
    let listener = filter(fidelity)?;
    let sent = wire::send_listener(&agent, listener.as_fd());
    // The agent's copy alone is to tell when the last process has ended.
    drop(listener);
    sent.map_err(failed("handing the listener to the agent"))
        .map_err(Error::Talk)
        .and_then(|()| hear(&agent))
        .map_err(|error| Error::Unanswered(Box::new(error)))
}

fn reach(path: &Path) -> rustix::io::Result<OwnedFd> {
    let address = SocketAddrUnix::new(path)?;
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    for timeout in [Timeout::Send, Timeout::Recv] {
        set_socket_timeout(&socket, timeout, Some(PATIENCE))?;
    }
    connect(&socket, &address)?;
    Ok(socket)
}

fn hear(agent: &OwnedFd) -> Result<(), Error> {
    match wire::read_answer(agent) {
        Ok(AgentAnswer::Yes) => Ok(()),
        Ok(AgentAnswer::NotNow(reason)) => Err(Error::NoRoom(reason)),
        Ok(AgentAnswer::No(reason)) => Err(Error::Refused(reason)),
        Err(errno) => Err(Error::Talk(failed("waiting for the agent's answer")(errno))),
    }
}

/// Filters this process; the listener.
fn filter(fidelity: Fidelity) -> Result<OwnedFd, Error> {
    let has_node = fs::metadata(NODE).is_ok_and(|found| found.file_type().is_char_device());
    let node = if has_node { NodeLookup::Present } else { NodeLookup::Absent };
    let program = Filter { fidelity, node }.program();
    let listener = match install(&program, Privileges::Keep) {
        Err(InstallError::Refused(Errno::ACCESS)) => {
            let listener = install(&program, Privileges::Renounce)?;
            notice!(
                "without CAP_SYS_ADMIN in its user namespace a process may filter itself \
                 only with no_new_privs: set-user-ID programs gain no rights here"
            );
            listener
        }
        other => other?,
    };
    Ok(listener)
}
