// SPDX-License-Identifier: MIT OR Apache-2.0
//! 32-bit calls of x86: `int 0x80`, which a 64-bit process may use too.

use std::os::fd::RawFd;

use ashmem_test_client::errno::{Answer, Refused};
use ashmem_test_client::map::{Map, RW, page_size};

/// Why there may be no such calls.
pub(super) const NONE: &str = "this kernel answers no int 0x80 (CONFIG_IA32_EMULATION is off)";

/// A page below 2 GiB.
pub(super) struct Memory(Map);

impl Memory {
    pub(super) fn new() -> Answer<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
        Map::new(-1, page_size(), RW, flags, 0).map(Self)
    }

    pub(super) fn map(&self) -> &Map {
        &self.0
    }
}

/// A call with three arguments, and the int that it returns. What the arguments point at must be
/// fit for the call.
pub(super) fn call(number: u32, a: u32, b: u32, c: u32) -> Answer<i32> {
    let result: i64;
    // SAFETY: the kernel keeps all registers but rax (r8 to r11 on older kernels); rbx is put back,
    // as the compiler reserves it. The calls made here write to a LowPage at most.
    unsafe {
        std::arch::asm!(
            "xchg {a:r}, rbx",
            "int 0x80",
            "mov rbx, {a:r}",
            a = inout(reg) u64::from(a) => _,
            inout("rax") i64::from(number) => result,
            in("rcx") u64::from(b),
            in("rdx") u64::from(c),
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    Ok(result as i32)
}

/// Nothing: mmap2 has more arguments than [`call`] takes.
///
/// # Errors
/// ENOSYS.
pub(super) fn private_bytes(_: RawFd) -> Answer<[u8; 4]> {
    Err(Refused { call: "mmap2", code: libc::ENOSYS })
}
