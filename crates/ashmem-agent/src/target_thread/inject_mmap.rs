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
//! or the architecture is not supported), the kernel maps the memfd privately, which is correct
//! while the region is empty.

use rustix::io::{Errno, Result};

use crate::notification::{Answer, Channel, Notification};
use crate::seccomp::syscalls::Mmap;

/// Lets the kernel run a call, and returns what the call returned; `None` where the caller cannot
/// be stopped as it leaves it.
///
/// # Errors
/// Those of [`Channel::answer`].
pub(crate) fn let_run(channel: &dyn Channel, notification: &Notification) -> Result<Option<i64>> {
    let caller =
        processor::Stopped::begin(notification.tid, || channel.is_waiting(notification.id));
    channel.answer(notification.id, Answer::Continue)?;
    Ok(caller.and_then(|caller| caller.result(notification.arch)).ok().flatten())
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
    match processor::Stopped::begin(notification.tid, || channel.is_waiting(notification.id)) {
        Ok(mut caller) => {
            // The result if the second call is not made.
            channel.answer(notification.id, Answer::Errno(Errno::NOMEM))?;
            match caller.call_anonymous(notification.arch, call) {
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

#[cfg(target_arch = "x86_64")]
mod processor {
    use rustix::io::{Errno, Result};

    use crate::seccomp::syscalls::{I386, Mmap};
    use crate::sys::{check, is_traced_by_us};
    use crate::target_thread::next_stop::{SYSCALL_STOP, next_stop};

    const SET_OPTIONS: i32 = libc::PTRACE_O_TRACESYSGOOD;
    /// `syscall` and `int 0x80` alike. The C library's `sysenter` on 32 bits returns behind an `int
    /// 0x80`.
    const INSTRUCTION: u64 = 2;
    const MAP_PRIVATE: u64 = libc::MAP_PRIVATE as u64;
    const MAP_ANONYMOUS: u64 = libc::MAP_ANONYMOUS as u64;
    const KEPT: u64 = (libc::MAP_FIXED
        | libc::MAP_FIXED_NOREPLACE
        | libc::MAP_NORESERVE
        | libc::MAP_POPULATE
        | libc::MAP_LOCKED
        | libc::MAP_STACK
        | libc::MAP_32BIT) as u64;
    const MMAP: u64 = 9;
    const MMAP2_I386: u64 = 192;

    /// A thread that stops when it leaves its current call, and continues when this is dropped.
    pub(super) struct Stopped {
        tid: i32,
    }

    impl Stopped {
        /// While it is traced its number is its own: then `is_meant` is asked whether it is the
        /// right thread.
        ///
        /// # Errors
        /// EPERM: it may not be traced. ESRCH: it is gone, or another.
        pub(super) fn begin(tid: i32, is_meant: impl FnOnce() -> bool) -> Result<Self> {
            seize(tid)?;
            let is_meant = is_meant();
            ptrace(libc::PTRACE_INTERRUPT, tid, 0, 0)?;
            let stopped = Self { tid };
            if is_meant { Ok(stopped) } else { Err(Errno::SRCH) }
        }

        /// Makes the thread call mmap once more, without a descriptor.
        pub(super) fn call_anonymous(&mut self, arch: u32, call: Mmap) -> Result<Option<i64>> {
            self.wait()?;
            let mut mask = 0_u64;
            self.signal_mask(libc::PTRACE_GETSIGMASK, &mut mask)?;
            // A signal would be one more stop: it waits until the thread continues.
            self.signal_mask(libc::PTRACE_SETSIGMASK, &mut { u64::MAX })?;
            let result = self.call_once(arch, call);
            self.signal_mask(libc::PTRACE_SETSIGMASK, &mut mask)?;
            result
        }

        /// What the thread's call returned, once it leaves it; `None` if it did not run.
        pub(super) fn result(&self, arch: u32) -> Result<Option<i64>> {
            self.wait()?;
            Ok(returned(arch, self.registers()?.rax))
        }

        fn call_once(&self, arch: u32, call: Mmap) -> Result<Option<i64>> {
            let before = self.registers()?;
            let mut registers = before;
            registers.rip -= INSTRUCTION;
            let Mmap { address, len, prot, flags, .. } = call;
            let (prot, flags) =
                (prot.into(), u64::from(flags) & KEPT | MAP_PRIVATE | MAP_ANONYMOUS);
            if arch == I386 {
                registers.rax = MMAP2_I386;
                (registers.rbx, registers.rcx, registers.rdx) = (address, len, prot);
                (registers.rsi, registers.rdi, registers.rbp) = (flags, u64::from(u32::MAX), 0);
            } else {
                registers.rax = MMAP;
                (registers.rdi, registers.rsi, registers.rdx) = (address, len, prot);
                (registers.r10, registers.r8, registers.r9) = (flags, u64::MAX, 0);
            }
            // Not in a call any more: nothing to be restarted.
            registers.orig_rax = u64::MAX;
            self.set_registers(&registers)?;
            for _entry_and_exit in 0..2 {
                ptrace(libc::PTRACE_SYSCALL, self.tid, 0, 0)?;
                while self.wait()? != SYSCALL_STOP {
                    ptrace(libc::PTRACE_SYSCALL, self.tid, 0, 0)?;
                }
            }
            let mut after = before;
            after.rax = self.registers()?.rax;
            after.orig_rax = u64::MAX;
            self.set_registers(&after)?;
            Ok(returned(arch, after.rax))
        }

        /// Waits for the next stop; the signal it shows.
        fn wait(&self) -> Result<i32> {
            next_stop(self.tid, None).map(|status| libc::WSTOPSIG(status))
        }

        fn registers(&self) -> Result<libc::user_regs_struct> {
            // SAFETY: an all-zero structure is a valid one, which the call fills.
            unsafe {
                let mut registers: libc::user_regs_struct = std::mem::zeroed();
                ptrace(libc::PTRACE_GETREGS, self.tid, 0, &raw mut registers as usize)?;
                Ok(registers)
            }
        }

        fn set_registers(&self, registers: &libc::user_regs_struct) -> Result<()> {
            ptrace(libc::PTRACE_SETREGS, self.tid, 0, std::ptr::from_ref(registers) as usize)
        }

        fn signal_mask(&self, notification: libc::c_uint, mask: &mut u64) -> Result<()> {
            ptrace(notification, self.tid, size_of::<u64>(), std::ptr::from_mut(mask) as usize)
        }
    }

    impl Drop for Stopped {
        fn drop(&mut self) {
            // PTRACE_DETACH needs a stopped thread; after an answer that it did not get the thread
            // runs.
            if ptrace(libc::PTRACE_DETACH, self.tid, 0, 0) == Err(Errno::SRCH)
                && self.wait().is_ok()
            {
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

    /// The result in a register of this width; the kernel's own numbers for a call that is made
    /// again are none.
    fn returned(arch: u32, register: u64) -> Option<i64> {
        const LAST_ERRNO: i64 = -4095;
        const RESTARTED: i64 = -512;
        let narrow = register as u32 as i32;
        let result = match arch {
            I386 if (LAST_ERRNO..0).contains(&narrow.into()) => narrow.into(),
            I386 => i64::from(register as u32),
            _ => register as i64,
        };
        (!(LAST_ERRNO..=RESTARTED).contains(&result)).then_some(result)
    }

    fn ptrace(notification: libc::c_uint, tid: i32, address: usize, data: usize) -> Result<()> {
        // SAFETY: what `data` points to lives in the callers above and is as long as each request
        // wants.
        let got = unsafe { libc::ptrace(notification, tid, address, data) };
        check(got as i32).map(drop)
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod processor {
    use rustix::io::{Errno, Result};

    use crate::seccomp::syscalls::Mmap;

    pub(super) enum Stopped {}

    impl Stopped {
        pub(super) fn begin(_tid: i32, _: impl FnOnce() -> bool) -> Result<Self> {
            Err(Errno::OPNOTSUPP)
        }

        pub(super) fn call_anonymous(&mut self, _arch: u32, _call: Mmap) -> Result<Option<i64>> {
            match *self {}
        }

        pub(super) fn result(&self, _arch: u32) -> Result<Option<i64>> {
            match *self {}
        }
    }
}
