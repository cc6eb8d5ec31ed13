//! `/proc/PID`: one process's folder, held open so that every answer is of the same process.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, RawDir, Stat};
use rustix::io::{Errno, Result};

/// The folder. Once the process is gone, everything in it answers ESRCH or ENOENT, were its number given out again.
#[derive(Debug)]
pub struct Folder(OwnedFd);

/// The folder that `/proc` has now: process number, and the number of its own inode, which another process's differs from.
pub fn processes() -> Result<Vec<(i32, u64)>> {
    let folder = rustix::fs::open("/proc", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut found = Vec::new();
    numbers(&folder, |number, inode| found.push((number, inode)))?;
    Ok(found)
}

/// Every entry whose name is a number.
fn numbers(folder: impl AsFd, mut each: impl FnMut(i32, u64)) -> Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 8192];
    let mut entries = RawDir::new(folder, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if let Some(number) = crate::number(entry.file_name().to_bytes()) {
            each(number, entry.ino());
        }
    }
    Ok(())
}

impl Folder {
    pub fn open(pid: i32) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(format!("/proc/{pid}"), flags, Mode::empty()).map(Self)
    }

    /// A file's content. What is longer than a read comes in several, as big as `buffer`, which is reused.
    pub fn read<'a>(&self, path: &str, buffer: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        const STEP: usize = 64 << 10;
        let file = rustix::fs::openat(&self.0, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        buffer.clear();
        loop {
            buffer.reserve(STEP);
            match rustix::io::read(&file, rustix::buffer::spare_capacity(buffer)) {
                Ok(0) => return Ok(buffer),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What a link says.
    pub fn link(&self, path: &str, buffer: Vec<u8>) -> Result<Vec<u8>> {
        rustix::fs::readlinkat(&self.0, path, buffer).map(std::ffi::CString::into_bytes)
    }

    /// The status of what a link leads to.
    pub fn stat(&self, path: &str) -> Result<Stat> {
        rustix::fs::statat(&self.0, path, AtFlags::empty())
    }

    /// Opens what a link leads to, anew.
    pub fn open_link(&self, path: &str) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        rustix::fs::openat(&self.0, path, flags, Mode::empty())
    }

    /// The numbers of the open descriptors.
    pub fn descriptors(&self) -> Result<Vec<i32>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(&self.0, "fd", flags, Mode::empty())?;
        let mut found = Vec::new();
        numbers(&folder, |number, _| found.push(number))?;
        Ok(found)
    }

    /// Figures that change when descriptors or mappings come and go, mostly, and are cheap: the number of descriptors
    /// (since Linux 6.2; 0 before) and the pages of address space.
    pub fn hint(&self, buffer: &mut Vec<u8>) -> Result<(u64, u64)> {
        let descriptors = self.stat("fd")?.st_size as u64;
        let size = self.read("statm", buffer)?.split(|byte| *byte == b' ').next().and_then(crate::number);
        Ok((descriptors, size.unwrap_or(0)))
    }
}
