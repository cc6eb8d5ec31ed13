// SPDX-License-Identifier: MIT OR Apache-2.0
//! next_stop: waits for a traced thread to stop.
//!
//! The program is our child, and another thread of ours waits for its end: the kernel may tell that
//! one of the stop. So this looks, besides, whether the thread is stopped.

use std::time::{Duration, Instant};

use rustix::io::{Errno, Result};

use crate::sys::check;

/// The stop behind a call's entry and before its end, with PTRACE_O_TRACESYSGOOD.
pub(crate) const SYSCALL_STOP: i32 = libc::SIGTRAP | 0x80;

/// waitpid(2): the status of a traced thread's next stop.
///
/// # Errors
/// ETIMEDOUT: it has not stopped so long. ESRCH or ECHILD: it has ended.
pub(crate) fn next_stop(tid: i32, patience: Option<Duration>) -> Result<i32> {
    /// How often to look without a pause: most stops come at once.
    const SPIN: u32 = 200;
    let began = Instant::now();
    let mut status = 0;
    for turn in 0_u32.. {
        // SAFETY: the status is an integer of ours.
        let got = check(unsafe { libc::waitpid(tid, &mut status, libc::__WALL | libc::WNOHANG) })?;
        if got != 0 {
            return if libc::WIFSTOPPED(status) { Ok(status) } else { Err(Errno::SRCH) };
        }
        if turn < SPIN {
            std::thread::yield_now();
            continue;
        }
        if let Some(status) = untold_stop(tid) {
            return Ok(status);
        }
        let waited = began.elapsed();
        if patience.is_some_and(|patience| waited > patience) {
            return Err(Errno::TIMEDOUT);
        }
        // A wait without an end is a rare one, and may be long.
        std::thread::sleep((waited / 8).clamp(Duration::from_micros(50), Duration::from_millis(5)));
    }
    Err(Errno::TIMEDOUT)
}

/// PTRACE_GETSIGINFO: the status of a stop that waitpid(2) has told another thread of; `None`: the
/// thread runs.
fn untold_stop(tid: i32) -> Option<i32> {
    const EVENT_STOP: i32 = libc::PTRACE_EVENT_STOP << 8;
    // SAFETY: an all-zero structure is a valid one, which the call fills.
    let info = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        check(libc::ptrace(libc::PTRACE_GETSIGINFO, tid, 0, &raw mut info) as i32).ok()?;
        info
    };
    let stopped = |signal: i32| signal << 8 | 0x7f;
    Some(match info.si_code {
        SYSCALL_STOP => stopped(SYSCALL_STOP),
        code if code & !0xff == EVENT_STOP => stopped(code),
        _ => stopped(info.si_signo),
    })
}
