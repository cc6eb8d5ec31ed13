// SPDX-License-Identifier: MIT OR Apache-2.0
//! Touching memory that may not be there: a byte is loaded or stored, and SIGBUS or SIGSEGV is an
//! answer, not the end.
//!
//! Two instructions with known addresses do the access; the signal handler recognises them and lets
//! them return the signal's number. A fault anywhere else kills the process as it would without us.

use std::fmt;

use crate::errno;

#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".globl client_load, client_store, client_fault",
    "client_load:",
    "    movzx eax, byte ptr [rdi]",
    "    ret",
    "client_store:",
    "    mov byte ptr [rdi], sil",
    "    xor eax, eax",
    "client_fault:",
    "    ret",
);

#[cfg(target_arch = "aarch64")]
std::arch::global_asm!(
    ".globl client_load, client_store, client_fault",
    "client_load:",
    "    ldrb w0, [x0]",
    "    ret",
    "client_store:",
    "    strb w1, [x0]",
    "    mov x0, #0",
    "client_fault:",
    "    ret",
);

unsafe extern "C" {
    fn client_load(address: usize) -> u64;
    fn client_store(address: usize, value: u8) -> u64;
    fn client_fault();
}

/// Added to the signal's number in the answer of the two accesses, so that it is never a byte's
/// value.
const FAULTED: u64 = 0x100;

/// The signal an access ended with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signal(pub i32);

/// Touching a page that exists in the mapping and not in the file.
pub const BUS: Signal = Signal(libc::SIGBUS);
/// Touching memory against its protection.
pub const SEGV: Signal = Signal(libc::SIGSEGV);

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&errno::signal_name(self.0))
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory access: {self:?}")
    }
}

impl std::error::Error for Signal {}

/// Installs the handler; children inherit it.
pub fn install() {
    let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = on_fault;
    for signal in [libc::SIGBUS, libc::SIGSEGV] {
        // SAFETY: an all-zero sigaction is a valid one (no flags, empty mask).
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO;
        // SAFETY: `action` is initialised and the handler has the three-argument form that
        // SA_SIGINFO asks for.
        unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) };
    }
}

/// Loads the byte at an address that this process has mapped for the purpose.
pub fn load(address: usize) -> Result<u8, Signal> {
    // SAFETY: the routine reads one byte; a fault of it is caught by the handler, which makes it
    // return.
    let got = unsafe { client_load(address) };
    u8::try_from(got).map_err(|_| Signal((got - FAULTED) as i32))
}

/// Stores a byte at an address that this process has mapped for the purpose and that no Rust object
/// lives at.
pub fn store(address: usize, value: u8) -> Result<(), Signal> {
    // SAFETY: callers pass addresses inside mappings of the device only, where no Rust object
    // lives; faults are caught.
    let got = unsafe { client_store(address, value) };
    if got == 0 { Ok(()) } else { Err(Signal((got - FAULTED) as i32)) }
}

extern "C" fn on_fault(signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes the interrupted context as a ucontext_t to a handler installed with
    // SA_SIGINFO.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext };
    let at = place(registers);
    if at == client_load as *const () as usize || at == client_store as *const () as usize {
        resume(registers, client_fault as *const () as usize, FAULTED + signal as u64);
    } else {
        // SAFETY: `signal` is valid; with the default action back, the same instruction faults
        // again and kills us.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Where the interrupted code was.
#[cfg(target_arch = "x86_64")]
fn place(registers: &libc::mcontext_t) -> usize {
    registers.gregs[libc::REG_RIP as usize] as usize
}

/// Where the interrupted code was.
#[cfg(target_arch = "aarch64")]
fn place(registers: &libc::mcontext_t) -> usize {
    registers.pc as usize
}

/// Has the interrupted code go on at a place, with a function's result.
#[cfg(target_arch = "x86_64")]
fn resume(registers: &mut libc::mcontext_t, place: usize, result: u64) {
    registers.gregs[libc::REG_RAX as usize] = result as i64;
    registers.gregs[libc::REG_RIP as usize] = place as i64;
}

/// Has the interrupted code go on at a place, with a function's result.
#[cfg(target_arch = "aarch64")]
fn resume(registers: &mut libc::mcontext_t, place: usize, result: u64) {
    registers.regs[0] = result;
    registers.pc = place as u64;
}
