// SPDX-License-Identifier: MIT OR Apache-2.0
//! x86-64: where a patched call site arrives, with `rcx` at the site's own `syscall` instruction;
//! how calls are made, and what compiled code calls to move memory.
//!
//! A call changes `rax`, `rcx` and `r11`, and nothing else: flags, vector registers and the 128
//! bytes below the stack pointer are kept. What cannot concern the device goes back to the site at
//! once.

use core::arch::{asm, global_asm};

use crate::entry::ashmem_answer;
use crate::layout::{BlobHeader, STAT};

/// Numbers of calls.
pub(crate) mod number {
    pub(crate) const CLOSE: u32 = 3;
    pub(crate) const DUP3: u32 = 292;
    pub(crate) const FCHMOD: u32 = 91;
    pub(crate) const FCNTL: u32 = 72;
    pub(crate) const FLOCK: u32 = 73;
    pub(crate) const FSTAT: u32 = 5;
    pub(crate) const FTRUNCATE: u32 = 77;
    pub(crate) const GETPID: u32 = 39;
    pub(crate) const IOCTL: u32 = 16;
    pub(crate) const MEMFD_CREATE: u32 = 319;
    pub(crate) const MMAP: u32 = 9;
    pub(crate) const NEWFSTATAT: u32 = 262;
    pub(crate) const OPEN: Option<u32> = Some(2);
    pub(crate) const OPENAT: u32 = 257;
    pub(crate) const PERSONALITY: u32 = 135;
    pub(crate) const PRLIMIT: u32 = 302;
    pub(crate) const PROCESS_VM_READV: u32 = 310;
    pub(crate) const RT_SIGPROCMASK: u32 = 14;
    pub(crate) const STATX: u32 = 332;
    pub(crate) const UNSHARE: u32 = 272;
}

/// O_LARGEFILE, which the kernel shows where it is the default.
pub(crate) const O_LARGEFILE: i64 = 0o100_000;

/// What fstat(2) says, as far as it is looked at.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Stat {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    _links: u64,
    pub(crate) mode: u32,
    _owner: [u32; 3],
    _rdev: u64,
    pub(crate) size: u64,
    _block_size: u64,
    pub(crate) blocks: u64,
    _rest: [u64; STAT / 8 - 9],
}

/// An address as the kernel finds memory by it.
pub(crate) fn untagged(address: u64) -> u64 {
    address
}

/// Makes a call, through the gate.
pub(crate) fn call(number: u32, args: [u64; 6]) -> i64 {
    let [a, b, c, d, e, f] = args;
    let mut value = u64::from(number);
    // SAFETY: the call is one of those above, about memory of this crate's or of the program's own
    // call, which gave the kernel the same addresses.
    unsafe {
        asm!(
            "call ashmem_gate",
            inout("rax") value,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    value as i64
}

/// The header.
pub(crate) fn header() -> &'static BlobHeader {
    let header: *const BlobHeader;
    // SAFETY: the instruction computes an address.
    unsafe {
        asm!("lea {}, [rip + ashmem_header]", out(reg) header, options(pure, nomem, nostack))
    };
    // SAFETY: the supervisor has filled the header before any call could come here, and the program
    // cannot write it.
    unsafe { &*header }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller has both as long as `count`; the direction flag is clear.
    unsafe {
        asm!("rep movsb", inout("rcx") count => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack, preserves_flags));
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    // SAFETY: the caller has the memory as long as `count`; the direction flag is clear.
    unsafe {
        asm!("rep stosb", inout("rcx") count => _, inout("rdi") to => _, in("al") byte as u8,
            options(nostack, preserves_flags));
    }
    to
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
