// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's own record of which of its code a task ran (Documentation/dev-tools/kcov.rst).

use std::ffi::CStr;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Where the kernel offers it.
const PATH: &CStr = c"/sys/kernel/debug/kcov";
/// `_IOR('c', 1, unsigned long)`: how many words the record has.
const INIT_TRACE: libc::c_ulong = 0x8008_6301;
/// `_IO('c', 100)`: the calling task is recorded from now on.
const ENABLE: libc::c_ulong = 0x6364;
/// `_IO('c', 101)`: and no longer.
const DISABLE: libc::c_ulong = 0x6365;
/// The kind of record: addresses.
const TRACE_PC: libc::c_ulong = 0;
/// Words of a record. What a task does beyond that is not recorded. Each fork copies the tables of
/// all of its pages.
const WORDS: usize = 1 << 14;

/// One record, made by one process and filled by a task of another, its child.
pub(crate) struct Kcov {
    file: i32,
    /// How many addresses follow, then the addresses.
    words: &'static [AtomicU64],
}

impl Kcov {
    /// A record, or why this kernel gives none.
    pub(crate) fn open() -> io::Result<Self> {
        // SAFETY: a NUL-terminated path.
        let file = unsafe { libc::open(PATH.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
        if file < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the request takes a number.
        if unsafe { libc::ioctl(file, INIT_TRACE as _, WORDS as libc::c_ulong) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: new memory at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), WORDS * 8, rights, libc::MAP_SHARED, file, 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: mapped with this many words, for the life of the program; they are read and
        // written as atomics only.
        Ok(Self { file, words: unsafe { std::slice::from_raw_parts(start.cast(), WORDS) } })
    }

    /// Begins to record what the calling thread does in the kernel.
    pub(crate) fn enable(&self) {
        // A thread that cannot be recorded leaves an empty record, which claims nothing.
        // SAFETY: the request takes a number.
        unsafe { libc::ioctl(self.file, ENABLE as _, TRACE_PC) };
    }

    /// Ends it. A thread's end does as well.
    pub(crate) fn disable(&self) {
        // SAFETY: the request takes a number.
        unsafe { libc::ioctl(self.file, DISABLE as _, 0) };
    }

    /// Forgets what was recorded.
    pub(crate) fn clear(&self) {
        if let Some(count) = self.words.first() {
            count.store(0, Relaxed);
        }
    }

    /// The addresses recorded, in order.
    pub(crate) fn addresses(&self) -> Vec<u64> {
        let Some((count, addresses)) = self.words.split_first() else { return Vec::new() };
        addresses
            .iter()
            .take(count.load(Relaxed) as usize)
            .map(|address| address.load(Relaxed))
            .collect()
    }
}

/// Does some work under a record, where there is one.
pub(crate) fn recorded(record: Option<&Kcov>, work: impl FnOnce()) {
    if let Some(record) = record {
        record.enable();
    }
    work();
    if let Some(record) = record {
        record.disable();
    }
}
