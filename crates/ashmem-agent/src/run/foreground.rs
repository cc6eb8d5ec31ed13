// SPDX-License-Identifier: MIT OR Apache-2.0
//! The foreground process: represents the program to the shell, and forwards signals and status.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ashmem_proc::process::{parent, processes};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, Result};
use rustix::net::{SendFlags, send};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

pub use crate::execute::NOT_STARTED;
use crate::notice;
use crate::scm_rights;
use crate::sys;

/// The exit code if the supervisor was killed, and the program with it.
pub const SUPERVISOR_KILLED: u8 = 122;

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Exited with this code.
    Exited(u8),
    /// Killed by this signal.
    Killed(i32),
    /// The program was not started; why was said on standard error.
    NotStarted,
    /// The supervisor was killed, and the program was therefore ended.
    SupervisorKilled,
}

impl Ending {
    /// Ends this process in the same way.
    pub fn repeat(self) -> ! {
        if let Self::Killed(signal) = self {
            sys::disable_core_dumps();
            sys::take_default_action(signal);
            sys::exit(128 + signal);
        }
        let code = match self {
            Self::Exited(code) => code,
            Self::SupervisorKilled => SUPERVISOR_KILLED,
            Self::Killed(_) | Self::NotStarted => NOT_STARTED,
        };
        sys::exit(code.into())
    }
}

/// What the supervisor reports of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgramStatus {
    Started(i32),
    Stopped(i32),
    Exited(i32),
    Killed(i32),
}

impl ProgramStatus {
    fn to_bytes(self) -> [u8; 8] {
        let (kind, value) = match self {
            Self::Started(pid) => (0_u32, pid),
            Self::Stopped(signal) => (1, signal),
            Self::Exited(code) => (2, code),
            Self::Killed(signal) => (3, signal),
        };
        (u64::from(kind) << 32 | u64::from(value as u32)).to_ne_bytes()
    }

    fn from_bytes(bytes: [u8; 8]) -> Self {
        let word = u64::from_ne_bytes(bytes);
        let value = word as u32 as i32;
        match word >> 32 {
            0 => Self::Started(value),
            1 => Self::Stopped(value),
            2 => Self::Exited(value),
            _ => Self::Killed(value),
        }
    }
}

/// The supervisor's end of the socket.
pub(crate) struct StatusSender(OwnedFd);

impl StatusSender {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// The receiver may have ended; then nobody needs the status.
    pub(crate) fn send(&self, report: ProgramStatus) {
        let _ = send(&self.0, &report.to_bytes(), SendFlags::NOSIGNAL);
    }

    /// Reports that the program was started, with a handle of it: whoever holds that ends the right
    /// process, also when this one is gone.
    pub(crate) fn send_started(&self, pid: i32) -> Result<()> {
        let program = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
        let handle = pidfd_open(program, PidfdFlags::empty())?;
        let report = ProgramStatus::Started(pid).to_bytes();
        scm_rights::send_with(&self.0, &report, &[handle.as_fd()])
    }

    /// Reports the program's status until it ends. If the foreground process is killed meanwhile,
    /// the program is killed too.
    pub(crate) fn follow(&self, pid: i32) {
        std::thread::scope(|scope| {
            // By its pidfd: once the program is reaped, another process may have its number.
            if let Some(program) =
                Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
            {
                let watch = move || {
                    let mut polled = [PollFd::new(&self.0, PollFlags::empty())];
                    while !polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) {
                        let _ = poll(&mut polled, None);
                    }
                    let _ = pidfd_send_signal(program, Signal::KILL);
                };
                let thread = std::thread::Builder::new().name("watch".into());
                if let Err(error) = thread.spawn_scoped(scope, watch) {
                    tracing::warn!(
                        %error,
                        "the program outlives a foreground process that is killed"
                    );
                }
            }
            // Adopted orphans end here too.
            while let Ok((who, status)) = sys::wait_for_child() {
                if who != pid {
                    continue;
                }
                // A stop of ptrace's, which another thread waits for, is no stop of the program:
                // the kernel tells both to whoever waits for a child.
                if libc::WIFSTOPPED(status) && !is_of_job(pid, status) {
                    continue;
                }
                if libc::WIFSTOPPED(status) {
                    self.send(ProgramStatus::Stopped(libc::WSTOPSIG(status)));
                } else if libc::WIFEXITED(status) {
                    return self.send(ProgramStatus::Exited(libc::WEXITSTATUS(status)));
                } else if libc::WIFSIGNALED(status) {
                    return self.send(ProgramStatus::Killed(libc::WTERMSIG(status)));
                }
            }
        });
    }
}

/// Whether a program was stopped by a signal of job control, and not by a thread of ours that
/// traces it.
fn is_of_job(pid: i32, status: i32) -> bool {
    let by_signal = status >> 16 == 0
        && [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU]
            .contains(&libc::WSTOPSIG(status));
    by_signal && !sys::is_traced_by_us(pid)
}

/// Waits for the end of the program, and forwards signals to it. `child` is the supervisor's
/// number.
pub(crate) fn wait(supervisor: &OwnedFd, child: i32) -> Ending {
    let Ok(signals) = sys::signals() else { return Ending::NotStarted };
    let mut program: Option<(i32, OwnedFd)> = None;
    loop {
        let mut polled =
            [PollFd::new(supervisor, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
        if poll(&mut polled, None).is_err() {
            continue;
        }
        let (reports, arrived) = (!polled[0].revents().is_empty(), !polled[1].revents().is_empty());
        if reports {
            let mut bytes = [0; 8];
            let mut handle = Vec::new();
            match scm_rights::receive_with(supervisor, &mut bytes, &mut handle) {
                Ok(8) => match ProgramStatus::from_bytes(bytes) {
                    ProgramStatus::Started(pid) => program = handle.pop().map(|fd| (pid, fd)),
                    ProgramStatus::Stopped(signal) => sys::take_default_action(signal),
                    ProgramStatus::Exited(code) => return Ending::Exited(code as u8),
                    ProgramStatus::Killed(signal) => return Ending::Killed(signal),
                },
                _ => return without_supervisor(child, program),
            }
        }
        // Until the program's number is known, its signals wait.
        if let (true, Some((pid, _))) = (arrived, &program) {
            while let Some(info) = sys::next_signal(&signals) {
                forward_signal(&info, *pid);
            }
        }
    }
}

/// The supervisor ended without a report. If it said itself why nothing was started, there is
/// nothing more to do. Otherwise the calls that it would answer fail from now on, by which no
/// program goes on rightly: it is ended, with all that it has started.
fn without_supervisor(child: i32, program: Option<(i32, OwnedFd)>) -> Ending {
    if sys::exit_code_of(child) == Some(NOT_STARTED.into()) {
        return Ending::NotStarted;
    }
    if let Some((pid, handle)) = program {
        end_all(pid, &handle);
    }
    notice!(
        "the supervisor was killed, and the program was ended with it: nobody would have \
         answered its calls (status {SUPERVISOR_KILLED})"
    );
    Ending::SupervisorKilled
}

/// Kills a program and its descendants. All are stopped first: whoever runs could start more.
fn end_all(pid: i32, handle: &OwnedFd) {
    /// How often descendants are looked for; each look stops those of the one before.
    const LOOKS: u32 = 16;
    if pidfd_send_signal(handle, Signal::STOP).is_err() {
        return;
    }
    let mut stopped: HashMap<i32, OwnedFd> = HashMap::new();
    for _ in 0..LOOKS {
        let mut found = false;
        for other in processes() {
            let is_descendant = |parent| parent == pid || stopped.contains_key(&parent);
            if stopped.contains_key(&other) || !parent(other).is_some_and(is_descendant) {
                continue;
            }
            // The handle first, then the parent again: it is of that process and no later one.
            if let Some(Ok(handle)) =
                Pid::from_raw(other).map(|other| pidfd_open(other, PidfdFlags::empty()))
                && parent(other).is_some_and(is_descendant)
                && pidfd_send_signal(&handle, Signal::STOP).is_ok()
            {
                stopped.insert(other, handle);
                found = true;
            }
        }
        if !found {
            break;
        }
    }
    for handle in stopped.values().chain([handle]) {
        let _ = pidfd_send_signal(handle, Signal::KILL);
    }
}

/// Forwards a signal, unless the program has got it too: the terminal sends its signals to the
/// whole process group.
fn forward_signal(info: &libc::signalfd_siginfo, pid: i32) {
    let signal = info.ssi_signo as i32;
    let from_terminal =
        info.ssi_code == libc::SI_KERNEL && !(signal == libc::SIGHUP && sys::leads_session());
    if signal == libc::SIGCHLD
        || info.ssi_pid as i32 == pid
        || (from_terminal && signal != libc::SIGCONT)
    {
        return;
    }
    sys::kill(pid, signal);
}
