// SPDX-License-Identifier: MIT OR Apache-2.0
//! A child process to try in what might kill or change who tries it.

use std::time::{Duration, Instant};

use rustix::io::{Errno, Result};
use rustix::process::{Pid, WaitOptions, WaitStatus};

/// How a child came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildEnd {
    /// By itself, with this status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// Not in its time; it was killed.
    Late,
}

/// How many milliseconds a killed child may take to end.
const LEFT_AFTER: u32 = 200;

/// A child that runs a function and ends with what it returns.
pub struct Child {
    pid: Pid,
    reaped: bool,
}

impl Child {
    /// Starts one. The function must call nothing but the kernel: locks that other threads held
    /// stay locked in there, the allocator's too.
    ///
    /// # Errors
    /// Those of fork(2).
    pub fn start(work: impl FnOnce() -> i32) -> Result<Self> {
        // SAFETY: the child runs `work`, which by contract only makes system calls, and then ends.
        match unsafe { libc::fork() } {
            -1 => {
                Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::AGAIN))
            }
            0 => {
                let _ = rustix::process::set_parent_process_death_signal(Some(
                    rustix::process::Signal::KILL,
                ));
                let code = work();
                // SAFETY: nothing of the parent's is flushed or destroyed.
                unsafe { libc::_exit(code) }
            }
            pid => Ok(Self { pid: Pid::from_raw(pid).ok_or(Errno::CHILD)?, reaped: false }),
        }
    }

    /// Its number.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Those of waitpid(2).
    pub fn end(mut self, limit: Duration) -> Result<ChildEnd> {
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_micros(50);
        loop {
            if let Some((_, status)) =
                rustix::process::waitpid(Some(self.pid), WaitOptions::NOHANG)?
            {
                self.reaped = true;
                return Ok(describe(status));
            }
            if Instant::now() >= deadline {
                return Ok(ChildEnd::Late);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(5));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = rustix::process::kill_process(self.pid, rustix::process::Signal::KILL);
            // One that a file server holds cannot be killed: it is left to init.
            for _ in 0..LEFT_AFTER {
                match rustix::process::waitpid(Some(self.pid), WaitOptions::NOHANG) {
                    Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                    _ => break,
                }
            }
        }
    }
}

fn describe(status: WaitStatus) -> ChildEnd {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ChildEnd::Exit(code),
        (None, signal) => ChildEnd::Signal(signal.unwrap_or_default()),
    }
}
