// SPDX-License-Identifier: MIT OR Apache-2.0
//! Registers of x86-64, and of 32-bit callers there.

use rustix::io::Result;

use crate::notification::Notification;
use crate::seccomp::syscalls::{I386, result_in};
use crate::sys::check;

/// Whether a thread's registers can be read and set.
pub(in crate::target_thread) const ARE_KNOWN: bool = true;
/// Flags of mmap(2) that only this processor has.
pub(in crate::target_thread) const OWN_MAP_FLAGS: i32 = libc::MAP_32BIT;

/// `syscall` and `int 0x80` alike. The C library's `sysenter` on 32 bits returns behind an `int
/// 0x80`.
const INSTRUCTION: u64 = 2;
const MMAP: u64 = 9;
const MMAP2_I386: u64 = 192;

/// A stopped thread's registers.
#[derive(Clone, Copy)]
pub(in crate::target_thread) struct X86Registers(libc::user_regs_struct);

impl X86Registers {
    /// PTRACE_GETREGS.
    ///
    /// # Errors
    /// ESRCH: the thread is not stopped, or gone.
    pub(in crate::target_thread) fn read(tid: i32) -> Result<Self> {
        // SAFETY: an all-zero structure is a valid one, which the call fills.
        unsafe {
            let mut registers: libc::user_regs_struct = std::mem::zeroed();
            let into = &raw mut registers;
            check(libc::ptrace(libc::PTRACE_GETREGS, tid, 0_usize, into) as i32)?;
            Ok(Self(registers))
        }
    }

    /// PTRACE_SETREGS.
    ///
    /// # Errors
    /// ESRCH: the thread is not stopped, or gone.
    pub(in crate::target_thread) fn write(&self, tid: i32) -> Result<()> {
        // SAFETY: the structure is only read.
        let got = unsafe { libc::ptrace(libc::PTRACE_SETREGS, tid, 0_usize, &raw const self.0) };
        check(got as i32).map(drop)
    }

    /// What the call returned behind which the thread stands; `None`: it did not run.
    pub(in crate::target_thread) fn result(&self, notification: &Notification) -> Option<i64> {
        result_in(notification.arch, self.0.rax)
    }

    /// These, but about to make mmap(2) with the instruction behind which the thread stands.
    ///
    /// # Errors
    /// None.
    pub(in crate::target_thread) fn calling_mmap(
        &self,
        notification: &Notification,
        args: [u64; 6],
    ) -> Result<Self> {
        let mut registers = self.0;
        registers.rip -= INSTRUCTION;
        let [a, b, c, d, e, f] = args;
        if notification.arch == I386 {
            registers.rax = MMAP2_I386;
            (registers.rbx, registers.rcx, registers.rdx) = (a, b, c);
            (registers.rsi, registers.rdi, registers.rbp) = (d, e, f);
        } else {
            registers.rax = MMAP;
            (registers.rdi, registers.rsi, registers.rdx) = (a, b, c);
            (registers.r10, registers.r8, registers.r9) = (d, e, f);
        }
        Ok(Self(registers).outside())
    }

    /// These, but with the result of another call.
    pub(in crate::target_thread) fn returning_as(&self, made: &Self, _: &Notification) -> Self {
        let mut registers = self.0;
        registers.rax = made.0.rax;
        Self(registers).outside()
    }

    /// Not in a call any more: nothing to be restarted.
    fn outside(mut self) -> Self {
        self.0.orig_rax = u64::MAX;
        self
    }
}
