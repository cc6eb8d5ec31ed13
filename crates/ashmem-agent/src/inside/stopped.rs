// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads of a program, stopped by ptrace for as long as its text is changed.
//!
//! The kernel lets go of what a thread traces when that thread ends. So all of this happens in one
//! that is made for it: whatever a program does, and however long, it is never left stopped.

use std::cell::Cell;
use std::time::Duration;

use ashmem_proc::process;
use rustix::io::{Errno, Result};

use crate::sys::check;
use crate::target_thread::next_stop::{SYSCALL_STOP, next_stop};
use crate::target_thread::registers::Registers;

const OPTIONS: usize = libc::PTRACE_O_TRACESYSGOOD as usize;
/// How long a thread may take to stop.
const TO_STOP: Duration = Duration::from_millis(20);
/// A thread that is traced.
pub(super) struct StoppedThread {
    tid: i32,
    /// A signal that was about to be delivered when it stopped.
    signal: Cell<i32>,
}

impl StoppedThread {
    /// Begins to trace a thread, which stops when it leaves the kernel, or at once. While it is
    /// traced its number is its own: then `is_meant` is asked whether it is the right thread.
    ///
    /// # Errors
    /// EPERM: it may not be traced, or somebody else traces it. ESRCH: it is gone, or another.
    pub(super) fn begin(tid: i32, is_meant: impl FnOnce() -> bool) -> Result<Self> {
        ptrace(libc::PTRACE_SEIZE, tid, 0, OPTIONS)?;
        let traced = Self { tid, signal: Cell::new(0) };
        if !is_meant() {
            return Err(Errno::SRCH);
        }
        ptrace(libc::PTRACE_INTERRUPT, tid, 0, 0)?;
        Ok(traced)
    }

    pub(super) fn tid(&self) -> i32 {
        self.tid
    }

    /// Waits until it has stopped.
    ///
    /// # Errors
    /// ETIMEDOUT: it does not: it waits in the kernel for something else. ESRCH: it has ended.
    pub(super) fn wait(&self) -> Result<()> {
        let status = next_stop(self.tid, Some(TO_STOP))?;
        self.keep_signal(status);
        Ok(())
    }

    /// Where it is not the stop that was asked for, but one before a signal's delivery: that is for
    /// later.
    fn keep_signal(&self, status: i32) {
        if status >> 16 == 0 && libc::WSTOPSIG(status) != SYSCALL_STOP {
            self.signal.set(libc::WSTOPSIG(status));
        }
    }

    /// Its registers, if it stands behind a call that is over.
    ///
    /// # Errors
    /// EAGAIN: a signal waits, or the kernel is about to make the call again.
    pub(super) fn after_call(&self) -> Result<Registers> {
        let registers = Registers::read(self.tid)?;
        let is_over = self.signal.get() == 0 && !registers.is_restarting();
        if is_over { Ok(registers) } else { Err(Errno::AGAIN) }
    }

    /// Has it make a call with the instruction that it stands behind, and stand there as before.
    /// Its registers are not its own meanwhile, so this takes as long as the call does.
    ///
    /// # Errors
    /// What the call returns, or what went wrong.
    pub(super) fn call(&self, before: &Registers, number: u64, args: [u64; 6]) -> Result<u64> {
        let registers = before.calling(number, args);
        let mut mask = 0_u64;
        self.signal_mask(libc::PTRACE_GETSIGMASK, &mut mask)?;
        // A signal would be one more stop: it waits until the thread goes on.
        self.signal_mask(libc::PTRACE_SETSIGMASK, &mut { u64::MAX })?;
        let made = registers.write(self.tid).and_then(|()| self.run_one_call());
        before.outside().write(self.tid)?;
        self.signal_mask(libc::PTRACE_SETSIGMASK, &mut mask)?;
        let value = made? as i64;
        if (-4095..0).contains(&value) {
            return Err(Errno::from_raw_os_error(-value as i32));
        }
        Ok(value as u64)
    }

    /// Lets it enter a call and leave it; what the call returns.
    fn run_one_call(&self) -> Result<u64> {
        for _entry_and_exit in 0..2 {
            ptrace(libc::PTRACE_SYSCALL, self.tid, 0, 0)?;
            loop {
                let status = next_stop(self.tid, None)?;
                if libc::WSTOPSIG(status) == SYSCALL_STOP {
                    break;
                }
                // SIGSTOP, which no mask holds back.
                self.keep_signal(status);
                ptrace(libc::PTRACE_SYSCALL, self.tid, 0, 0)?;
            }
        }
        Ok(Registers::read(self.tid)?.first_result())
    }

    fn signal_mask(&self, request: libc::c_uint, mask: &mut u64) -> Result<()> {
        ptrace(request, self.tid, size_of::<u64>(), std::ptr::from_mut(mask) as usize)
    }
}

impl Drop for StoppedThread {
    fn drop(&mut self) {
        // Where it has not stopped this fails, and the kernel does it when our thread ends.
        let _ = ptrace(libc::PTRACE_DETACH, self.tid, 0, self.signal.get() as usize);
    }
}

/// Stops every other thread of a process.
///
/// # Errors
/// One cannot be stopped, or there are too many.
pub(super) fn stop_others(process: i32, caller: i32, most: usize) -> Result<Vec<StoppedThread>> {
    let mut stopped: Vec<StoppedThread> = Vec::new();
    loop {
        let is_of_process =
            |tid| move || std::path::Path::new(&format!("/proc/{process}/task/{tid}")).exists();
        let known = |tid: &i32| *tid == caller || stopped.iter().any(|other| other.tid == *tid);
        let new: Vec<i32> =
            process::threads(process).into_iter().filter(|tid| !known(tid)).collect();
        if new.is_empty() {
            return Ok(stopped);
        }
        if stopped.len() + new.len() > most {
            return Err(Errno::TOOBIG);
        }
        let mut begun = Vec::new();
        for tid in new {
            match StoppedThread::begin(tid, is_of_process(tid)) {
                Ok(traced) => begun.push(traced),
                // It has ended meanwhile, or will before the next look.
                Err(Errno::SRCH) => {}
                Err(error) => return Err(error),
            }
        }
        for traced in begun {
            match traced.wait() {
                Ok(()) => stopped.push(traced),
                Err(Errno::SRCH | Errno::CHILD) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn ptrace(request: libc::c_uint, tid: i32, address: usize, data: usize) -> Result<()> {
    // SAFETY: what `data` points to lives in the callers above and is as long as each request
    // wants.
    let got = unsafe { libc::ptrace(request, tid, address, data) };
    check(got as i32).map(drop)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use rustix::io::Errno;

    use super::StoppedThread;

    #[test]
    fn a_thread_that_is_another_by_now_is_left_alone() {
        let mut child =
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cat");
        let tid = child.id() as i32;
        let tracer = || {
            let status = std::fs::read_to_string(format!("/proc/{tid}/status")).expect("a status");
            let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
            tracer.map(str::trim) != Some("0")
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let begun = StoppedThread::begin(tid, || {
                    assert!(tracer(), "its number is its own now");
                    false
                });
                assert_eq!(begun.err(), Some(Errno::SRCH));
            });
        });
        // What a thread traces is let go when it ends, which is a little after it is joined.
        while tracer() {
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(child.stdin.take());
        assert!(child.wait().expect("its end").success(), "it was neither stopped nor ended");
    }
}
