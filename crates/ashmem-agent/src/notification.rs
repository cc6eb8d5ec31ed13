// SPDX-License-Identifier: MIT OR Apache-2.0
//! Channels: where notifications come from and answers go to.
//!
//! There are three sources: the listener of a program that we started, listeners that an OCI
//! runtime hands over, and LXC's monitor, which keeps the listener, sends each notification as a
//! datagram and gives our answer to the kernel itself. To fit all three, an answer is only a value,
//! an error or Continue, and putting a descriptor into the caller is a step of its own.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use rustix::io::{Errno, Result};

/// One intercepted call.
#[derive(Clone, Copy, Debug)]
pub struct Notification {
    /// The notification's id, by which it is answered.
    pub id: u64,
    /// The calling thread, as seen from the reader's pid namespace; 0 if it cannot be seen.
    pub tid: i32,
    /// `AUDIT_ARCH_*` of the call.
    pub arch: u32,
    /// The call's number on that architecture.
    pub nr: u32,
    /// Its six registers.
    pub args: [u64; 6],
    /// The address behind the instruction that made it.
    pub instruction_pointer: u64,
}

/// What the caller gets as the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The call returns this.
    Value(i64),
    /// The call fails with this.
    Errno(Errno),
    /// Continue: the kernel runs the call with its own checks. Never use it as a permission: the
    /// call may do something else by now than what was read.
    Continue,
}

/// A descriptor to put into the caller.
#[derive(Clone, Copy, Debug)]
pub struct Injection<'a> {
    /// What the descriptor refers to.
    pub fd: BorrowedFd<'a>,
    /// The number to replace; `None`: the lowest that is free.
    pub at: Option<RawFd>,
    /// Whether it closes on exec.
    pub close_on_exec: bool,
}

/// Why no notification can come from a channel any more.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// The other side has ended.
    #[error("the other side has hung up")]
    HungUp,
    /// What came is no notification, or one of a kernel or an LXC whose structures are others.
    #[error("what came is no notification that this program knows")]
    Malformed,
    /// The kernel refuses.
    #[error(transparent)]
    System(#[from] Errno),
}

/// A source of notifications.
pub trait Channel: Send + Sync {
    /// A descriptor that is readable when one waits, and hung up when none can come any more.
    fn as_fd(&self) -> BorrowedFd<'_>;

    /// The next notification; `None` if the one that was waiting is gone.
    ///
    /// # Errors
    /// The source is broken for good.
    fn receive(&self) -> std::result::Result<Option<Notification>, ReceiveError>;

    /// Whether [`Channel::receive`] itself waits for one, and returns without one when none
    /// can come any more. A loop with a single such channel does not poll first.
    fn waits(&self) -> bool {
        false
    }

    /// Whether the caller still waits. What was read of a thread by its number is valid only if
    /// this holds afterwards.
    fn is_waiting(&self, id: u64) -> bool;

    /// Puts a descriptor into the caller and returns its number there.
    ///
    /// # Errors
    /// ENOENT: the caller is gone. EMFILE: its table is full. EBADF: `at` is beyond its limit.
    fn inject(&self, id: u64, injection: Injection<'_>) -> Result<RawFd>;

    /// Answers the notification.
    ///
    /// # Errors
    /// ENOENT: the caller is gone, or a signal took it out of the call.
    fn answer(&self, id: u64, answer: Answer) -> Result<()>;

    /// Puts a descriptor into the caller and answers with its number; returns what was answered.
    /// Where the source can, both are one step, so that a caller interrupted by a signal is not
    /// left with a descriptor.
    ///
    /// # Errors
    /// Those of [`Channel::inject`] and [`Channel::answer`].
    fn answer_with(&self, id: u64, fd: OwnedFd, close_on_exec: bool) -> Result<Answer> {
        use std::os::fd::AsFd;
        let number = self.inject(id, Injection { fd: fd.as_fd(), at: None, close_on_exec })?;
        let answer = Answer::Value(number.into());
        self.answer(id, answer).map(|()| answer)
    }
}
