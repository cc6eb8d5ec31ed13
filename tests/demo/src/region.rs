// SPDX-License-Identifier: MIT OR Apache-2.0
//! The calls of an ashmem client, each shown with its arguments decoded and what came back.

use crate::stage::{self, Answer, decimal, shown};
use anyhow::{Context, Result};
use ashmem_core::abi;
use ashmem_test_client::region::{Region as Client, open_path};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The device node.
pub(crate) const DEVICE: &CStr = c"/dev/ashmem";

/// A descriptor of a region.
#[derive(Debug)]
pub(crate) struct Region(Client);

impl Region {
    /// open(2) of the device.
    pub(crate) fn open() -> Answer<Self> {
        let opened = open_path(DEVICE.to_bytes(), libc::O_RDWR | libc::O_CLOEXEC);
        let number = opened.as_ref().map_or(-1, |region| region.fd().into());
        shown("openat", &format!("AT_FDCWD, {DEVICE:?}, O_RDWR|O_CLOEXEC"), number, decimal)?;
        Ok(Self(opened?))
    }

    /// SET_NAME.
    pub(crate) fn set_name(&self, name: &CStr) -> Answer {
        self.ioctl(
            abi::SET_NAME,
            name.as_ptr() as usize,
            &format!("ASHMEM_SET_NAME, {name:?}"),
            decimal,
        )
    }

    /// GET_NAME.
    pub(crate) fn name(&self) -> Result<CString> {
        let mut buffer = [0_u8; abi::NAME_LEN];
        let result = self.0.name_to(buffer.as_mut_ptr() as usize).unwrap_or(-1);
        let name = CStr::from_bytes_until_nul(&buffer).context("GET_NAME wrote no NUL")?.to_owned();
        shown("ioctl", &format!("{}, ASHMEM_GET_NAME, {name:?}", self.0.fd()), result, decimal)?;
        Ok(name)
    }

    /// SET_SIZE, in bytes.
    pub(crate) fn set_size(&self, size: usize) -> Answer {
        self.ioctl(abi::SET_SIZE, size, &format!("ASHMEM_SET_SIZE, {size}"), decimal)
    }

    /// GET_SIZE, in bytes.
    pub(crate) fn size(&self) -> Answer {
        self.ioctl(abi::GET_SIZE, 0, "ASHMEM_GET_SIZE, 0", decimal)
    }

    /// SET_PROT_MASK.
    pub(crate) fn set_mask(&self, mask: i32) -> Answer {
        let arguments = format!("ASHMEM_SET_PROT_MASK, {}", protection(mask));
        self.ioctl(abi::SET_PROT_MASK, mask as usize, &arguments, decimal)
    }

    /// UNPIN of the whole region.
    pub(crate) fn unpin(&self) -> Answer {
        self.pinning(abi::UNPIN, "ASHMEM_UNPIN", decimal)
    }

    /// PIN of the whole region.
    pub(crate) fn pin(&self) -> Answer {
        let decode = |value| {
            if value == abi::WAS_PURGED { "ASHMEM_WAS_PURGED" } else { "ASHMEM_NOT_PURGED" }
        };
        self.pinning(abi::PIN, "ASHMEM_PIN", |value| format!("{value} ({})", decode(value)))
    }

    /// GET_PIN_STATUS of the whole region.
    pub(crate) fn pin_status(&self) -> Answer {
        let decode =
            |value| if value == abi::IS_PINNED { "ASHMEM_IS_PINNED" } else { "ASHMEM_IS_UNPINNED" };
        self.pinning(abi::GET_PIN_STATUS, "ASHMEM_GET_PIN_STATUS", |value| {
            format!("{value} ({})", decode(value))
        })
    }

    /// PURGE_ALL_CACHES: how many pages were waiting.
    pub(crate) fn purge(&self) -> Answer {
        self.ioctl(abi::PURGE_ALL_CACHES, 0, "ASHMEM_PURGE_ALL_CACHES, 0", decimal)
    }

    /// mmap(2), shared, from the start.
    pub(crate) fn map(&self, len: usize, prot: i32) -> Answer<Map> {
        let fd = self.0.fd();
        // SAFETY: the kernel picks a free place.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, libc::MAP_SHARED, fd, 0) };
        let arguments = format!("NULL, {len}, {}, MAP_SHARED, {fd}, 0", protection(prot));
        let at = shown("mmap", &arguments, at as i64, |at| format!("{at:#x}"))?;
        Ok(Map { at: at as usize, len })
    }

    /// What fdinfo says that only the device knows.
    pub(crate) fn fdinfo(&self) -> Result<String> {
        let own = self.0.fdinfo()?.join(", ").replace('\t', " ");
        Ok(format!("/proc/{}/fdinfo/{}: {own}", std::process::id(), self.0.fd()))
    }

    fn pinning(&self, command: u32, name: &str, decode: impl Fn(i64) -> String) -> Answer {
        let pin = abi::Pin { offset: 0, len: 0 };
        self.ioctl(
            command,
            &raw const pin as usize,
            &format!("{name}, {{offset=0, len=0}}"),
            decode,
        )
    }

    fn ioctl(
        &self,
        command: u32,
        argument: usize,
        arguments: &str,
        decode: impl Fn(i64) -> String,
    ) -> Answer {
        let result = self.0.ioctl("ioctl", command, argument as u64).unwrap_or(-1);
        shown("ioctl", &format!("{}, {arguments}", self.0.fd()), result, decode)
    }
}

impl From<OwnedFd> for Region {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor.into())
    }
}

impl AsFd for Region {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A mapping of a region.
#[derive(Debug)]
pub(crate) struct Map {
    at: usize,
    len: usize,
}

impl Map {
    /// Stores bytes from the start; the mapping must be writable.
    pub(crate) fn write(&self, bytes: &[u8]) {
        stage::action(&format!("stores {:?} at {:#x}", String::from_utf8_lossy(bytes), self.at));
        assert!(bytes.len() <= self.len, "{} bytes into a mapping of {}", bytes.len(), self.len);
        for (place, byte) in (self.at..).zip(bytes) {
            // SAFETY: the place lies in this mapping. Volatile, for other processes read it.
            unsafe { std::ptr::with_exposed_provenance_mut::<u8>(place).write_volatile(*byte) };
        }
    }

    /// Loads bytes from the start; the mapping must be readable.
    pub(crate) fn read(&self, count: usize) -> Vec<u8> {
        assert!(count <= self.len, "{count} bytes of a mapping of {}", self.len);
        // SAFETY: the places lie in this mapping. Volatile, for other processes and the kernel
        // change them.
        let load =
            |place| unsafe { std::ptr::with_exposed_provenance::<u8>(place).read_volatile() };
        let bytes: Vec<u8> = (self.at..).take(count).map(load).collect();
        let content = if bytes.iter().all(|byte| *byte == 0) {
            format!("{count} bytes of zero")
        } else {
            format!("{:?}", String::from_utf8_lossy(&bytes))
        };
        stage::action(&format!("loads {content} from {:#x}", self.at));
        bytes
    }

    /// This mapping's line of `/proc/PID/maps`.
    pub(crate) fn line(&self) -> Result<String> {
        let path = format!("/proc/{}/maps", std::process::id());
        let maps = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let start = format!("{:x}-", self.at);
        let line = maps.lines().find(|line| line.trim_start_matches('0').starts_with(&start));
        line.map(str::to_owned).with_context(|| format!("{path} has no line for {:#x}", self.at))
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the range is this value's own and holds no Rust object.
        let result = i64::from(unsafe { libc::munmap(self.at as *mut _, self.len) });
        // A refusal is shown; nothing else could be done about it.
        let _ = shown("munmap", &format!("{:#x}, {}", self.at, self.len), result, decimal);
    }
}

fn protection(prot: i32) -> String {
    let names = [
        (libc::PROT_READ, "PROT_READ"),
        (libc::PROT_WRITE, "PROT_WRITE"),
        (libc::PROT_EXEC, "PROT_EXEC"),
    ];
    let held: Vec<&str> =
        names.iter().filter(|(bit, _)| prot & bit != 0).map(|(_, name)| *name).collect();
    if held.is_empty() { "PROT_NONE".to_owned() } else { held.join("|") }
}
