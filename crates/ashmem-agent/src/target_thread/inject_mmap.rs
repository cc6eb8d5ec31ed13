// SPDX-License-Identifier: MIT OR Apache-2.0
//! inject_mmap: makes a thread call mmap in place of the call that it made.
//!
//! A private mapping of a region shows zeros, whatever the region holds (MMAP-12). The kernel's own
//! mmap of a memfd shows the content, an answer cannot create a mapping, and the arguments of a
//! continued call cannot be changed. So the supervisor stops the caller with ptrace as it leaves
//! the refused call, has it make the same mmap once more with anonymous memory, and lets it
//! continue with that result.
//!
//! Only such mappings need this; they are rare. If the caller cannot be traced (a debugger has it,
//! or the registers of its processor are not known), the kernel maps the memfd privately, which is
//! correct while the region is empty.

use rustix::io::{Errno, Result};

use crate::notification::{Answer, Channel, Notification};
use crate::seccomp::syscalls::Mmap;
use crate::sys::{check, is_traced_by_us};
use crate::target_thread::next_stop::{SYSCALL_STOP, next_stop};
use crate::target_thread::registers::{self, Registers};

const SET_OPTIONS: i32 = libc::PTRACE_O_TRACESYSGOOD;
const MAP_PRIVATE: i32 = libc::MAP_PRIVATE;
const MAP_ANONYMOUS: i32 = libc::MAP_ANONYMOUS;
/// What is kept of the caller's flags.
const KEPT: i32 = libc::MAP_FIXED
    | libc::MAP_FIXED_NOREPLACE
    | libc::MAP_NORESERVE
    | libc::MAP_POPULATE
    | libc::MAP_LOCKED
    | libc::MAP_STACK
    | registers::OWN_MAP_FLAGS;

/// Lets the kernel run a call, and returns what the call returned; `None` where the caller cannot
/// be stopped as it leaves it.
///
/// # Errors
/// Those of [`Channel::answer`].
pub(crate) fn let_run(channel: &dyn Channel, notification: &Notification) -> Result<Option<i64>> {
    let caller = Leaving::begin(notification.tid, || channel.is_waiting(notification.id));
    channel.answer(notification.id, Answer::Continue)?;
    Ok(caller.and_then(|caller| caller.result(notification)).ok().flatten())
}

/// Answers an mmap with private anonymous memory, and returns what the caller got; `None` where
/// that is not known.
///
/// # Errors
/// Those of [`Channel::answer`].
pub(crate) fn map_anonymous(
    channel: &dyn Channel,
    notification: &Notification,
    call: Mmap,
) -> Result<Option<i64>> {
    match Leaving::begin(notification.tid, || channel.is_waiting(notification.id)) {
        Ok(mut caller) => {
            // The result if the second call is not made.
            channel.answer(notification.id, Answer::Errno(Errno::NOMEM))?;
            match caller.call_anonymous(notification, call) {
                Ok(result) => Ok(result),
                Err(error) => {
                    tracing::warn!(
                        %error,
                        tid = notification.tid,
                        "making a private mapping failed: the caller got ENOMEM"
                    );
                    Ok(Some(-i64::from(libc::ENOMEM)))
                }
            }
        }
        Err(error) => {
            tracing::debug!(
                %error,
                tid = notification.tid,
                "the caller cannot be traced: its private mapping shows the region's content"
            );
            channel.answer(notification.id, Answer::Continue).map(|()| None)
        }
    }
}

/// A thread that stops when it leaves its current call, and continues when this is dropped.
struct Leaving {
    tid: i32,
}

impl Leaving {
    /// While it is traced its number is its own: then `is_meant` is asked whether it is the right
    /// thread.
    ///
    /// # Errors
    /// EPERM: it may not be traced. ESRCH: it is gone, or another. EOPNOTSUPP: the registers of
    /// this processor are not known.
    fn begin(tid: i32, is_meant: impl FnOnce() -> bool) -> Result<Self> {
        if !registers::ARE_KNOWN {
            return Err(Errno::OPNOTSUPP);
        }
        seize(tid)?;
        let is_meant = is_meant();
        ptrace(libc::PTRACE_INTERRUPT, tid, 0, 0)?;
        let leaving = Self { tid };
        if is_meant { Ok(leaving) } else { Err(Errno::SRCH) }
    }

    /// Makes the thread call mmap once more, without a descriptor.
    fn call_anonymous(&mut self, notification: &Notification, call: Mmap) -> Result<Option<i64>> {
        self.wait()?;
        let mut mask = 0_u64;
        self.signal_mask(libc::PTRACE_GETSIGMASK, &mut mask)?;
        // A signal would be one more stop: it waits until the thread continues.
        self.signal_mask(libc::PTRACE_SETSIGMASK, &mut { u64::MAX })?;
        let result = self.call_once(notification, call);
        self.signal_mask(libc::PTRACE_SETSIGMASK, &mut mask)?;
        result
    }

    /// What the thread's call returned, once it leaves it; `None` if it did not run.
    fn result(&self, notification: &Notification) -> Result<Option<i64>> {
        self.wait()?;
        Ok(Registers::read(self.tid)?.result(notification))
    }

    fn call_once(&self, notification: &Notification, call: Mmap) -> Result<Option<i64>> {
        let before = Registers::read(self.tid)?;
        let Mmap { address, len, prot, flags, .. } = call;
        let flags = flags & KEPT as u32 | (MAP_PRIVATE | MAP_ANONYMOUS) as u32;
        let no_descriptor = u64::from(u32::MAX);
        let args = [address, len, prot.into(), flags.into(), no_descriptor, 0];
        before.calling_mmap(notification, args)?.write(self.tid)?;
        for _entry_and_exit in 0..2 {
            ptrace(libc::PTRACE_SYSCALL, self.tid, 0, 0)?;
            while self.wait()? != SYSCALL_STOP {
                ptrace(libc::PTRACE_SYSCALL, self.tid, 0, 0)?;
            }
        }
        let made = Registers::read(self.tid)?;
        before.returning_as(&made, notification).write(self.tid)?;
        Ok(made.result(notification))
    }

    /// Waits for the next stop; the signal it shows.
    fn wait(&self) -> Result<i32> {
        next_stop(self.tid, None).map(|status| libc::WSTOPSIG(status))
    }

    fn signal_mask(&self, request: libc::c_uint, mask: &mut u64) -> Result<()> {
        ptrace(request, self.tid, size_of::<u64>(), std::ptr::from_mut(mask) as usize)
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        // PTRACE_DETACH needs a stopped thread; after an answer that it did not get the thread
        // runs.
        if ptrace(libc::PTRACE_DETACH, self.tid, 0, 0) == Err(Errno::SRCH) && self.wait().is_ok() {
            let _ = ptrace(libc::PTRACE_DETACH, self.tid, 0, 0);
        }
    }
}

/// PTRACE_SEIZE. Where another thread of ours traces it, to stop its process for a moment, this
/// waits for that.
fn seize(tid: i32) -> Result<()> {
    const PAUSE: std::time::Duration = std::time::Duration::from_micros(200);
    let mut is_last = false;
    loop {
        match ptrace(libc::PTRACE_SEIZE, tid, 0, SET_OPTIONS as usize) {
            Err(Errno::PERM) if !is_last => {
                // It may have ended since.
                is_last = !is_traced_by_us(tid);
                std::thread::sleep(PAUSE);
            }
            other => return other,
        }
    }
}

fn ptrace(request: libc::c_uint, tid: i32, address: usize, data: usize) -> Result<()> {
    // SAFETY: what `data` points to lives in the callers above and is as long as each request
    // wants.
    let got = unsafe { libc::ptrace(request, tid, address, data) };
    check(got as i32).map(drop)
}
