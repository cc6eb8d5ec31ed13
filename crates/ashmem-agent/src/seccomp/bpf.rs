// SPDX-License-Identifier: MIT OR Apache-2.0
//! Assembles classic BPF programs for seccomp, and installs them.

use rustix::io::{Errno, Result};

use crate::sys::last_errno;

/// One instruction, as the kernel reads it.
pub type Instruction = libc::sock_filter;

const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;

/// A field of `struct seccomp_data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The number of the system call.
    Number,
    /// `AUDIT_ARCH_*`.
    Arch,
    /// The low 32 bits of this argument.
    LowArgument(u32),
    /// The high 32 bits of this argument.
    HighArgument(u32),
    /// The low 32 bits of the address behind the calling instruction.
    LowPointer,
    /// The high 32 bits of that address.
    HighPointer,
}

impl Field {
    fn offset(self) -> u32 {
        let low_half = if cfg!(target_endian = "little") { 0 } else { 4 };
        match self {
            Self::Number => 0,
            Self::Arch => 4,
            Self::LowPointer => 8 + low_half,
            Self::HighPointer => 8 + (4 - low_half),
            Self::LowArgument(index) => 16 + 8 * index + low_half,
            Self::HighArgument(index) => 16 + 8 * index + (4 - low_half),
        }
    }
}

/// An assembler of programs whose jumps go forward, to labels that are placed later.
pub struct Assembler<L> {
    code: Vec<Instruction>,
    jumps: Vec<(usize, L)>,
    places: Vec<(L, usize)>,
}

impl<L> Default for Assembler<L> {
    fn default() -> Self {
        Self { code: Vec::new(), jumps: Vec::new(), places: Vec::new() }
    }
}

impl<L: PartialEq> Assembler<L> {
    /// Loads a field as the current value.
    pub fn load(&mut self, field: Field) {
        self.push(LOAD_WORD, field.offset());
    }

    /// Masks the current value.
    pub fn and(&mut self, mask: u32) {
        self.push(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask);
    }

    /// Jumps if the current value equals this one.
    pub fn jump_if_equal(&mut self, value: u32, to: L) {
        self.jumps.push((self.code.len(), to));
        self.push(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value);
    }

    /// Jumps if the current value is at least this one.
    pub fn jump_if_at_least(&mut self, value: u32, to: L) {
        self.jumps.push((self.code.len(), to));
        self.push(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, value);
    }

    /// Jumps.
    pub fn jump(&mut self, to: L) {
        self.jumps.push((self.code.len(), to));
        self.push(libc::BPF_JMP | libc::BPF_JA, 0);
    }

    /// Ends the program with this `SECCOMP_RET_*`.
    pub fn end(&mut self, action: u32) {
        self.push(libc::BPF_RET | libc::BPF_K, action);
    }

    /// Places a label before the next instruction.
    pub fn place(&mut self, label: L) {
        self.places.push((label, self.code.len()));
    }

    fn push(&mut self, code: u32, k: u32) {
        self.code.push(Instruction { code: code as u16, jt: 0, jf: 0, k });
    }

    /// The program, with its jumps resolved.
    ///
    /// # Panics
    /// A label that is jumped to is placed nowhere, or a conditional jump leads further than 255
    /// instructions.
    pub fn assemble(mut self) -> Vec<Instruction> {
        for (at, label) in self.jumps {
            let place = self
                .places
                .iter()
                .find(|(placed, _)| *placed == label)
                .expect("every label is placed")
                .1;
            let distance = place - at - 1;
            let instruction = &mut self.code[at];
            if u32::from(instruction.code) & 0xf0 == libc::BPF_JA {
                instruction.k = distance as u32;
            } else {
                instruction.jt = u8::try_from(distance)
                    .expect("a conditional jump leads 255 instructions far at most");
            }
        }
        self.code
    }
}

/// seccomp(2): filters the calling thread, and all that it starts from now on, with this program;
/// what the kernel returns.
///
/// # Errors
/// What the kernel says; E2BIG: the program is longer than any may be. Nothing is filtered then.
pub(crate) fn install(program: &[Instruction], flags: libc::c_ulong) -> Result<i32> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::TOOBIG)?,
        filter: program.as_ptr().cast_mut(),
    };
    let operation = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the program outlives the call, which copies it.
    let got = unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, &program) };
    if got < 0 { Err(last_errno()) } else { Ok(got as i32) }
}

/// Runs the program as the kernel would.
#[cfg(test)]
pub(crate) fn run(program: &[Instruction], arch: u32, nr: u32, args: [u64; 6]) -> u32 {
    run_from(program, 0, arch, nr, args)
}

/// Runs the program as the kernel would, for a call from before this address.
#[cfg(test)]
pub(crate) fn run_from(
    program: &[Instruction],
    pointer: u64,
    arch: u32,
    nr: u32,
    args: [u64; 6],
) -> u32 {
    let (mut at, mut acc) = (0, 0_u32);
    loop {
        let instruction = program[at];
        let (code, k) = (u32::from(instruction.code), instruction.k);
        at += 1;
        let mut branch =
            |taken: bool| at += usize::from(if taken { instruction.jt } else { instruction.jf });
        match code {
            LOAD_WORD => {
                acc = match k {
                    0 => nr,
                    4 => arch,
                    8 => pointer as u32,
                    12 => (pointer >> 32) as u32,
                    k => (args[(k as usize - 16) / 8] >> (8 * (k % 8))) as u32,
                }
            }
            _ if code == libc::BPF_ALU | libc::BPF_AND => acc &= k,
            _ if code == libc::BPF_JMP | libc::BPF_JEQ => branch(acc == k),
            _ if code == libc::BPF_JMP | libc::BPF_JGE => branch(acc >= k),
            _ if code == libc::BPF_JMP | libc::BPF_JA => at += k as usize,
            _ if code == libc::BPF_RET => return k,
            _ => panic!("unknown instruction {code:#x}"),
        }
    }
}
