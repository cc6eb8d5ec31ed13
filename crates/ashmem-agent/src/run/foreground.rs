// SPDX-License-Identifier: MIT OR Apache-2.0
//! The foreground process: represents the program to the shell, and forwards signals and status.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{SendFlags, send};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::sys;

/// The exit code if the program was not started because of us; env(1), timeout(1) and docker(1) use
/// the same.
pub const NOT_STARTED: u8 = 125;

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Exited with this code.
    Exited(u8),
    /// Killed by this signal.
    Killed(i32),
    /// The supervisor ended first, so the status is unknown.
    Unknown,
}

impl Ending {
    /// Ends this process in the same way.
    pub fn repeat(self) -> ! {
        if let Self::Killed(signal) = self {
            sys::disable_core_dumps();
            sys::take_default_action(signal);
            sys::exit(128 + signal);
        }
        let code = if let Self::Exited(code) = self { code } else { NOT_STARTED };
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

    /// Reports the program's status until it ends. If the foreground process is killed meanwhile,
    /// the program is killed too.
    pub(crate) fn follow(&self, pid: i32) {
        std::thread::scope(|scope| {
            // By its pidfd: once the program is reaped, another process may have its number.
            if let Some(program) =
                Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
            {
                scope.spawn(move || {
                    let mut polled = [PollFd::new(&self.0, PollFlags::empty())];
                    while !polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) {
                        let _ = poll(&mut polled, None);
                    }
                    let _ = pidfd_send_signal(program, Signal::KILL);
                });
            }
            // Adopted orphans end here too.
            while let Ok((who, status)) = sys::wait_for_child() {
                if who != pid {
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

/// Waits for the end of the program, and forwards signals to it.
pub(crate) fn wait(supervisor: &OwnedFd) -> Ending {
    let Ok(signals) = sys::signals() else { return Ending::Unknown };
    let mut program = None;
    loop {
        let mut polled =
            [PollFd::new(supervisor, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
        if poll(&mut polled, None).is_err() {
            continue;
        }
        let (reports, arrived) = (!polled[0].revents().is_empty(), !polled[1].revents().is_empty());
        if reports {
            let mut bytes = [0; 8];
            match rustix::io::read(supervisor, &mut bytes) {
                Ok(8) => match ProgramStatus::from_bytes(bytes) {
                    ProgramStatus::Started(pid) => program = Some(pid),
                    ProgramStatus::Stopped(signal) => sys::take_default_action(signal),
                    ProgramStatus::Exited(code) => return Ending::Exited(code as u8),
                    ProgramStatus::Killed(signal) => return Ending::Killed(signal),
                },
                _ => return Ending::Unknown,
            }
        }
        // Until the program's number is known, its signals wait.
        if let (true, Some(pid)) = (arrived, program) {
            while let Some(info) = sys::next_signal(&signals) {
                forward_signal(&info, pid);
            }
        }
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
