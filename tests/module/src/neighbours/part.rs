// SPDX-License-Identifier: MIT OR Apache-2.0
//! A process of its own for a part of a trial: it can be anybody, hang, and be killed.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// What a trial that could not be tried says before its reason.
pub(super) const SKIPPED: &str = "skipped: ";

/// How long a killed process may take to be gone before it counts as one that cannot be killed.
const DEATH: Duration = Duration::from_secs(20);

/// The user that a neighbour without rights is.
pub(crate) const USER: u32 = 1000;

/// A process that does one thing, and ends with its parent.
pub(crate) struct Part {
    process: libc::pid_t,
    handle: OwnedFd,
    words: File,
    is_over: bool,
}

/// What one process waits for and another grants; copied by fork.
pub(crate) struct Gate {
    waits: File,
    grants: File,
}

impl Gate {
    pub(crate) fn new() -> Result<Self> {
        let mut ends = [0; 2];
        // SAFETY: room for two descriptors.
        check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }.into())
            .context("making a pipe")?;
        // SAFETY: fresh descriptors, each owned once.
        let (waits, grants) = unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) };
        Ok(Self { waits, grants })
    }

    /// Lets one process pass.
    pub(crate) fn open(&self) -> Result<()> {
        (&self.grants).write_all(&[1]).context("opening a gate")
    }

    /// Waits until it may pass.
    pub(crate) fn pass(&self) -> Result<()> {
        (&self.waits).read_exact(&mut [0]).context("waiting at a gate")
    }

    /// Whether it is passed within `limit`.
    pub(crate) fn is_passed(&self, limit: Duration) -> Result<bool> {
        if !is_readable(self.waits.as_raw_fd(), limit)? {
            return Ok(false);
        }
        self.pass()?;
        Ok(true)
    }
}

/// How a process ended.
#[derive(Debug)]
pub(crate) enum End {
    /// It did its part, and said this.
    Said(String),
    /// It could not; why.
    Failed(String),
    /// A signal ended it.
    Killed(i32),
    /// It had not ended in its time: where it was in the kernel, and whether SIGKILL ended it.
    Late { stacks: String, obeyed: bool },
}

impl Part {
    /// Starts `work` as `user`, who has no right but root's where it is 0.
    pub(crate) fn start(user: u32, work: impl FnOnce() -> Result<String>) -> Result<Self> {
        let mut ends = [0; 2];
        // SAFETY: room for two descriptors.
        check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }.into())
            .context("making a pipe")?;
        // SAFETY: fresh descriptors, each owned once.
        let (words, mut said) = unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) };
        // SAFETY: this program has a single thread wherever it starts a part.
        let process = unsafe { libc::fork() };
        check(process.into()).context("fork")?;
        if process == 0 {
            drop(words);
            let outcome = become_user(user).and_then(|()| work());
            let text = match &outcome {
                Ok(text) => text.clone(),
                Err(error) => format!("{error:#}"),
            };
            // Who reads it may be gone; then nobody cares.
            let _ = said.write_all(text.as_bytes());
            // SAFETY: ends this process without unwinding into what belongs to its parent.
            unsafe { libc::_exit(outcome.is_err().into()) }
        }
        drop(said);
        // SAFETY: a process of ours that has not been waited for.
        let handle = check(unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) })
            .context("pidfd_open")?;
        // SAFETY: a fresh descriptor.
        let handle = unsafe { OwnedFd::from_raw_fd(handle as i32) };
        Ok(Self { process, handle, words, is_over: false })
    }

    /// Does the whole of a part in its time, or fails saying where it stuck.
    pub(crate) fn run(
        user: u32,
        limit: Duration,
        work: impl FnOnce() -> Result<String>,
    ) -> Result<String> {
        Self::start(user, work)?.finish(limit)
    }

    /// Waits for what it says.
    pub(crate) fn finish(self, limit: Duration) -> Result<String> {
        match self.end(limit)? {
            End::Said(text) => Ok(text),
            End::Failed(text) => bail!(text),
            End::Killed(signal) => bail!("signal {signal} ended it"),
            End::Late { stacks, obeyed } => bail!(
                "it had not ended after {} s and {} SIGKILL; it was at\n{stacks}",
                limit.as_secs(),
                if obeyed { "obeyed" } else { "did not obey" }
            ),
        }
    }

    /// Waits for its end.
    pub(crate) fn end(mut self, limit: Duration) -> Result<End> {
        if !self.wait(limit)? {
            let stacks = self.stacks();
            self.kill();
            let obeyed = self.wait(DEATH)?;
            return Ok(End::Late { stacks, obeyed });
        }
        let mut text = String::new();
        self.words.read_to_string(&mut text).context("reading what a part said")?;
        let mut status = 0;
        // SAFETY: a child of ours, and room for its status.
        check(unsafe { libc::waitpid(self.process, &raw mut status, 0) }.into())
            .context("waitpid")?;
        self.is_over = true;
        Ok(if libc::WIFSIGNALED(status) {
            End::Killed(libc::WTERMSIG(status))
        } else if libc::WEXITSTATUS(status) == 0 {
            End::Said(text)
        } else {
            End::Failed(text)
        })
    }

    /// Kills it and demands that it goes.
    pub(crate) fn put_down(self, limit: Duration) -> Result<()> {
        self.kill();
        match self.end(limit)? {
            End::Late { stacks, .. } => {
                bail!("a killed process was still there after {} s, at\n{stacks}", limit.as_secs())
            }
            _ => Ok(()),
        }
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&self) {
        // SAFETY: a child of ours that has not been waited for, so the number is still its own.
        unsafe { libc::kill(self.process, libc::SIGKILL) };
    }

    /// Its number.
    pub(crate) fn id(&self) -> i32 {
        self.process
    }

    /// Whether it has ended by itself, or been killed by others.
    pub(crate) fn is_at_end(&self) -> Result<bool> {
        self.wait(Duration::ZERO)
    }

    /// Whether it is at its end before `limit` is over.
    fn wait(&self, limit: Duration) -> Result<bool> {
        is_readable(self.handle.as_raw_fd(), limit)
    }

    /// Where it is in the kernel.
    fn stacks(&self) -> String {
        let read = |file: &str| {
            fs::read_to_string(format!("/proc/{}/{file}", self.process)).unwrap_or_default()
        };
        let status = read("status");
        let state = status.lines().find(|line| line.starts_with("State:")).unwrap_or_default();
        format!("{state}\n{}", read("stack"))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.kill();
        // One that cannot be killed must not take this process with it.
        if self.wait(DEATH).is_ok_and(|over| over) {
            // SAFETY: a child of ours; nobody wants its status.
            unsafe { libc::waitpid(self.process, std::ptr::null_mut(), 0) };
        }
    }
}

/// Gives up root's rights, and ends when the parent does.
fn become_user(user: u32) -> Result<()> {
    if user != 0 {
        fs::write("/proc/self/oom_score_adj", "0")
            .context("being killed for memory like anybody")?;
        // SAFETY: numbers, and an empty list.
        let results = unsafe {
            [
                libc::setgroups(0, std::ptr::null()),
                libc::setresgid(user, user, user),
                libc::setresuid(user, user, user),
            ]
        };
        ensure!(results == [0; 3], "becoming user {user} gave {results:?}");
    }
    // After that, for a change of user takes both back: its entries in /proc are its own, as a
    // login's are. SAFETY: numbers.
    let results = unsafe {
        [libc::prctl(libc::PR_SET_DUMPABLE, 1), libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)]
    };
    ensure!(results == [0; 2], "prctl gave {results:?}");
    Ok(())
}

/// Whether a descriptor has something to say before `limit` is over.
fn is_readable(descriptor: i32, limit: Duration) -> Result<bool> {
    let mut waited = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    let milliseconds = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one descriptor.
    let ready = unsafe { libc::poll(&raw mut waited, 1, milliseconds) };
    check(ready.into()).context("waiting for another process")?;
    Ok(ready > 0)
}

/// A system call's answer, or its error.
pub(crate) fn check(answer: libc::c_long) -> std::io::Result<libc::c_long> {
    if answer < 0 { Err(std::io::Error::last_os_error()) } else { Ok(answer) }
}
