// SPDX-License-Identifier: MIT OR Apache-2.0
//! Registers of x86-64, and of 32-bit callers there.

use rustix::io::Result;

use crate::notification::Notification;
use crate::seccomp::syscalls::{I386, result_in};
use crate::sys::check;

/// Whether a thread's registers can be read and set.
pub(crate) const ARE_KNOWN: bool = true;
/// Flags of mmap(2) that only this processor has.
pub(crate) const OWN_MAP_FLAGS: i32 = libc::MAP_32BIT;

/// `syscall` and `int 0x80` alike. The C library's `sysenter` on 32 bits returns behind an `int
/// 0x80`.
const INSTRUCTION: u64 = 2;
const MMAP: u64 = 9;
const MMAP2_I386: u64 = 192;

/// A stopped thread's registers.
#[derive(Clone, Copy)]
pub(crate) struct X86Registers(libc::user_regs_struct);

impl X86Registers {
    /// PTRACE_GETREGS.
    ///
    /// # Errors
    /// ESRCH: the thread is not stopped, or gone.
    pub(crate) fn read(tid: i32) -> Result<Self> {
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
    pub(crate) fn write(&self, tid: i32) -> Result<()> {
        // SAFETY: the structure is only read.
        let got = unsafe { libc::ptrace(libc::PTRACE_SETREGS, tid, 0_usize, &raw const self.0) };
        check(got as i32).map(drop)
    }

    /// The address of the next instruction.
    pub(crate) fn next_instruction(&self) -> u64 {
        self.0.rip
    }

    /// What a call returns in, whatever it holds now.
    pub(crate) fn first_result(&self) -> u64 {
        self.0.rax
    }

    /// Whether the kernel is about to make the call again behind which the thread stands.
    pub(crate) fn is_restarting(&self) -> bool {
        /// What such calls return: ERESTARTSYS and the like.
        const RESTARTS: std::ops::RangeInclusive<i64> = -516..=-512;
        RESTARTS.contains(&self.0.rax.cast_signed())
    }

    /// These, but about to make a call with the instruction behind which the thread stands.
    pub(crate) fn calling(&self, number: u64, args: [u64; 6]) -> Self {
        let mut registers = self.0;
        registers.rip -= INSTRUCTION;
        registers.rax = number;
        let [a, b, c, d, e, f] = args;
        (registers.rdi, registers.rsi, registers.rdx) = (a, b, c);
        (registers.r10, registers.r8, registers.r9) = (d, e, f);
        Self(registers).outside()
    }

    /// What the call returned behind which the thread stands; `None`: it did not run.
    pub(crate) fn result(&self, notification: &Notification) -> Option<i64> {
        result_in(notification.arch, self.0.rax)
    }

    /// These, but about to make mmap(2) with the instruction behind which the thread stands.
    ///
    /// # Errors
    /// None.
    pub(crate) fn calling_mmap(&self, notification: &Notification, args: [u64; 6]) -> Result<Self> {
        if notification.arch != I386 {
            return Ok(self.calling(MMAP, args));
        }
        let mut registers = self.0;
        registers.rip -= INSTRUCTION;
        registers.rax = MMAP2_I386;
        let [a, b, c, d, e, f] = args;
        (registers.rbx, registers.rcx, registers.rdx) = (a, b, c);
        (registers.rsi, registers.rdi, registers.rbp) = (d, e, f);
        Ok(Self(registers).outside())
    }

    /// These, but with the result of another call.
    pub(crate) fn returning_as(&self, made: &Self, _: &Notification) -> Self {
        let mut registers = self.0;
        registers.rax = made.0.rax;
        Self(registers).outside()
    }

    /// Not in a call any more: nothing to be restarted.
    pub(crate) fn outside(mut self) -> Self {
        self.0.orig_rax = u64::MAX;
        self
    }
}
