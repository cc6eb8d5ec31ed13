// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a patched call site arrives, with `rcx` at the site's own `syscall` instruction.
//!
//! A call changes `rax`, `rcx` and `r11`, and nothing else: flags, vector registers and the 128
//! bytes below the stack pointer are kept. What cannot concern the device goes back to the site at
//! once.

use core::arch::global_asm;

use crate::calls;

/// The program's call.
#[repr(C)]
pub(crate) struct Frame {
    /// rdi, rsi, rdx, r10, r8, r9.
    pub(crate) args: [u64; 6],
    /// The number.
    pub(crate) number: u64,
}

/// What became of it, in the two registers in which a function returns it.
#[repr(C)]
pub(crate) struct Answer {
    /// What the program's call returns.
    pub(crate) value: i64,
    /// 0: the program makes its call itself.
    pub(crate) is_answered: u64,
}

#[unsafe(no_mangle)]
extern "C" fn ashmem_answer(frame: &Frame) -> Answer {
    match calls::answer(frame) {
        Some(value) => Answer { value, is_answered: 1 },
        None => Answer { value: 0, is_answered: 0 },
    }
}

global_asm!(
    ".pushsection .text.ashmem_first, \"ax\", @progbits",
    ".globl ashmem_gate",
    "ashmem_gate:",
    "syscall",
    "ret",
    ".balign 16",
    "ashmem_entry:",
    "lea rsp, [rsp - 128]",
    "pushfq",
    "cmp eax, 16",
    "je 2f",
    "cmp eax, 9",
    "je 3f",
    "cmp eax, 257",
    "je 4f",
    "cmp eax, 5",
    "je 7f",
    "cmp eax, 262",
    "je 6f",
    "cmp eax, 2",
    "jne 9f",
    // open: O_RDWR, without O_CREAT.
    "mov r11d, esi",
    "jmp 5f",
    // ioctl: of the device's type.
    "2:",
    "mov r11d, esi",
    "shr r11d, 8",
    "cmp r11b, 0x77",
    "jne 9f",
    "jmp 7f",
    // mmap: of a descriptor, and not at a fixed address, where this code may lie.
    "3:",
    "test r10d, 0x30",
    "jnz 9f",
    "jmp 7f",
    // openat.
    "4:",
    "mov r11d, edx",
    "5:",
    "and r11d, 0x43",
    "cmp r11d, 2",
    "jne 9f",
    "jmp 7f",
    // newfstatat: of an empty path.
    "6:",
    "test r10d, 0x1000",
    "jz 9f",
    "7:",
    "cld",
    "push rcx",
    "push rax",
    "push r9",
    "push r8",
    "push r10",
    "push rdx",
    "push rsi",
    "push rdi",
    "mov rdi, rsp",
    "push rbp",
    "mov rbp, rsp",
    "and rsp, -16",
    "sub rsp, 256",
    "movaps [rsp], xmm0",
    "movaps [rsp + 16], xmm1",
    "movaps [rsp + 32], xmm2",
    "movaps [rsp + 48], xmm3",
    "movaps [rsp + 64], xmm4",
    "movaps [rsp + 80], xmm5",
    "movaps [rsp + 96], xmm6",
    "movaps [rsp + 112], xmm7",
    "movaps [rsp + 128], xmm8",
    "movaps [rsp + 144], xmm9",
    "movaps [rsp + 160], xmm10",
    "movaps [rsp + 176], xmm11",
    "movaps [rsp + 192], xmm12",
    "movaps [rsp + 208], xmm13",
    "movaps [rsp + 224], xmm14",
    "movaps [rsp + 240], xmm15",
    "call {answer}",
    "mov r11, rdx",
    "movaps xmm0, [rsp]",
    "movaps xmm1, [rsp + 16]",
    "movaps xmm2, [rsp + 32]",
    "movaps xmm3, [rsp + 48]",
    "movaps xmm4, [rsp + 64]",
    "movaps xmm5, [rsp + 80]",
    "movaps xmm6, [rsp + 96]",
    "movaps xmm7, [rsp + 112]",
    "movaps xmm8, [rsp + 128]",
    "movaps xmm9, [rsp + 144]",
    "movaps xmm10, [rsp + 160]",
    "movaps xmm11, [rsp + 176]",
    "movaps xmm12, [rsp + 192]",
    "movaps xmm13, [rsp + 208]",
    "movaps xmm14, [rsp + 224]",
    "movaps xmm15, [rsp + 240]",
    "mov rsp, rbp",
    "pop rbp",
    "pop rdi",
    "pop rsi",
    "pop rdx",
    "pop r10",
    "pop r8",
    "pop r9",
    "test r11, r11",
    "jz 8f",
    "lea rsp, [rsp + 8]",
    "pop rcx",
    "popfq",
    "lea rsp, [rsp + 128]",
    "lea rcx, [rcx + 2]",
    "jmp rcx",
    // The program makes its call.
    "8:",
    "pop rax",
    "pop rcx",
    "9:",
    "popfq",
    "lea rsp, [rsp + 128]",
    "jmp rcx",
    ".popsection",
    answer = sym ashmem_answer,
);
