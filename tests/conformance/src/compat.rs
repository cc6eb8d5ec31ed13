// SPDX-License-Identifier: MIT OR Apache-2.0
//! A 32-bit caller without a 32-bit program: `int 0x80` from this 64-bit process enters the
//! kernel's compat calls.

use crate::case::{Verdict, skip};
use crate::process::{Child, End};
use ashmem_test_client::errno::{Answer, Refused};
use ashmem_test_client::map::{Map, RW, page_size};
use ashmem_test_client::region::Region;

const GETPID_32: u32 = 20;
const IOCTL_32: u32 = 54;

/// A page below 4 GiB for a 32-bit caller's buffers.
pub(crate) struct LowPage(Map);

/// Skips the case where the kernel has no 32-bit entry.
pub(crate) fn need() -> Verdict {
    if cfg!(not(target_arch = "x86_64")) {
        return skip("a 64-bit program of this architecture cannot call as a 32-bit one");
    }
    let child = Child::start(|_| {
        // SAFETY: getpid takes no argument; where the entry is missing the process is killed, which
        // is the question.
        unsafe { call(GETPID_32, 0, 0, 0) };
        Ok(())
    })?;
    match child.wait(None) {
        End { verdict: Some(Ok(())), .. } => Ok(()),
        _ => skip("this kernel answers no int 0x80 (CONFIG_IA32_EMULATION is off)"),
    }
}

/// ioctl(2) as a 32-bit caller; the answer is what its libc would see, a 32-bit int before errno is
/// taken out of it.
pub(crate) fn raw(region: &Region, cmd: u32, arg: u32) -> i32 {
    // SAFETY: pointers in `arg` lie in a LowPage or are meant to be bad, which the kernel answers.
    unsafe { call(IOCTL_32, region.fd() as u32, cmd, arg) }
}

/// The same, with errno taken out.
pub(crate) fn ioctl(region: &Region, cmd: u32, arg: u32) -> Answer {
    match raw(region, cmd, arg) {
        code @ -4095..=-1 => Err(Refused { call: "32-bit ioctl", code: -code }),
        value => Ok(i64::from(value)),
    }
}

impl LowPage {
    /// One page, read and write.
    pub(crate) fn new() -> Answer<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | LOW;
        Map::new(-1, page_size(), RW, flags, 0).map(Self)
    }

    /// Its address, as a 32-bit caller writes it.
    pub(crate) fn address(&self) -> u32 {
        self.0.address() as u32
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &Map {
        &self.0
    }

    /// Puts a `struct ashmem_pin` at its start and gives its address.
    pub(crate) fn pin(
        &self,
        offset: u32,
        len: u32,
    ) -> Result<u32, ashmem_test_client::fault::Signal> {
        self.0.write(0, &offset.to_ne_bytes())?;
        self.0.write(4, &len.to_ne_bytes())?;
        Ok(self.address())
    }
}

/// What asks mmap(2) for an address below 4 GiB.
#[cfg(target_arch = "x86_64")]
const LOW: i32 = libc::MAP_32BIT;
/// Nothing, where no case comes as far.
#[cfg(not(target_arch = "x86_64"))]
const LOW: i32 = 0;

/// # Safety
/// None: there is no such entry.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn call(_number: u32, _a: u32, _b: u32, _c: u32) -> i32 {
    -libc::ENOSYS
}

/// # Safety
/// As for syscall(2): what the arguments point at must be fit for the call.
#[cfg(target_arch = "x86_64")]
unsafe fn call(number: u32, a: u32, b: u32, c: u32) -> i32 {
    let result: i64;
    // SAFETY: the kernel keeps all registers but rax (r8 to r11 on older kernels); rbx is put back,
    // as the compiler reserves it.
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
    result as i32
}
