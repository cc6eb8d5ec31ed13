// SPDX-License-Identifier: MIT OR Apache-2.0
//! Registers of 64-bit ARM, and of 32-bit callers there.
//!
//! Other than on x86, a thread that stops for a tracer has been set back in front of its call
//! already where the kernel makes the call again. So the notification says where the call was.

use std::mem::size_of_val;

use rustix::io::{Errno, Result};

use crate::notification::Notification;
use crate::seccomp::syscalls::result_in;
use crate::sys::check;

/// Whether a thread's registers can be read and set.
pub(crate) const ARE_KNOWN: bool = true;
/// Flags of mmap(2) that only this processor has.
pub(crate) const OWN_MAP_FLAGS: i32 = 0;

/// The set of general registers.
const NT_PRSTATUS: usize = 1;
const MMAP: u64 = 222;
const MMAP2_ARM: u32 = 192;
/// The bit of a 32-bit thread's state that says Thumb, whose `svc` has two bytes.
const THUMB: u32 = 1 << 5;
/// Where each set holds them: number of the call, address of the next instruction, state.
const X8: usize = 8;
const PC: usize = 32;
const R7: usize = 7;
const PC_ARM: usize = 15;
const STATE_ARM: usize = 16;

/// A stopped thread's registers: as many as its own width has.
#[derive(Clone, Copy)]
pub(crate) enum ArmRegisters {
    /// x0 to x30, sp, pc, pstate.
    Wide([u64; 34]),
    /// r0 to r15, cpsr, the first argument as it was.
    Narrow([u32; 18]),
}

impl ArmRegisters {
    /// PTRACE_GETREGSET.
    ///
    /// # Errors
    /// ESRCH: the thread is not stopped, or gone.
    pub(crate) fn read(tid: i32) -> Result<Self> {
        let mut wide = [0_u64; 34];
        let narrow = [0_u32; 18];
        let mut set =
            libc::iovec { iov_base: wide.as_mut_ptr().cast(), iov_len: size_of_val(&wide) };
        // SAFETY: the kernel fills at most what the vector says, and says how much that was.
        let got = unsafe { libc::ptrace(libc::PTRACE_GETREGSET, tid, NT_PRSTATUS, &raw mut set) };
        check(got as i32)?;
        if set.iov_len == size_of_val(&wide) {
            return Ok(Self::Wide(wide));
        }
        if set.iov_len != size_of_val(&narrow) {
            return Err(Errno::OPNOTSUPP);
        }
        let bytes = wide.map(u64::to_ne_bytes);
        let words = bytes.as_flattened().as_chunks().0;
        let mut narrow = narrow;
        for (register, word) in narrow.iter_mut().zip(words) {
            *register = u32::from_ne_bytes(*word);
        }
        Ok(Self::Narrow(narrow))
    }

    /// PTRACE_SETREGSET.
    ///
    /// # Errors
    /// ESRCH: the thread is not stopped, or gone.
    pub(crate) fn write(&self, tid: i32) -> Result<()> {
        let (start, len): (*const u8, _) = match self {
            Self::Wide(registers) => (registers.as_ptr().cast(), size_of_val(registers)),
            Self::Narrow(registers) => (registers.as_ptr().cast(), size_of_val(registers)),
        };
        let set = libc::iovec { iov_base: start.cast_mut().cast(), iov_len: len };
        // SAFETY: the kernel only reads what the vector says.
        let got = unsafe { libc::ptrace(libc::PTRACE_SETREGSET, tid, NT_PRSTATUS, &raw const set) };
        check(got as i32).map(drop)
    }

    /// What a call returns in, whatever it holds now.
    pub(crate) fn first_result(&self) -> u64 {
        match self {
            Self::Wide(registers) => registers[0],
            Self::Narrow(registers) => registers[0].into(),
        }
    }

    /// Whether the kernel is about to make the call again: where the thread stands tells.
    pub(crate) fn is_restarting(&self) -> bool {
        false
    }

    /// These, but about to make a call with the instruction of 64 bits behind which the thread
    /// stands.
    pub(crate) fn calling(&self, number: u64, args: [u64; 6]) -> Self {
        let mut calling = *self;
        if let Self::Wide(registers) = &mut calling {
            registers[..args.len()].copy_from_slice(&args);
            registers[X8] = number;
            registers[PC] -= 4;
        }
        calling
    }

    /// Not in a call any more: the kernel has seen to that where it stands behind one.
    pub(crate) fn outside(self) -> Self {
        self
    }

    /// What the call returned behind which the thread stands; `None`: it did not run.
    pub(crate) fn result(&self, notification: &Notification) -> Option<i64> {
        let is_behind = self.next_instruction() == notification.instruction_pointer;
        result_in(notification.arch, self.first_result()).filter(|_| is_behind)
    }

    /// These, but about to make mmap(2) with the instruction that made the notified call.
    ///
    /// # Errors
    /// ESRCH: the thread stands elsewhere.
    pub(crate) fn calling_mmap(&self, notification: &Notification, args: [u64; 6]) -> Result<Self> {
        let behind = notification.instruction_pointer;
        let at = behind.checked_sub(self.instruction()).ok_or(Errno::SRCH)?;
        if ![at, behind].contains(&self.next_instruction()) {
            return Err(Errno::SRCH);
        }
        let mut calling = *self;
        match &mut calling {
            Self::Wide(registers) => {
                registers[..args.len()].copy_from_slice(&args);
                registers[X8] = MMAP;
            }
            Self::Narrow(registers) => {
                registers[..args.len()].copy_from_slice(&args.map(|arg| arg as u32));
                registers[R7] = MMAP2_ARM;
            }
        }
        calling.set_next_instruction(at);
        Ok(calling)
    }

    /// These, but behind the notified call, and with the result of another one.
    pub(crate) fn returning_as(&self, made: &Self, notification: &Notification) -> Self {
        let mut returning = *self;
        match (&mut returning, made) {
            (Self::Wide(registers), Self::Wide(made)) => registers[0] = made[0],
            (Self::Narrow(registers), Self::Narrow(made)) => registers[0] = made[0],
            // A thread changes its width by execve(2) alone.
            _ => return *made,
        }
        returning.set_next_instruction(notification.instruction_pointer);
        returning
    }

    /// The address of the next instruction.
    pub(crate) fn next_instruction(&self) -> u64 {
        match self {
            Self::Wide(registers) => registers[PC],
            Self::Narrow(registers) => registers[PC_ARM].into(),
        }
    }

    fn set_next_instruction(&mut self, at: u64) {
        match self {
            Self::Wide(registers) => registers[PC] = at,
            Self::Narrow(registers) => registers[PC_ARM] = at as u32,
        }
    }

    /// How many bytes the instruction has that makes calls.
    fn instruction(&self) -> u64 {
        match self {
            Self::Narrow(registers) if registers[STATE_ARM] & THUMB != 0 => 2,
            _ => 4,
        }
    }
}
