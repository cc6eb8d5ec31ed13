// SPDX-License-Identifier: MIT OR Apache-2.0
//! A 32-bit caller without a 32-bit program of a compiler's: on x86-64 `int 0x80` from this 64-bit
//! process enters the kernel's compat calls, on arm64 a small program made here does.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64::{Memory, NONE, call, private_bytes};
#[cfg(target_arch = "x86_64")]
use x86_64::{Memory, NONE, call, private_bytes};

use crate::case::{Stop, Verdict, skip};
use crate::process::{Child, End};
use ashmem_test_client::errno::{Answer, Refused};
use ashmem_test_client::map::Map;
use ashmem_test_client::region::Region;

const GETPID_32: u32 = 20;
const IOCTL_32: u32 = 54;

/// A page below 2 GiB for a 32-bit caller's buffers.
pub(crate) struct LowPage(Memory);

/// Skips the case where the kernel has no 32-bit calls.
pub(crate) fn need() -> Verdict {
    // Where the entry is missing the process is killed, which is the question.
    let child = Child::start(|_| Ok(call(GETPID_32, 0, 0, 0).map(|_| ())?))?;
    match child.wait(None) {
        End { verdict: Some(Ok(())), .. } => Ok(()),
        _ => skip(NONE),
    }
}

/// ioctl(2) as a 32-bit caller: what its libc would see, a 32-bit int, with errno taken out of it.
/// Pointers in `arg` lie in a [`LowPage`], or are meant to be bad, which the kernel answers.
pub(crate) fn ioctl(region: &Region, cmd: u32, arg: u32) -> Answer {
    if cfg!(target_arch = "aarch64") {
        // The program that makes the call has a copy of the descriptor. At the level `fast` the
        // first ioctl makes a region of a descriptor, and of no copy that was made before. A size
        // may look like an errno.
        let _ = region.size();
    }
    match call(IOCTL_32, region.fd() as u32, cmd, arg)? {
        code @ -4095..=-1 => Err(Refused { call: "32-bit ioctl", code: -code }),
        value => Ok(i64::from(value)),
    }
}

/// The first bytes that a private mapping of the region shows to a 32-bit caller; skips the case
/// where such a mapping is not made here.
pub(crate) fn private_bytes_of(region: &Region) -> Result<[u8; 4], Stop> {
    match private_bytes(region.fd()) {
        Err(Refused { code: libc::ENOSYS, .. }) => skip("made on arm64 alone, by a program"),
        other => Ok(other?),
    }
}

impl LowPage {
    /// One page, read and write.
    pub(crate) fn new() -> Answer<Self> {
        Memory::new().map(Self)
    }

    /// Its address, as a 32-bit caller writes it.
    pub(crate) fn address(&self) -> u32 {
        self.bytes().address() as u32
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &Map {
        self.0.map()
    }

    /// Puts a `struct ashmem_pin` at its start and gives its address.
    pub(crate) fn pin(
        &self,
        offset: u32,
        len: u32,
    ) -> Result<u32, ashmem_test_client::fault::Signal> {
        self.bytes().write(0, &offset.to_ne_bytes())?;
        self.bytes().write(4, &len.to_ne_bytes())?;
        Ok(self.address())
    }
}
