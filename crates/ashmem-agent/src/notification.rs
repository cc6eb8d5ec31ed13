//! Where notifications come from and answers go to.
//!
//! Three sources: a listener of a program we started, listeners that an OCI runtime hands over, and LXC's monitor, which
//! keeps the listener, sends each notification as a datagram and gives the kernel our answer itself. So that all three
//! fit, an answer is only a value, an error or "go on", and putting a descriptor into the caller is a step of its own.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use rustix::io::{Errno, Result};

/// One intercepted call.
#[derive(Clone, Copy, Debug)]
pub struct Request {
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
}

/// What the caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The call returns this.
    Value(i64),
    /// The call fails with this.
    Errno(Errno),
    /// The kernel runs the call with its own checks. Never a permission: what the call does now may differ from what was
    /// looked at.
    Continue,
}

/// A descriptor on its way into the caller.
#[derive(Clone, Copy, Debug)]
pub struct Injection<'a> {
    /// What the descriptor shall refer to.
    pub fd: BorrowedFd<'a>,
    /// The number to replace; `None`: the lowest that is free.
    pub at: Option<RawFd>,
    /// Whether it closes on exec.
    pub close_on_exec: bool,
}

/// Why no request can come from a channel any more.
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

/// A source of requests.
pub trait Channel: Send + Sync {
    /// Becomes readable when a request waits, and hung up when none can come any more.
    fn as_fd(&self) -> BorrowedFd<'_>;

    /// The next request; `None` if the one that was waiting is gone.
    ///
    /// # Errors
    /// The source is broken for good.
    fn receive(&self) -> std::result::Result<Option<Request>, ReceiveError>;

    /// Whether [`Channel::receive`] waits for a request by itself, and comes back without one when none can come any more.
    /// A loop with nothing else to listen to then saves asking first.
    fn waits(&self) -> bool {
        false
    }

    /// Whether the caller still waits. What was read of a thread by its number counts only if this holds afterwards.
    fn is_waiting(&self, id: u64) -> bool;

    /// Puts a descriptor into the caller, whose number there is returned.
    ///
    /// # Errors
    /// ENOENT: the caller is gone. EMFILE: its table is full. EBADF: `at` is beyond its limit.
    fn inject(&self, id: u64, injection: Injection<'_>) -> Result<RawFd>;

    /// Answers.
    ///
    /// # Errors
    /// ENOENT: the caller is gone, or a signal took it out of the call.
    fn answer(&self, id: u64, answer: Answer) -> Result<()>;

    /// Puts a descriptor into the caller and answers with its number; in one step where the source can, so that no
    /// descriptor stays behind in a caller that a signal takes out of the call.
    ///
    /// # Errors
    /// Those of [`Channel::inject`] and [`Channel::answer`].
    fn answer_with(&self, id: u64, fd: OwnedFd, close_on_exec: bool) -> Result<()> {
        use std::os::fd::AsFd;
        let number = self.inject(id, Injection { fd: fd.as_fd(), at: None, close_on_exec })?;
        self.answer(id, Answer::Value(number.into()))
    }
}
