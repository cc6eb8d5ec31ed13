// SPDX-License-Identifier: MIT OR Apache-2.0
//! arm64: where a patched call site arrives; how calls are made, and what compiled code calls to
//! move memory.
//!
//! A call changes `x0` and nothing else: flags and vector registers are kept. The jump that leads
//! here has put `x16` and `x17` on the stack, with 32 bytes of room behind them; `x16` is where it
//! goes on where the program makes its call itself, and 8 bytes further where the call is answered.
//! Nothing returns to an address that was changed, which a processor that guards return addresses
//! would refuse. What cannot concern the device goes back at once.

use core::arch::{asm, global_asm};

use crate::entry::ashmem_answer;
use crate::layout::{BlobHeader, STAT};

/// Numbers of calls.
pub(crate) mod number {
    pub(crate) const CLOSE: u32 = 57;
    pub(crate) const DUP3: u32 = 24;
    pub(crate) const FCHMOD: u32 = 52;
    pub(crate) const FCNTL: u32 = 25;
    pub(crate) const FLOCK: u32 = 32;
    pub(crate) const FSTAT: u32 = 80;
    pub(crate) const FTRUNCATE: u32 = 46;
    pub(crate) const GETPID: u32 = 172;
    pub(crate) const IOCTL: u32 = 29;
    pub(crate) const MEMFD_CREATE: u32 = 279;
    pub(crate) const MMAP: u32 = 222;
    pub(crate) const NEWFSTATAT: u32 = 79;
    pub(crate) const OPEN: Option<u32> = None;
    pub(crate) const OPENAT: u32 = 56;
    pub(crate) const PERSONALITY: u32 = 92;
    pub(crate) const PRLIMIT: u32 = 261;
    pub(crate) const PROCESS_VM_READV: u32 = 270;
    pub(crate) const RT_SIGPROCMASK: u32 = 135;
    pub(crate) const STATX: u32 = 291;
    pub(crate) const UNSHARE: u32 = 97;
}

/// O_LARGEFILE, which the kernel shows where it is the default.
pub(crate) const O_LARGEFILE: i64 = 0o400_000;

/// What fstat(2) says, as far as it is looked at.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Stat {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) mode: u32,
    _links_and_owner: [u32; 3],
    _rdev: [u64; 2],
    pub(crate) size: u64,
    _block_size: u64,
    pub(crate) blocks: u64,
    _rest: [u64; STAT / 8 - 9],
}

/// An address as the kernel finds memory by it: programs may have a tag in the highest byte.
pub(crate) fn untagged(address: u64) -> u64 {
    (address << 8).cast_signed().wrapping_shr(8).cast_unsigned()
}

/// Makes a call, through the gate.
pub(crate) fn call(number: u32, args: [u64; 6]) -> i64 {
    let [mut value, b, c, d, e, f] = args;
    // SAFETY: the call is one of those above, about memory of this crate's or of the program's own
    // call, which gave the kernel the same addresses.
    unsafe {
        asm!(
            "bl ashmem_gate",
            inout("x0") value,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            in("x8") u64::from(number),
            lateout("x30") _,
        );
    }
    value as i64
}

/// The header.
pub(crate) fn header() -> &'static BlobHeader {
    let header: *const BlobHeader;
    // SAFETY: the instruction computes an address.
    unsafe { asm!("adr {}, ashmem_header", out(reg) header, options(pure, nomem, nostack)) };
    // SAFETY: the supervisor has filled the header before any call could come here, and the program
    // cannot write it.
    unsafe { &*header }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller has both as long as `count`.
    unsafe {
        asm!(
            "cbz {count}, 3f",
            "2:",
            "ldrb {byte:w}, [{from}], #1",
            "strb {byte:w}, [{to}], #1",
            "subs {count}, {count}, #1",
            "b.ne 2b",
            "3:",
            count = inout(reg) count => _,
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            byte = out(reg) _,
            options(nostack),
        );
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    // SAFETY: the caller has the memory as long as `count`.
    unsafe {
        asm!(
            "cbz {count}, 3f",
            "2:",
            "strb {byte:w}, [{to}], #1",
            "subs {count}, {count}, #1",
            "b.ne 2b",
            "3:",
            count = inout(reg) count => _,
            to = inout(reg) to => _,
            byte = in(reg) byte,
            options(nostack),
        );
    }
    to
}

global_asm!(
    ".pushsection .text.ashmem_first, \"ax\", @progbits",
    ".globl ashmem_gate",
    "ashmem_gate:",
    "svc #0",
    "ret",
    ".balign 16",
    "ashmem_entry:",
    "mrs x17, nzcv",
    "str x17, [sp, #16]",
    "cmp w8, #29",
    "b.eq 2f",
    "cmp w8, #222",
    "b.eq 3f",
    "cmp w8, #56",
    "b.eq 4f",
    "cmp w8, #80",
    "b.eq 7f",
    "cmp w8, #79",
    "b.ne 9f",
    // newfstatat: of an empty path.
    "tbz w3, #12, 9f",
    "b 7f",
    // ioctl: of the device's type.
    "2:",
    "ubfx w17, w1, #8, #8",
    "cmp w17, #0x77",
    "b.ne 9f",
    "b 7f",
    // mmap: of a descriptor, and not at a fixed address, where this code may lie.
    "3:",
    "tst w3, #0x30",
    "b.ne 9f",
    "b 7f",
    // openat: O_RDWR, without O_CREAT.
    "4:",
    "mov w17, #0x43",
    "and w17, w2, w17",
    "cmp w17, #2",
    "b.ne 9f",
    "7:",
    "sub sp, sp, #672",
    "stp x0, x1, [sp]",
    "stp x2, x3, [sp, #16]",
    "stp x4, x5, [sp, #32]",
    "stp x8, x6, [sp, #48]",
    "stp x7, x9, [sp, #64]",
    "stp x10, x11, [sp, #80]",
    "stp x12, x13, [sp, #96]",
    "stp x14, x15, [sp, #112]",
    "stp x16, x18, [sp, #128]",
    "stp x29, x30, [sp, #144]",
    "stp q0, q1, [sp, #160]",
    "stp q2, q3, [sp, #192]",
    "stp q4, q5, [sp, #224]",
    "stp q6, q7, [sp, #256]",
    "stp q8, q9, [sp, #288]",
    "stp q10, q11, [sp, #320]",
    "stp q12, q13, [sp, #352]",
    "stp q14, q15, [sp, #384]",
    "stp q16, q17, [sp, #416]",
    "stp q18, q19, [sp, #448]",
    "stp q20, q21, [sp, #480]",
    "stp q22, q23, [sp, #512]",
    "stp q24, q25, [sp, #544]",
    "stp q26, q27, [sp, #576]",
    "stp q28, q29, [sp, #608]",
    "stp q30, q31, [sp, #640]",
    "mov x0, sp",
    "bl {answer}",
    "mov x17, x1",
    "ldp q0, q1, [sp, #160]",
    "ldp q2, q3, [sp, #192]",
    "ldp q4, q5, [sp, #224]",
    "ldp q6, q7, [sp, #256]",
    "ldp q8, q9, [sp, #288]",
    "ldp q10, q11, [sp, #320]",
    "ldp q12, q13, [sp, #352]",
    "ldp q14, q15, [sp, #384]",
    "ldp q16, q17, [sp, #416]",
    "ldp q18, q19, [sp, #448]",
    "ldp q20, q21, [sp, #480]",
    "ldp q22, q23, [sp, #512]",
    "ldp q24, q25, [sp, #544]",
    "ldp q26, q27, [sp, #576]",
    "ldp q28, q29, [sp, #608]",
    "ldp q30, q31, [sp, #640]",
    "ldp x29, x30, [sp, #144]",
    "ldp x16, x18, [sp, #128]",
    "ldp x14, x15, [sp, #112]",
    "ldp x12, x13, [sp, #96]",
    "ldp x10, x11, [sp, #80]",
    "ldp x7, x9, [sp, #64]",
    "ldp x8, x6, [sp, #48]",
    "ldp x4, x5, [sp, #32]",
    "ldp x2, x3, [sp, #16]",
    "ldr x1, [sp, #8]",
    "cbnz x17, 8f",
    // The program makes its call.
    "ldr x0, [sp]",
    "add sp, sp, #672",
    "9:",
    "ldr x17, [sp, #16]",
    "msr nzcv, x17",
    "br x16",
    "8:",
    "add sp, sp, #672",
    "add x16, x16, #8",
    "b 9b",
    ".popsection",
    answer = sym ashmem_answer,
);
