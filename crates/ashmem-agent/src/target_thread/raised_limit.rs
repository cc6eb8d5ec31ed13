// SPDX-License-Identifier: MIT OR Apache-2.0
//! A caller's limit of open files, raised for a moment.

use std::os::fd::RawFd;

use rustix::io::{Errno, Result};

use super::Target;
use crate::sys::check;

/// The soft limit of open files of a waiting caller's process, raised so that it may have this
/// number; it is lowered again when this is dropped. The hard limit stays: whoever set it may have
/// meant to bound the caller, and a child that is forked at this moment would keep what was raised.
pub(crate) struct RaisedLimit<'a> {
    target: &'a Target<'a>,
    before: libc::rlim_t,
    raised: libc::rlim_t,
}

impl<'a> RaisedLimit<'a> {
    /// prlimit(2).
    ///
    /// # Errors
    /// EPERM: the hard limit is as low, or the process is another user's. ESRCH: the caller waits
    /// no more, and its number may be another process's.
    pub(crate) fn to_hold(target: &'a Target<'a>, number: RawFd) -> Result<Self> {
        let limit = limit_of_files(target.tid(), None)?;
        let raised = raised(limit, number)?;
        if !target.is_waiting() {
            return Err(Errno::SRCH);
        }
        limit_of_files(target.tid(), Some(raised))?;
        Ok(Self { target, before: limit.rlim_cur, raised: raised.rlim_cur })
    }
}

/// The limit that allows this number.
fn raised(limit: libc::rlimit, number: RawFd) -> Result<libc::rlimit> {
    let wanted = libc::rlim_t::try_from(number).map_err(|_| Errno::BADF)? + 1;
    if wanted > limit.rlim_max {
        return Err(Errno::PERM);
    }
    Ok(libc::rlimit { rlim_cur: limit.rlim_cur.max(wanted), ..limit })
}

impl Drop for RaisedLimit<'_> {
    fn drop(&mut self) {
        // Another thread of the caller may have set a limit of its own meanwhile: that one stays.
        if let Ok(limit) = limit_of_files(self.target.tid(), None)
            && limit.rlim_cur == self.raised
            && self.target.is_waiting()
        {
            let new = libc::rlimit { rlim_cur: self.before, ..limit };
            let _ = limit_of_files(self.target.tid(), Some(new));
        }
    }
}

/// prlimit(2): the limit of open files as it was, with a new one set if there is one.
fn limit_of_files(tid: i32, new: Option<libc::rlimit>) -> Result<libc::rlimit> {
    let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let new = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the kernel reads the one structure, where there is one, and fills the other.
    check(unsafe { libc::prlimit(tid, libc::RLIMIT_NOFILE, new, &mut before) })?;
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::raised;
    use rustix::io::Errno;

    #[test]
    fn the_hard_limit_is_never_raised() {
        let limit = |soft, hard| libc::rlimit { rlim_cur: soft, rlim_max: hard };
        let after = |soft, hard, number| {
            raised(limit(soft, hard), number).map(|limit| (limit.rlim_cur, limit.rlim_max))
        };
        assert_eq!(after(64, 1024, 64), Ok((65, 1024)));
        assert_eq!(after(64, 1024, 3), Ok((64, 1024)), "it is not lowered either");
        assert_eq!(after(64, 1024, 1023), Ok((1024, 1024)));
        assert_eq!(after(64, 1024, 1024), Err(Errno::PERM));
        assert_eq!(
            after(64, libc::RLIM_INFINITY, 1 << 20),
            Ok(((1 << 20) + 1, libc::RLIM_INFINITY))
        );
        assert_eq!(after(64, 1024, -1), Err(Errno::BADF));
    }
}
