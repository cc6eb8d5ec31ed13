// SPDX-License-Identifier: MIT OR Apache-2.0
//! The device as a client sees it: what can be done with a descriptor of it.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use ashmem_core::abi;

use crate::errno::{Answer, answer};
use crate::map::{Map, RW};

/// What a buffer holds before the device is asked to write into it.
pub const UNTOUCHED: u8 = 0xa5;

/// One open of the device (or any other descriptor to be asked the same questions).
#[derive(Debug)]
pub struct Region(OwnedFd);

/// open(2) of any path.
pub fn open_path(path: &[u8], flags: i32) -> Answer<Region> {
    let path = CString::new(path).unwrap_or_default();
    // SAFETY: the path is NUL terminated; the mode is only used with O_CREAT.
    let fd = answer("open", i64::from(unsafe { libc::open(path.as_ptr(), flags, 0o600) }))?;
    // SAFETY: open has just made this descriptor and nobody else knows it.
    Ok(Region(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
}

impl From<OwnedFd> for Region {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl From<Region> for OwnedFd {
    fn from(region: Region) -> Self {
        region.0
    }
}

impl AsFd for Region {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Region {
    /// The descriptor's number.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// ioctl(2) by its number alone, with the whole 64-bit argument and answer (libc's `int` would
    /// cut them).
    pub fn ioctl(&self, call: &'static str, cmd: u32, arg: u64) -> Answer {
        // SAFETY: pointers in `arg` are either buffers the caller owns or meant to be bad, which
        // the kernel answers.
        answer(call, unsafe { libc::syscall(libc::SYS_ioctl, self.fd(), u64::from(cmd), arg) })
    }

    /// SET_NAME.
    pub fn set_name(&self, name: &CStr) -> Answer {
        self.set_name_at(name.as_ptr() as usize)
    }

    /// SET_NAME from an address, good or bad.
    pub fn set_name_at(&self, address: usize) -> Answer {
        self.ioctl("SET_NAME", abi::SET_NAME, address as u64)
    }

    /// GET_NAME, as bytes before the NUL.
    pub fn name(&self) -> Answer<Vec<u8>> {
        let buffer = self.name_buffer()?;
        Ok(buffer.iter().copied().take_while(|byte| *byte != 0).collect())
    }

    /// GET_NAME into a buffer of [`UNTOUCHED`] bytes, all of it.
    pub fn name_buffer(&self) -> Answer<[u8; abi::NAME_LEN]> {
        let mut buffer = [UNTOUCHED; abi::NAME_LEN];
        self.name_to(buffer.as_mut_ptr() as usize)?;
        Ok(buffer)
    }

    /// GET_NAME to an address, good or bad.
    pub fn name_to(&self, address: usize) -> Answer {
        self.ioctl("GET_NAME", abi::GET_NAME, address as u64)
    }

    /// SET_SIZE, in bytes.
    pub fn set_size(&self, size: u64) -> Answer {
        self.ioctl("SET_SIZE", abi::SET_SIZE, size)
    }

    /// GET_SIZE, in bytes.
    pub fn size(&self) -> Answer {
        self.ioctl("GET_SIZE", abi::GET_SIZE, 0)
    }

    /// SET_PROT_MASK.
    pub fn set_mask(&self, mask: u64) -> Answer {
        self.ioctl("SET_PROT_MASK", abi::SET_PROT_MASK, mask)
    }

    /// GET_PROT_MASK.
    pub fn mask(&self) -> Answer {
        self.ioctl("GET_PROT_MASK", abi::GET_PROT_MASK, 0)
    }

    /// PIN: [`abi::NOT_PURGED`] or [`abi::WAS_PURGED`].
    pub fn pin(&self, offset: u32, len: u32) -> Answer {
        self.pin_call("PIN", abi::PIN, offset, len)
    }

    /// UNPIN.
    pub fn unpin(&self, offset: u32, len: u32) -> Answer {
        self.pin_call("UNPIN", abi::UNPIN, offset, len)
    }

    /// GET_PIN_STATUS: [`abi::IS_UNPINNED`] or [`abi::IS_PINNED`].
    pub fn status(&self, offset: u32, len: u32) -> Answer {
        self.pin_call("GET_PIN_STATUS", abi::GET_PIN_STATUS, offset, len)
    }

    /// PURGE_ALL_CACHES: how many pages were waiting to be purged.
    pub fn purge(&self) -> Answer {
        self.ioctl("PURGE_ALL_CACHES", abi::PURGE_ALL_CACHES, 0)
    }

    /// PURGE_REGION: how many pages were purged.
    pub fn purge_region(&self) -> Answer {
        self.ioctl("PURGE_REGION", abi::PURGE_REGION, 0)
    }

    /// GET_FILE_ID.
    pub fn file_id(&self) -> Answer<u64> {
        let mut id = 0_u64;
        self.ioctl("GET_FILE_ID", abi::GET_FILE_ID, &raw mut id as u64)?;
        Ok(id)
    }

    /// mmap(2).
    pub fn map(&self, len: usize, prot: i32, flags: i32, offset: u64) -> Answer<Map> {
        Map::new(self.fd(), len, prot, flags, offset)
    }

    /// A shared mapping, read and write, from the start.
    pub fn share(&self, len: usize) -> Answer<Map> {
        self.map(len, RW, libc::MAP_SHARED, 0)
    }

    /// read(2) of at most so many bytes.
    pub fn read(&self, count: usize) -> Answer<Vec<u8>> {
        let mut buffer = vec![UNTOUCHED; count];
        // SAFETY: the buffer is `count` bytes long.
        let got = unsafe { libc::read(self.fd(), buffer.as_mut_ptr().cast(), count) };
        let got = answer("read", got as i64)?;
        buffer.truncate(got as usize);
        Ok(buffer)
    }

    /// pread(2).
    pub fn pread(&self, count: usize, offset: i64) -> Answer<Vec<u8>> {
        let mut buffer = vec![UNTOUCHED; count];
        // SAFETY: the buffer is `count` bytes long.
        let got = unsafe { libc::pread(self.fd(), buffer.as_mut_ptr().cast(), count, offset) };
        let got = answer("pread", got as i64)?;
        buffer.truncate(got as usize);
        Ok(buffer)
    }

    /// write(2).
    pub fn write(&self, bytes: &[u8]) -> Answer {
        // SAFETY: the buffer is as long as said.
        answer("write", unsafe { libc::write(self.fd(), bytes.as_ptr().cast(), bytes.len()) }
            as i64)
    }

    /// lseek(2).
    pub fn seek(&self, offset: i64, whence: i32) -> Answer {
        // SAFETY: lseek touches no memory of ours.
        answer("lseek", unsafe { libc::lseek(self.fd(), offset, whence) })
    }

    /// fstat(2).
    pub fn stat(&self) -> Answer<libc::stat> {
        // SAFETY: an all-zero stat is a valid one.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: the buffer is a whole stat.
        answer("fstat", i64::from(unsafe { libc::fstat(self.fd(), &mut stat) }))?;
        Ok(stat)
    }

    /// fcntl(2) with a number as argument.
    pub fn fcntl(&self, cmd: i32, arg: i64) -> Answer {
        // SAFETY: callers use commands whose argument is a number.
        answer("fcntl", i64::from(unsafe { libc::fcntl(self.fd(), cmd, arg) }))
    }

    /// dup(2).
    pub fn dup(&self) -> Answer<Self> {
        let fd = self.fcntl(libc::F_DUPFD_CLOEXEC, 0)?;
        // SAFETY: fcntl has just made this descriptor and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
    }

    /// The lines of `/proc/self/fdinfo/N` that are the device's own, in order.
    pub fn fdinfo(&self) -> io::Result<Vec<String>> {
        let path = format!("/proc/self/fdinfo/{}", self.fd());
        let text = std::fs::read(&path)
            .map_err(|error| io::Error::other(format!("reading {path}: {error}")))?;
        let generic = ["pos:", "flags:", "mnt_id:", "ino:"];
        let text = String::from_utf8_lossy(&text);
        Ok(text
            .lines()
            .filter(|line| !generic.iter().any(|key| line.starts_with(key)))
            .map(String::from)
            .collect())
    }

    /// The value of one of the device's own fdinfo lines.
    pub fn fdinfo_value(&self, key: &str) -> io::Result<Option<String>> {
        let lines = self.fdinfo()?;
        Ok(lines
            .iter()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t").map(String::from)))
    }

    /// PIN, UNPIN or GET_PIN_STATUS, in bytes.
    pub fn pin_call(&self, call: &'static str, cmd: u32, offset: u32, len: u32) -> Answer {
        let pin = abi::Pin { offset, len };
        self.ioctl(call, cmd, &raw const pin as u64)
    }
}
