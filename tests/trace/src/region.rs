// SPDX-License-Identifier: MIT OR Apache-2.0
//! A region as the small program uses it: every call with its answer as the system gave it.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use ashmem_core::abi;
use rustix::fs::{Mode, OFlags};

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;

/// A descriptor of a region.
pub(crate) struct Region(pub(crate) OwnedFd);

/// What a call returned: a value, or an error's number, negative.
pub(crate) fn answer(value: i64) -> i64 {
    if value == -1 {
        -i64::from(io::Error::last_os_error().raw_os_error().unwrap_or(0))
    } else {
        value
    }
}

impl Region {
    pub(crate) fn open() -> Result<Self> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        rustix::fs::open("/dev/ashmem", flags, Mode::empty())
            .map(Self)
            .context("opening /dev/ashmem")
    }

    /// Any ioctl.
    pub(crate) fn ioctl(&self, command: u32, argument: usize) -> i64 {
        // SAFETY: every caller passes a number, or the address of a buffer as long as the command
        // says, or one that is meant to be refused.
        answer(unsafe { libc::ioctl(self.0.as_raw_fd(), command.into(), argument) }.into())
    }

    pub(crate) fn set_name(&self, name: &[u8]) -> i64 {
        let Ok(name) = CString::new(name) else { return -1 };
        let mut bytes = name.into_bytes_with_nul();
        bytes.resize(abi::NAME_LEN.max(bytes.len()), 0);
        self.ioctl(abi::SET_NAME, bytes.as_ptr() as usize)
    }

    pub(crate) fn pinning(&self, command: u32, offset: u32, len: u32) -> i64 {
        let pin = abi::Pin { offset, len };
        self.ioctl(command, &raw const pin as usize)
    }

    /// Maps shared and writable; the address, or an error's number, negative.
    pub(crate) fn map(&self, len: usize) -> i64 {
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), len, prot, libc::MAP_SHARED, self.0.as_raw_fd(), 0)
        };
        answer(start as i64)
    }

    /// The inode of its memory, which the mapping at this address shows.
    pub(crate) fn inode(&self, address: i64) -> Result<u64> {
        inode_at(address)
    }
}

/// The inode that /proc/self/maps shows at this address.
pub(crate) fn inode_at(address: i64) -> Result<u64> {
    // A region's name may be no text.
    let maps = std::fs::read("/proc/self/maps").context("reading /proc/self/maps")?;
    let maps = String::from_utf8_lossy(&maps);
    let wanted = format!("{address:x}-");
    let line = maps
        .lines()
        .find(|line| line.starts_with(&wanted))
        .context("the mapping is not in /proc/self/maps")?;
    line.split_whitespace()
        .nth(4)
        .and_then(|inode| inode.parse().ok())
        .context("its line has no inode")
}

/// Takes a mapping away.
pub(crate) fn unmap(address: i64, len: usize) -> i64 {
    // SAFETY: the caller's own mapping, which nothing points into.
    answer(unsafe { libc::munmap(address as usize as *mut libc::c_void, len) }.into())
}
