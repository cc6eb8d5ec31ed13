// SPDX-License-Identifier: MIT OR Apache-2.0
//! The terminal's keeper: a small process that gives the terminal back when this one is killed so
//! that it cannot (SIGKILL).
//!
//! It holds one end of a pipe and sleeps. Told that all is well, it goes; when the pipe closes
//! without a word, it acts.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::pipe::PipeFlags;
use rustix::process::{Pid, WaitOptions};
use rustix::termios::{OptionalActions, Termios};

/// Has the mouse again, shows the cursor and leaves the alternate screen: what the terminal is
/// told, by whomever.
pub(crate) const LEAVE: &[u8] = b"\x1b[?1006l\x1b[?1000l\x1b[?25h\x1b[?1049l";

/// The keeper, until it is told that all is well.
#[derive(Debug)]
pub(crate) struct TerminalGuard {
    pipe: OwnedFd,
    process: Option<Pid>,
}

impl TerminalGuard {
    /// Starts one, for a terminal that was `found` so and is `ours` now.
    ///
    /// # Errors
    /// No pipe or no process could be made.
    pub(crate) fn start(found: &Termios, ours: &Termios) -> io::Result<Self> {
        let (theirs, pipe) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        // SAFETY: the child makes system calls alone (`keep`) and never returns: of what other
        // threads of this process hold it needs nothing.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => keep(&theirs, &pipe, found, ours),
            child => Ok(Self { pipe, process: Pid::from_raw(child) }),
        }
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        // It may have been killed.
        let _ = rustix::io::write(&self.pipe, b".");
        let _ = rustix::process::waitpid(self.process, WaitOptions::empty());
    }
}

fn keep(theirs: &OwnedFd, pipe: &OwnedFd, found: &Termios, ours: &Termios) -> ! {
    // A session of its own: what is sent to the terminal's processes does not reach it, and the
    // terminal's rules for background processes do not hold for it.
    let _ = rustix::process::setsid();
    // SAFETY: this process's copy, which nobody uses again: the pipe closes when the other process
    // ends.
    unsafe { libc::close(pipe.as_raw_fd()) };
    let mut word = [0];
    let heard = loop {
        match rustix::io::read(theirs, &mut word) {
            Err(rustix::io::Errno::INTR) => {}
            heard => break heard,
        }
    };
    if heard == Ok(0) {
        give_back(found, ours);
    }
    // SAFETY: ends this process, without what would be done at the other's end.
    unsafe { libc::_exit(0) }
}

fn give_back(found: &Termios, ours: &Termios) {
    let terminal = rustix::stdio::stdin();
    let _ = rustix::io::write(rustix::stdio::stdout(), LEAVE);
    // The shell may have been faster, and set what it wants for its own line.
    if rustix::termios::tcgetattr(terminal.as_fd()).is_ok_and(|now| is_same(&now, ours)) {
        let _ = rustix::termios::tcsetattr(terminal.as_fd(), OptionalActions::Now, found);
    }
}

fn is_same(one: &Termios, other: &Termios) -> bool {
    one.input_modes == other.input_modes
        && one.output_modes == other.output_modes
        && one.control_modes == other.control_modes
        && one.local_modes == other.local_modes
}
