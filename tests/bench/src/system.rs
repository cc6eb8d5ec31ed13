// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system calls that are measured: as bare as a program can make them, each answer looked at.

use ashmem_core::abi;
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::time::Duration;
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
        let number =
            unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, self.0.as_ptr(), RDWR, 0) };
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
    answer("memfd_create", unsafe {
        libc::syscall(libc::SYS_memfd_create, name.as_ptr(), libc::MFD_CLOEXEC)
    })
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

    /// UNPIN of some pages.
    pub(crate) fn unpin_pages(self, first: u32, pages: u32) -> Answer<()> {
        self.pinning_pages("UNPIN", abi::UNPIN, first, pages).map(drop)
    }

    /// UNPIN of the whole region.
    pub(crate) fn unpin_all(self) -> Answer<()> {
        self.unpin_pages(0, 0)
    }

    /// PIN of the whole region.
    pub(crate) fn pin_all(self) -> Answer {
        self.pinning_pages("PIN", abi::PIN, 0, 0)
    }

    /// SET_PROT_MASK to what a region begins with.
    pub(crate) fn set_prot_all(self) -> Answer<()> {
        let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        self.ioctl("SET_PROT_MASK", abi::SET_PROT_MASK, all as usize).map(drop)
    }

    /// mmap(2), shared, read and write, with further flags, where the kernel likes (0) or at a
    /// place of ours.
    #[inline(always)]
    pub(crate) fn map(self, place: usize, len: usize, flags: i32) -> Answer<usize> {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | flags);
        // SAFETY: with MAP_FIXED callers name a place they reserved; else the kernel picks a free
        // one.
        let at = unsafe { libc::syscall(libc::SYS_mmap, place, len, prot, flags, self.0, 0_usize) };
        answer("mmap", at).map(|at| at as usize)
    }

    #[inline(always)]
    fn pinning(self, call: &'static str, command: u32, page: u32) -> Answer {
        self.pinning_pages(call, command, page, 1)
    }

    #[inline(always)]
    fn pinning_pages(self, call: &'static str, command: u32, first: u32, pages: u32) -> Answer {
        let pin = abi::Pin { offset: first * PAGE as u32, len: pages * PAGE as u32 };
        self.ioctl(call, command, &raw const pin as usize)
    }

    #[inline(always)]
    fn ioctl(self, call: &'static str, command: u32, argument: usize) -> Answer {
        // SAFETY: where the argument is a pointer, it points at what the request reads.
        answer(call, unsafe {
            libc::syscall(libc::SYS_ioctl, self.0, u64::from(command), argument)
        })
    }
}

/// Reserves addresses and makes them accessible to nobody, aligned as page tables are (2 MiB).
pub(crate) fn reserve(len: usize) -> Answer<usize> {
    const TABLE: usize = 2 << 20;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: the kernel picks a free place.
    let at = unsafe {
        libc::syscall(libc::SYS_mmap, 0_usize, len + TABLE, libc::PROT_NONE, flags, -1_i64, 0_usize)
    };
    answer("mmap of a reservation", at).map(|at| (at as usize).next_multiple_of(TABLE))
}

/// Memory of nobody else's, in small pages, of which none is there yet.
pub(crate) fn reserve_memory(len: usize) -> Answer<usize> {
    let (prot, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
    );
    // SAFETY: the kernel picks a free place.
    let at = unsafe { libc::syscall(libc::SYS_mmap, 0_usize, len, prot, flags, -1_i64, 0_usize) };
    let at = answer("mmap of memory", at)? as usize;
    // SAFETY: advice about the new mapping.
    let advised = unsafe { libc::syscall(libc::SYS_madvise, at, len, libc::MADV_NOHUGEPAGE) };
    answer("madvise", advised).map(|_| at)
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
    // SAFETY: the set is whole; a processor beyond it is ignored and the call below then refuses
    // the empty set.
    unsafe { libc::CPU_SET(processor, &mut set) };
    // SAFETY: the set's own size is passed.
    answer(
        "sched_setaffinity",
        unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) }.into(),
    )
    .map(drop)
}

/// The calling thread goes before all that have no or a lower real-time priority.
pub(crate) fn go_first(sched_priority: i32) -> Answer<()> {
    let parameters = libc::sched_param { sched_priority };
    // SAFETY: reads one structure and concerns the calling thread.
    let scheduled = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    answer("sched_setscheduler (a real-time priority, as root)", scheduled.into()).map(drop)
}

/// The clock of timers.
pub(crate) fn monotonic() -> Answer<Duration> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one structure.
    let read = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    answer("clock_gettime", read.into())
        .map(|_| Duration::new(now.tv_sec as u64, now.tv_nsec as u32))
}

/// Sleeps until that clock shows this.
pub(crate) fn sleep_until(wake: Duration) -> Answer<()> {
    let wake =
        libc::timespec { tv_sec: wake.as_secs() as i64, tv_nsec: wake.subsec_nanos().into() };
    // SAFETY: reads one structure; the time left is not asked for.
    let slept = unsafe {
        libc::syscall(
            libc::SYS_clock_nanosleep,
            libc::CLOCK_MONOTONIC,
            libc::TIMER_ABSTIME,
            &raw const wake,
            0_usize,
        )
    };
    answer("clock_nanosleep", slept).map(drop)
}

/// Another process like this one; 0 in it. To be called while there is one thread.
pub(crate) fn fork() -> Answer<i32> {
    // SAFETY: one thread, so that no lock is held by one that is not copied.
    let child = unsafe { libc::fork() };
    answer("fork", child.into()).map(|_| child)
}

/// Ends such a process at once.
pub(crate) fn end(status: i32) -> ! {
    // SAFETY: takes a number only.
    unsafe { libc::_exit(status) }
}

/// Waits for the end of a child; the signal that killed it, if one did.
pub(crate) fn wait_for(child: i32) -> Answer<Option<i32>> {
    let mut status = 0;
    // SAFETY: writes one number.
    answer("waitpid", unsafe { libc::waitpid(child, &raw mut status, 0) }.into())?;
    Ok(libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)))
}

/// The machine's memory, in bytes.
pub(crate) struct Memory {
    pub(crate) free: usize,
    pub(crate) shared: usize,
}

/// sysinfo(2).
pub(crate) fn memory() -> Answer<Memory> {
    // SAFETY: numbers may be zero.
    let mut info: libc::sysinfo = unsafe { std::mem::zeroed() };
    // SAFETY: writes one structure.
    answer("sysinfo", unsafe { libc::sysinfo(&raw mut info) }.into())?;
    let unit = info.mem_unit as usize;
    Ok(Memory { free: info.freeram as usize * unit, shared: info.sharedram as usize * unit })
}

/// Lets this process have so many descriptors, and makes the kernel's table of them that large at
/// once.
pub(crate) fn want_descriptors(count: usize) -> Answer<()> {
    let limit = libc::rlimit { rlim_cur: count as u64, rlim_max: count as u64 };
    // SAFETY: reads one structure.
    answer("setrlimit(NOFILE)", unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }.into())?;
    // SAFETY: takes numbers only; nothing is open at that number.
    let highest = answer("dup2", unsafe { libc::dup2(2, count as i32 - 1) }.into())?;
    Descriptor(highest).close()
}
