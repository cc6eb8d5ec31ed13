// SPDX-License-Identifier: MIT OR Apache-2.0
//! A system call that was refused: which one, and with what errno.

use std::fmt;

/// A refused call. Two are the same when their errno is; the call's name is there for the message.
#[derive(Clone, Copy)]
pub struct Refused {
    /// The call as a person would name it, e.g. `SET_SIZE` or `mmap`.
    pub call: &'static str,
    /// The errno.
    pub code: i32,
}

/// What a call answered: its return value as the kernel gave it, all 64 bits of it.
pub type Answer<T = i64> = Result<T, Refused>;

impl Refused {
    /// The errno, as `std::io::Error` names it.
    pub fn raw_os_error(&self) -> Option<i32> {
        Some(self.code)
    }

    /// The errno the C library holds for the call that has just failed.
    pub fn last(call: &'static str) -> Self {
        Self { call, code: std::io::Error::last_os_error().raw_os_error().unwrap_or(0) }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, name(self.code))
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for std::io::Error {
    fn from(refused: Refused) -> Self {
        Self::from_raw_os_error(refused.code)
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name(self.code))
    }
}

/// Turns the C convention (-1 and errno) into an [`Answer`].
pub fn answer(call: &'static str, value: i64) -> Answer {
    if value == -1 { Err(Refused::last(call)) } else { Ok(value) }
}

/// The errno's symbol, e.g. `EINVAL`; a number where it is not one a device like this is likely to
/// answer.
pub fn name(code: i32) -> String {
    macro_rules! symbols {
        ($($symbol:ident)*) => {
            match code {
                $(libc::$symbol => stringify!($symbol).into(),)*
                other => format!("errno {other}"),
            }
        };
    }
    symbols! {
        EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT EBUSY
        EEXIST ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS
        EPIPE ERANGE ENOSYS EOVERFLOW EOPNOTSUPP ETIMEDOUT
    }
}

/// The signal's symbol, e.g. `SIGBUS`.
pub fn signal_name(signal: i32) -> String {
    match signal {
        libc::SIGABRT => "SIGABRT".into(),
        libc::SIGBUS => "SIGBUS".into(),
        libc::SIGILL => "SIGILL".into(),
        libc::SIGKILL => "SIGKILL".into(),
        libc::SIGSEGV => "SIGSEGV".into(),
        libc::SIGSYS => "SIGSYS".into(),
        libc::SIGTERM => "SIGTERM".into(),
        other => format!("signal {other}"),
    }
}
