// SPDX-License-Identifier: MIT OR Apache-2.0
//! The calling thread, accessed from outside: its memory, its descriptors, its rights.
//!
//! A thread is found by its number, which may belong to another thread by now: what was read is
//! valid only if [`crate::notification::Channel::is_waiting`] holds afterwards. [`Target`] checks
//! that where it matters.

pub(crate) mod fd_budget;
mod file_status;
pub(crate) mod inject_mmap;
pub(crate) mod next_stop;
mod opened_alike;
pub(crate) mod raised_limit;
pub(crate) mod registers;

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ashmem_proc::status::ProcessStatus;
use rustix::fs::OFlags;
use rustix::io::{Errno, Result};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

use self::fd_budget::FdBudget;
pub use self::file_status::FileStatus;
use self::file_status::status_flags;
use self::opened_alike::open_alike;
use crate::notification::{Channel, Injection};
use crate::sys::{last_errno, lock};

/// `PIDFD_THREAD`, from 6.9: a thread's own descriptor table, which may differ from its leader's.
const PIDFD_THREAD: u32 = libc::PIDFD_THREAD;
/// Handles that one tenant caches at most, one for each thread that called recently.
const HANDLES: usize = 256;
/// A page of the smallest size there is: memory is readable or not in units of at least this many
/// bytes.
const PAGE: u64 = 4096;

/// Cached handles of the threads that called recently. Each can be used without a lock: copying a
/// descriptor may wait for the caller.
pub struct Threads {
    handles: Mutex<HashMap<i32, Arc<CachedHandle>>>,
    /// The file system of every memfd, as `st_dev`.
    memfds: u64,
}

struct CachedHandle {
    handle: OwnedFd,
    /// The thread's descriptor that was a region at its last ioctl, if it was not mapped since; -1:
    /// none.
    region: AtomicI32,
    /// The thread's process; 0: not known yet.
    process: AtomicI32,
    /// Held as long as the handle is.
    _budget: FdBudget,
}

impl Threads {
    /// No handle yet; memfds are on the file system of this `st_dev`.
    pub fn new(memfds: u64) -> Self {
        Self { handles: Mutex::default(), memfds }
    }

    /// Drops every handle; each is only a cache.
    pub fn clear(&self) {
        let handles = std::mem::take(&mut *lock(&self.handles));
        drop(handles);
    }

    /// Whether this descriptor of a thread was a region at its last ioctl. The thread may have put
    /// another file there since: this only says which way of looking is likely to be the cheaper
    /// one.
    pub(crate) fn had_region_at(&self, tid: i32, fd: RawFd) -> bool {
        let handles = lock(&self.handles);
        handles.get(&tid).is_some_and(|cached| cached.region.load(Ordering::Relaxed) == fd)
    }

    /// A thread's ioctl was about this descriptor, which is a region; or about none (-1), and what
    /// it was before is forgotten.
    pub(crate) fn saw_region_at(&self, tid: i32, fd: RawFd) {
        if let Some(cached) = lock(&self.handles).get(&tid) {
            cached.region.store(fd, Ordering::Relaxed);
        }
    }

    /// The number of a waiting thread's process.
    ///
    /// # Errors
    /// ESRCH: it is gone.
    pub(crate) fn process(&self, tid: i32) -> Result<i32> {
        let cached = lock(&self.handles).get(&tid).map(Arc::clone);
        let Some(cached) = cached else { return leader(tid) };
        match cached.process.load(Ordering::Relaxed) {
            0 => {
                let process = leader(tid)?;
                cached.process.store(process, Ordering::Relaxed);
                Ok(process)
            }
            known => Ok(known),
        }
    }

    /// How many handles there are.
    pub fn len(&self) -> usize {
        lock(&self.handles).len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        lock(&self.handles).is_empty()
    }

    /// A copy of a thread's descriptor. The number may have passed to another thread before the
    /// handle was opened: `is_meant` is called afterwards, and returns whether it is still the
    /// intended thread.
    ///
    /// # Errors
    /// EBADF: it has none of this number. EPERM: it may not be looked at. ESRCH: it is gone.
    pub fn descriptor(
        &self,
        tid: i32,
        fd: RawFd,
        is_meant: impl FnOnce() -> bool,
    ) -> Result<OwnedFd> {
        let cached = lock(&self.handles).get(&tid).map(Arc::clone);
        if let Some(cached) = cached {
            let copy =
                || rustix::process::pidfd_getfd(&cached.handle, fd, PidfdGetfdFlags::empty());
            match once_there_is_room(copy) {
                // The thread of that handle is gone; another may bear its number now.
                Err(Errno::SRCH) => drop(lock(&self.handles).remove(&tid)),
                other => return other,
            }
        }
        let Handle { handle, is_exact } = once_there_is_room(|| Handle::open(tid))?;
        let copy = || rustix::process::pidfd_getfd(&handle, fd, PidfdGetfdFlags::empty());
        let copied = once_there_is_room(copy);
        let is_refused = matches!(copied, Err(Errno::PERM | Errno::NOSYS));
        let descriptor = if is_refused { open_alike(tid, fd, self.memfds) } else { copied };
        if !is_meant() {
            return Err(Errno::SRCH);
        }
        if is_exact && !is_refused {
            if self.len() >= HANDLES {
                self.clear();
            }
            if let Some(budget) = FdBudget::take() {
                let (region, process) = (AtomicI32::new(-1), AtomicI32::new(0));
                let cached = Arc::new(CachedHandle { handle, region, process, _budget: budget });
                lock(&self.handles).insert(tid, cached);
            }
        }
        descriptor
    }
}

/// Makes a descriptor. Where this process has no room for one, those of answers that are being
/// given come free in a moment: on a busy host many are given at once. A tenth of a second is
/// waited.
fn once_there_is_room<T>(make: impl Fn() -> Result<T>) -> Result<T> {
    const PAUSE: Duration = Duration::from_millis(2);
    for _ in 0..50 {
        match make() {
            Err(Errno::MFILE | Errno::NFILE) => thread::sleep(PAUSE),
            made => return made,
        }
    }
    make()
}

/// Closes a descriptor of a file that is not ours in a thread of its own: closing it may ask the
/// file's server, and wait for it.
pub(crate) fn close_elsewhere(fd: OwnedFd) {
    /// Threads that may wait so at once; beyond, the loop waits itself, and is replaced.
    const MOST: usize = 16;
    static CLOSING: AtomicUsize = AtomicUsize::new(0);
    if CLOSING.fetch_add(1, Ordering::Relaxed) < MOST {
        let close = move || {
            drop(fd);
            CLOSING.fetch_sub(1, Ordering::Relaxed);
        };
        if thread::Builder::new().name("close".into()).spawn(close).is_ok() {
            return;
        }
    } else {
        drop(fd);
    }
    CLOSING.fetch_sub(1, Ordering::Relaxed);
}

struct Handle {
    handle: OwnedFd,
    /// It refers to this thread, not only to its process: no later thread with this number can be
    /// mistaken for it.
    is_exact: bool,
}

impl Handle {
    fn open(tid: i32) -> Result<Self> {
        let pid = Pid::from_raw(tid).ok_or(Errno::SRCH)?;
        match rustix::process::pidfd_open(pid, PidfdFlags::from_bits_retain(PIDFD_THREAD)) {
            Err(Errno::INVAL) => {
                let leader = leader(tid)?;
                let pid = Pid::from_raw(leader).ok_or(Errno::SRCH)?;
                let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
                Ok(Self { handle, is_exact: leader == tid })
            }
            other => other.map(|handle| Self { handle, is_exact: true }),
        }
    }
}

/// A calling thread, while its call waits.
pub struct Target<'a> {
    channel: &'a dyn Channel,
    id: u64,
    tid: i32,
}

impl<'a> Target<'a> {
    /// The caller of a request.
    pub fn new(channel: &'a dyn Channel, id: u64, tid: i32) -> Self {
        Self { channel, id, tid }
    }

    /// Its request.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its number.
    pub fn tid(&self) -> i32 {
        self.tid
    }

    /// Whether it still waits for its answer.
    pub fn is_waiting(&self) -> bool {
        self.channel.is_waiting(self.id)
    }

    /// Puts a descriptor into the caller.
    ///
    /// # Errors
    /// Those of [`Channel::inject`].
    pub fn inject(&self, injection: Injection<'_>) -> Result<RawFd> {
        self.channel.inject(self.id, injection)
    }

    /// Reads memory, all or nothing.
    ///
    /// # Errors
    /// EFAULT: not readable. EPERM: it may not be looked at. ESRCH: the caller is gone.
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> Result<()> {
        let want = buffer.len();
        let got = self.read_some(address, buffer, |_| false)?;
        match got == want {
            true if self.is_waiting() => Ok(()),
            true => Err(Errno::SRCH),
            false => Err(Errno::FAULT),
        }
    }

    /// Reads a string without its NUL, at most `limit` bytes. Memory behind the NUL is not touched,
    /// so a string may end just before unmapped memory (NAME-05).
    ///
    /// # Errors
    /// Those of [`Target::read`].
    pub fn read_string(&self, address: u64, limit: usize) -> Result<Vec<u8>> {
        let string = self.peek_string(address, limit)?;
        if self.is_waiting() { Ok(string) } else { Err(Errno::SRCH) }
    }

    /// Reads a string as [`Target::read_string`] does, without a look at whether the caller still
    /// waits: it may be another thread's. Only for what has no effect unless the caller takes the
    /// answer, which it does only if it still waits.
    ///
    /// # Errors
    /// EFAULT: not readable. EPERM: it may not be looked at. ESRCH: the thread is gone.
    pub fn peek_string(&self, address: u64, limit: usize) -> Result<Vec<u8>> {
        let mut string = vec![0; limit];
        let got = self.read_some(address, &mut string, |read| read.contains(&0))?;
        match string[..got].iter().position(|byte| *byte == 0) {
            Some(end) => string.truncate(end),
            None if got < limit => return Err(Errno::FAULT),
            None => {}
        }
        Ok(string)
    }

    /// Writes to memory that the caller itself could write.
    ///
    /// # Errors
    /// EFAULT: not writable. Others as for [`Target::read`].
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<()> {
        if !self.channel.is_waiting(self.id) {
            return Err(Errno::SRCH);
        }
        let local =
            libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let remote = libc::iovec { iov_base: address as *mut _, iov_len: bytes.len() };
        // SAFETY: the local vector is only read; the remote one is the other process's matter.
        let got = unsafe { libc::process_vm_writev(self.tid, &local, 1, &remote, 1, 0) };
        match usize::try_from(got) {
            Ok(got) if got == bytes.len() => Ok(()),
            Ok(_) => Err(Errno::FAULT),
            Err(_) => Err(last_errno()),
        }
    }

    /// Reads until `enough`, or up to the first page that cannot be read. It makes one call for
    /// each page: in a vector of several the kernel may fail as a whole for the last byte.
    fn read_some(
        &self,
        address: u64,
        buffer: &mut [u8],
        enough: impl Fn(&[u8]) -> bool,
    ) -> Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            let at = address.checked_add(done as u64).ok_or(Errno::FAULT)?;
            let room = (PAGE - at % PAGE).min((buffer.len() - done) as u64) as usize;
            match read_memory(self.tid, at, &mut buffer[done..done + room]) {
                Ok(got) if got == room => done += room,
                Ok(_) => break,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
            if enough(&buffer[..done]) {
                break;
            }
        }
        Ok(done)
    }
}

/// process_vm_readv(2): reads a thread's memory into this buffer; returns how many bytes were read.
pub(crate) fn read_memory(tid: i32, address: u64, buffer: &mut [u8]) -> Result<usize> {
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let remote = libc::iovec { iov_base: address as *mut _, iov_len: buffer.len() };
    // SAFETY: the local vector is the buffer.
    let got = unsafe { libc::process_vm_readv(tid, &local, 1, &remote, 1, 0) };
    usize::try_from(got).map_err(|_| last_errno())
}

/// The number of a thread's process.
pub(crate) fn leader(tid: i32) -> Result<i32> {
    ProcessStatus::read(tid).and_then(|status| status.process()).ok_or(Errno::SRCH)
}

/// Whether a thread has CAP_SYS_ADMIN in the initial user namespace (PURGE-01).
pub fn is_host_administrator(tid: i32) -> bool {
    /// `PROC_USER_INIT_INO`: fixed in the kernel's ABI.
    const INITIAL_NAMESPACE: u64 = 0xefff_fffd;
    const CAP_SYS_ADMIN: u32 = 21;
    let initial = rustix::fs::stat(format!("/proc/{tid}/ns/user"))
        .is_ok_and(|namespace| namespace.st_ino == INITIAL_NAMESPACE);
    let effective = || ProcessStatus::read(tid).and_then(|status| status.capabilities());
    initial && effective().is_some_and(|caps| caps >> CAP_SYS_ADMIN & 1 == 1)
}

/// Whether a thread runs under the READ_IMPLIES_EXEC personality (PROT-07).
pub fn read_implies_exec(tid: i32) -> bool {
    const READ_IMPLIES_EXEC: u64 = 0x0040_0000;
    ashmem_proc::read(format!("/proc/{tid}/personality"))
        .ok()
        .and_then(|text| ashmem_proc::hexadecimal(&text))
        .is_some_and(|personality| personality & READ_IMPLIES_EXEC != 0)
}

/// Whether one of a thread's descriptors closes on exec.
///
/// # Errors
/// ESRCH where that cannot be seen.
pub fn closes_on_exec(tid: i32, fd: RawFd) -> Result<bool> {
    Ok(status_flags(tid, fd)?.contains(OFlags::CLOEXEC))
}

/// readlink(2) of one of this process's own descriptors.
pub(crate) fn link_of(fd: impl AsFd) -> Result<Vec<u8>> {
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    Ok(rustix::fs::readlink(path, Vec::new())?.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::once_there_is_room;
    use rustix::io::Errno;
    use std::cell::Cell;

    #[test]
    fn want_of_room_is_waited_out_and_nothing_else() {
        let tries = Cell::new(0);
        let nth = |result: fn(i32) -> Result<i32, Errno>| {
            tries.set(0);
            let made = once_there_is_room(|| {
                tries.set(tries.get() + 1);
                result(tries.get())
            });
            (made, tries.get())
        };
        let full_at_first = |tries| if tries < 4 { Err(Errno::MFILE) } else { Ok(tries) };
        assert_eq!(nth(full_at_first), (Ok(4), 4));
        assert_eq!(nth(|_| Err(Errno::BADF)), (Err(Errno::BADF), 1));
        let (made, tried) = nth(|_| Err(Errno::NFILE));
        assert!(made == Err(Errno::NFILE) && tried > 4, "it gives up: {made:?} after {tried}");
    }
}
