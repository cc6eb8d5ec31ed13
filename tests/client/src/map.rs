// SPDX-License-Identifier: MIT OR Apache-2.0
//! A mapping: made by mmap(2), touched byte by byte, gone when it is dropped.

use std::io;
use std::os::fd::RawFd;

use crate::errno::{Answer, Refused, answer};
use crate::fault::{self, Signal};

/// The page size of x86-64, in bytes, for tests that run there alone.
pub const PAGE: usize = 4096;

/// The page size in bytes, as the kernel tells it.
pub fn page_size() -> usize {
    // SAFETY: sysconf reads what the process was told when it started.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// The same, as the device's requests count.
pub fn page_size32() -> u32 {
    page_size() as u32
}

/// Protection of a mapping, as short as `maps` writes it.
pub const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
/// Read only.
pub const R: i32 = libc::PROT_READ;
/// Every right.
pub const RWX: i32 = RW | libc::PROT_EXEC;
/// No right.
pub const NONE: i32 = libc::PROT_NONE;

/// A range of addresses this process has mapped.
#[derive(Debug)]
pub struct Map {
    at: usize,
    len: usize,
}

/// One line of `/proc/PID/maps`.
#[derive(Debug)]
pub struct MapsLine {
    /// First and last-plus-one address.
    pub range: (usize, usize),
    /// e.g. `rw-s`.
    pub perms: String,
    /// Offset into the file.
    pub offset: u64,
    /// `major:minor`.
    pub device: String,
    /// Inode number.
    pub inode: u64,
    /// What stands last, e.g. `/dev/ashmem/foo (deleted)`.
    pub path: String,
}

impl Map {
    /// mmap(2) at an address of the kernel's choice.
    pub fn new(fd: RawFd, len: usize, prot: i32, flags: i32, offset: u64) -> Answer<Self> {
        Self::at(0, fd, len, prot, flags, offset)
    }

    /// mmap(2) with an address, which MAP_FIXED in `flags` makes binding; it must then lie in a
    /// mapping of ours.
    pub fn at(
        address: usize,
        fd: RawFd,
        len: usize,
        prot: i32,
        flags: i32,
        offset: u64,
    ) -> Answer<Self> {
        // SAFETY: without MAP_FIXED the kernel picks free addresses; with it, callers name a range
        // they mapped.
        let got = unsafe {
            libc::syscall(libc::SYS_mmap, address, len, prot, flags, i64::from(fd), offset)
        };
        answer("mmap", got).map(|at| Self { at: at as usize, len })
    }

    /// Private anonymous memory, for buffers at the edge of what is mapped.
    pub fn anonymous(len: usize, prot: i32) -> Answer<Self> {
        Self::new(-1, len, prot, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, 0)
    }

    /// First address.
    pub fn address(&self) -> usize {
        self.at
    }

    /// Length in bytes, as asked for.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it was asked for no byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Loads one byte.
    pub fn load(&self, index: usize) -> Result<u8, Signal> {
        fault::load(self.byte(index))
    }

    /// Stores one byte.
    pub fn store(&self, index: usize, value: u8) -> Result<(), Signal> {
        fault::store(self.byte(index), value)
    }

    /// Stores bytes one after the other.
    pub fn write(&self, index: usize, bytes: &[u8]) -> Result<(), Signal> {
        bytes.iter().enumerate().try_for_each(|(i, byte)| self.store(index + i, *byte))
    }

    /// Loads bytes one after the other.
    pub fn read(&self, index: usize, count: usize) -> Result<Vec<u8>, Signal> {
        (index..index + count).map(|i| self.load(i)).collect()
    }

    /// Stores one value into the first byte of every page.
    pub fn touch(&self, value: u8) -> Result<(), Signal> {
        (0..self.len).step_by(page_size()).try_for_each(|i| self.store(i, value))
    }

    /// The first byte of every page.
    pub fn pages(&self) -> Result<Vec<u8>, Signal> {
        (0..self.len).step_by(page_size()).map(|i| self.load(i)).collect()
    }

    /// mprotect(2) over all of it.
    pub fn protect(&self, prot: i32) -> Answer {
        self.protect_part(0, self.len, prot)
    }

    /// mprotect(2) over a part, in bytes from the start.
    pub fn protect_part(&self, from: usize, len: usize, prot: i32) -> Answer {
        // SAFETY: the range is ours and holds no Rust object.
        answer(
            "mprotect",
            i64::from(unsafe { libc::mprotect((self.at + from) as *mut _, len, prot) }),
        )
    }

    /// madvise(2) over all of it.
    pub fn advise(&self, advice: i32) -> Answer {
        // SAFETY: the range is ours and holds no Rust object.
        answer("madvise", i64::from(unsafe { libc::madvise(self.at as *mut _, self.len, advice) }))
    }

    /// msync(2) over all of it.
    pub fn sync(&self, flags: i32) -> Answer {
        // SAFETY: msync changes no memory.
        answer("msync", i64::from(unsafe { libc::msync(self.at as *mut _, self.len, flags) }))
    }

    /// mlock(2) over all of it.
    pub fn lock(&self) -> Answer {
        // SAFETY: mlock changes no memory.
        answer("mlock", i64::from(unsafe { libc::mlock(self.at as *const _, self.len) }))
    }

    /// mremap(2) with MREMAP_MAYMOVE to another length.
    pub fn resize(mut self, len: usize) -> Answer<Self> {
        // SAFETY: the range is ours; after success `self` is changed to the new one.
        let got = unsafe { libc::mremap(self.at as *mut _, self.len, len, libc::MREMAP_MAYMOVE) };
        if got == libc::MAP_FAILED {
            return Err(Refused::last("mremap"));
        }
        (self.at, self.len) = (got as usize, len);
        Ok(self)
    }

    /// munmap(2) of a part, in bytes from the start; the rest stays mapped.
    pub fn unmap_part(&self, from: usize, len: usize) -> Answer {
        // SAFETY: the range is ours and holds no Rust object; unmapping it again on drop is
        // harmless.
        answer("munmap", i64::from(unsafe { libc::munmap((self.at + from) as *mut _, len) }))
    }

    /// This mapping's line of `/proc/self/maps`.
    pub fn line(&self) -> io::Result<MapsLine> {
        let maps = std::fs::read("/proc/self/maps")
            .map_err(|error| io::Error::other(format!("reading maps: {error}")))?;
        let maps = String::from_utf8_lossy(&maps);
        let line = maps
            .lines()
            .filter_map(MapsLine::parse)
            .find(|line| line.range.0 <= self.at && self.at < line.range.1);
        line.ok_or_else(|| io::Error::other("/proc/self/maps has no line for the mapping"))
    }

    /// Keeps the memory mapped until the process ends.
    pub fn leak(self) {
        std::mem::forget(self);
    }

    fn byte(&self, index: usize) -> usize {
        assert!(
            index < self.len.next_multiple_of(page_size()),
            "byte {index} is outside a mapping of {} bytes",
            self.len
        );
        self.at + index
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the range is ours and holds no Rust object.
        unsafe { libc::munmap(self.at as *mut _, self.len) };
    }
}

impl MapsLine {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.splitn(6, ' ');
        let (from, to) = fields.next()?.split_once('-')?;
        Some(Self {
            range: (usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?),
            perms: fields.next()?.into(),
            offset: u64::from_str_radix(fields.next()?, 16).ok()?,
            device: fields.next()?.into(),
            inode: fields.next()?.parse().ok()?,
            path: fields.next().unwrap_or("").trim_start().into(),
        })
    }
}
