//! A region as a program uses it: the device's calls, each answer looked at.

use anyhow::{Context, Result, ensure};
use ashmem_core::abi;
use rustix::fs::{Mode, OFlags};
use rustix::mm::{MapFlags, ProtFlags};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// The page size, in bytes.
pub(crate) const PAGE: usize = 4096;

/// A descriptor of a region.
pub(crate) struct Region(OwnedFd);

impl Region {
    /// Opens the device by one of its names.
    pub(crate) fn open(path: &str) -> Result<Self> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map(Self).with_context(|| format!("opening {path}"))
    }

    /// One that another process passed on.
    pub(crate) fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// The descriptor, to pass on.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.0.as_fd()
    }

    fn ioctl(&self, what: &str, command: u32, argument: usize) -> Result<i32> {
        // SAFETY: every caller passes a number, or the address of a buffer as long as the command says.
        let answer = unsafe { libc::ioctl(self.0.as_raw_fd(), command.into(), argument) };
        if answer < 0 { Err(std::io::Error::last_os_error()).with_context(|| what.to_owned()) } else { Ok(answer) }
    }

    pub(crate) fn set_name(&self, name: &str) -> Result<()> {
        let mut bytes = [0_u8; abi::NAME_LEN];
        bytes.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
        self.ioctl("SET_NAME", abi::SET_NAME, bytes.as_ptr() as usize).map(drop)
    }

    pub(crate) fn name(&self) -> Result<String> {
        let mut bytes = [0_u8; abi::NAME_LEN];
        self.ioctl("GET_NAME", abi::GET_NAME, bytes.as_mut_ptr() as usize)?;
        let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(name).into_owned())
    }

    pub(crate) fn set_size(&self, size: usize) -> Result<()> {
        self.ioctl("SET_SIZE", abi::SET_SIZE, size).map(drop)
    }

    pub(crate) fn size(&self) -> Result<usize> {
        Ok(self.ioctl("GET_SIZE", abi::GET_SIZE, 0)? as usize)
    }

    pub(crate) fn set_mask(&self, mask: i32) -> Result<()> {
        self.ioctl("SET_PROT_MASK", abi::SET_PROT_MASK, mask as usize).map(drop)
    }

    pub(crate) fn mask(&self) -> Result<i32> {
        self.ioctl("GET_PROT_MASK", abi::GET_PROT_MASK, 0)
    }

    fn pins(&self, what: &str, command: u32, page: usize) -> Result<i32> {
        let span = [(page * PAGE) as u32, PAGE as u32];
        self.ioctl(what, command, span.as_ptr() as usize)
    }

    pub(crate) fn pin(&self, page: usize) -> Result<i32> {
        self.pins("PIN", abi::PIN, page)
    }

    pub(crate) fn unpin(&self, page: usize) -> Result<()> {
        self.pins("UNPIN", abi::UNPIN, page).map(drop)
    }

    pub(crate) fn is_pinned(&self, page: usize) -> Result<bool> {
        Ok(i64::from(self.pins("GET_PIN_STATUS", abi::GET_PIN_STATUS, page)?) == abi::IS_PINNED)
    }

    pub(crate) fn map(&self, size: usize) -> Result<Mapping> {
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping, where the kernel finds room.
        let address = unsafe { rustix::mm::mmap(std::ptr::null_mut(), size, prot, flags, &self.0, 0) };
        Ok(Mapping { address: address.context("mmap")?.cast(), size })
    }

    /// Whether it looks like the node at the device's path, as libcutils demands.
    pub(crate) fn check_looks(&self) -> Result<()> {
        let node = rustix::fs::stat("/dev/ashmem").context("stat of /dev/ashmem")?;
        let own = rustix::fs::fstat(&self.0).context("fstat")?;
        ensure!(own.st_mode & libc::S_IFMT == libc::S_IFCHR, "fstat shows mode {:o}", own.st_mode);
        ensure!(own.st_rdev == node.st_rdev, "fstat shows device {:x}, the path {:x}", own.st_rdev, node.st_rdev);
        Ok(())
    }
}

/// A shared mapping.
pub(crate) struct Mapping {
    address: *mut u8,
    size: usize,
}

impl Mapping {
    pub(crate) fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.size);
        // SAFETY: within the mapping, which lives as long as this.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.address.add(at), bytes.len()) };
    }

    pub(crate) fn read(&self, at: usize, len: usize) -> Vec<u8> {
        assert!(at + len <= self.size);
        let mut bytes = vec![0; len];
        // SAFETY: within the mapping, which lives as long as this.
        unsafe { std::ptr::copy_nonoverlapping(self.address.add(at), bytes.as_mut_ptr(), len) };
        bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this object's own.
        let _ = unsafe { rustix::mm::munmap(self.address.cast(), self.size) };
    }
}
