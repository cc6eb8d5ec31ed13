//! The system calls that are measured: as bare as a program can make them, each answer looked at.

use ashmem_core::abi;
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::{ffi::CString, io, os::unix::ffi::OsStrExt};

/// The page size, in bytes.
pub(crate) const PAGE: usize = 4096;

/// A system call that was refused.
#[derive(Debug)]
pub(crate) struct Refused {
    call: &'static str,
    error: io::Error,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.call, self.error)
    }
}

impl std::error::Error for Refused {}

/// A system call's answer, or which was refused and why.
pub(crate) type Answer<T = i64> = Result<T, Refused>;

#[inline(always)]
pub(crate) fn answer(call: &'static str, value: i64) -> Answer {
    if value < 0 { Err(refused(call)) } else { Ok(value) }
}

#[cold]
fn refused(call: &'static str) -> Refused {
    Refused { call, error: io::Error::last_os_error() }
}

/// The device node, ready to be opened.
#[derive(Debug, Clone)]
pub(crate) struct Device(CString);

impl Device {
    /// The node at this path.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        Ok(Self(CString::new(path.as_os_str().as_bytes())?))
    }

    /// The device that every kernel has.
    pub(crate) fn null() -> Self {
        Self(c"/dev/null".into())
    }

    /// open(2), read and write.
    #[inline(always)]
    pub(crate) fn open(&self) -> Answer<Descriptor> {
        // SAFETY: the path is NUL-terminated.
        let number = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, self.0.as_ptr(), RDWR, 0) };
        answer("open of the device", number).map(Descriptor)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(std::ffi::OsStr::from_bytes(self.0.as_bytes()))
    }
}

const RDWR: i32 = libc::O_RDWR | libc::O_CLOEXEC;

/// memfd_create(2).
#[inline(always)]
pub(crate) fn memfd(name: &CStr) -> Answer<Descriptor> {
    // SAFETY: the name is NUL-terminated.
    answer("memfd_create", unsafe { libc::syscall(libc::SYS_memfd_create, name.as_ptr(), libc::MFD_CLOEXEC) })
        .map(Descriptor)
}

/// A descriptor's number. Closed by [`Descriptor::close`] alone, since closing is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Descriptor(i64);

impl From<i32> for Descriptor {
    fn from(number: i32) -> Self {
        Self(number.into())
    }
}

impl Descriptor {
    /// close(2).
    #[inline(always)]
    pub(crate) fn close(self) -> Answer<()> {
        // SAFETY: closes a number; no other owner of it exists in this program.
        answer("close", unsafe { libc::syscall(libc::SYS_close, self.0) }).map(drop)
    }

    /// ftruncate(2).
    #[inline(always)]
    pub(crate) fn truncate(self, size: usize) -> Answer<()> {
        // SAFETY: takes numbers only.
        answer("ftruncate", unsafe { libc::syscall(libc::SYS_ftruncate, self.0, size) }).map(drop)
    }

    /// SET_NAME.
    #[inline(always)]
    pub(crate) fn set_name(self, name: &CStr) -> Answer<()> {
        self.ioctl("SET_NAME", abi::SET_NAME, name.as_ptr() as usize).map(drop)
    }

    /// SET_SIZE, in bytes.
    #[inline(always)]
    pub(crate) fn set_size(self, size: usize) -> Answer<()> {
        self.ioctl("SET_SIZE", abi::SET_SIZE, size).map(drop)
    }

    /// GET_SIZE.
    #[inline(always)]
    pub(crate) fn size(self) -> Answer {
        self.ioctl("GET_SIZE", abi::GET_SIZE, 0)
    }

    /// UNPIN of one page.
    #[inline(always)]
    pub(crate) fn unpin(self, page: u32) -> Answer<()> {
        self.pinning("UNPIN", abi::UNPIN, page).map(drop)
    }

    /// PIN of one page.
    #[inline(always)]
    pub(crate) fn pin(self, page: u32) -> Answer {
        self.pinning("PIN", abi::PIN, page)
    }

    /// mmap(2), shared, read and write, with further flags, where the kernel likes (0) or at a place of ours.
    #[inline(always)]
    pub(crate) fn map(self, place: usize, len: usize, flags: i32) -> Answer<usize> {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | flags);
        // SAFETY: with MAP_FIXED callers name a place they reserved; else the kernel picks a free one.
        let at = unsafe { libc::syscall(libc::SYS_mmap, place, len, prot, flags, self.0, 0_usize) };
        answer("mmap", at).map(|at| at as usize)
    }

    #[inline(always)]
    fn pinning(self, call: &'static str, command: u32, page: u32) -> Answer {
        let pin = abi::Pin { offset: page * PAGE as u32, len: PAGE as u32 };
        self.ioctl(call, command, &raw const pin as usize)
    }

    #[inline(always)]
    fn ioctl(self, call: &'static str, command: u32, argument: usize) -> Answer {
        // SAFETY: where the argument is a pointer, it points at what the request reads.
        answer(call, unsafe { libc::syscall(libc::SYS_ioctl, self.0, u64::from(command), argument) })
    }
}

/// Reserves addresses and makes them accessible to nobody, aligned as page tables are (2 MiB).
pub(crate) fn reserve(len: usize) -> Answer<usize> {
    const TABLE: usize = 2 << 20;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: the kernel picks a free place.
    let at = unsafe { libc::syscall(libc::SYS_mmap, 0_usize, len + TABLE, libc::PROT_NONE, flags, -1_i64, 0_usize) };
    answer("mmap of a reservation", at).map(|at| (at as usize).next_multiple_of(TABLE))
}

/// munmap(2).
#[inline(always)]
pub(crate) fn unmap(at: usize, len: usize) -> Answer<()> {
    // SAFETY: callers name a mapping of theirs that holds no Rust object.
    answer("munmap", unsafe { libc::syscall(libc::SYS_munmap, at, len) }).map(drop)
}

/// Stores to the first byte of each page.
#[inline(always)]
pub(crate) fn touch(at: usize, len: usize) {
    for place in (at..at + len).step_by(PAGE) {
        // SAFETY: callers name a writable mapping of theirs that holds no Rust object.
        unsafe { std::ptr::with_exposed_provenance_mut::<u8>(place).write_volatile(1) };
    }
}

/// A system call that shares nothing with anybody.
#[inline(always)]
pub(crate) fn nothing() -> Answer<()> {
    // SAFETY: takes nothing and cannot fail.
    answer("getppid", unsafe { libc::syscall(libc::SYS_getppid) }).map(drop)
}

/// Keeps the calling thread on one processor.
pub(crate) fn stay_on(processor: usize) -> Answer<()> {
    // SAFETY: an all-zero set is an empty one.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is whole; a processor beyond it is ignored and the call below then refuses the empty set.
    unsafe { libc::CPU_SET(processor, &mut set) };
    // SAFETY: the set's own size is passed.
    answer("sched_setaffinity", unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) }.into()).map(drop)
}

/// Lets this process have so many descriptors, and makes the kernel's table of them that large at once.
pub(crate) fn want_descriptors(count: usize) -> Answer<()> {
    let limit = libc::rlimit { rlim_cur: count as u64, rlim_max: count as u64 };
    // SAFETY: reads one structure.
    answer("setrlimit(NOFILE)", unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }.into())?;
    // SAFETY: takes numbers only; nothing is open at that number.
    let highest = answer("dup2", unsafe { libc::dup2(2, count as i32 - 1) }.into())?;
    Descriptor(highest).close()
}
