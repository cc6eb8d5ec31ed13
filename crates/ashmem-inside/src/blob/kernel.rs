// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system calls that the blob makes, all through the gate, which the filter lets pass.

use crate::processor::{Stat, call, header, number};

const F_GETFD: u64 = 1;
/// Bytes of a set of signals.
const SIGNALS: u64 = 8;
const F_GETFL: u64 = 3;
const F_ADD_SEALS: u64 = 1033;
const F_GET_SEALS: u64 = 1034;

/// A call's result: a value, or an error number, negative.
pub(crate) type Returned = i64;

fn call3(number: u32, a: u64, b: u64, c: u64) -> Returned {
    call(number, [a, b, c, 0, 0, 0])
}

/// fstat(2).
pub(crate) fn fstat(fd: u64) -> Result<Stat, Returned> {
    let mut stat = core::mem::MaybeUninit::<Stat>::uninit();
    match call3(number::FSTAT, fd, stat.as_mut_ptr() as u64, 0) {
        // SAFETY: the kernel has filled the structure.
        0 => Ok(unsafe { stat.assume_init() }),
        error => Err(error),
    }
}

/// close(2).
pub(crate) fn close(fd: u64) {
    call3(number::CLOSE, fd, 0, 0);
}

/// ftruncate(2).
pub(crate) fn ftruncate(fd: u64, size: u64) -> Returned {
    call3(number::FTRUNCATE, fd, size, 0)
}

/// fchmod(2).
pub(crate) fn fchmod(fd: u64, mode: u32) -> Returned {
    call3(number::FCHMOD, fd, mode.into(), 0)
}

/// memfd_create(2).
pub(crate) fn memfd_create(name: *const u8, flags: u64) -> Returned {
    call3(number::MEMFD_CREATE, name as u64, flags, 0)
}

/// unshare(2): whether the process has one thread, and memory of its own: then the call changes
/// nothing, or else it fails.
pub(crate) fn has_one_thread() -> bool {
    const CLONE_THREAD: u64 = 0x1_0000;
    header().tells_threads != 0 && call3(number::UNSHARE, CLONE_THREAD, 0, 0) == 0
}

/// rt_sigprocmask(2): holds every signal back but those of a thread's own faults, until
/// [`restore_signals`] gets what this returns.
pub(crate) fn block_signals() -> Option<u64> {
    /// SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS.
    const FAULTS: u64 = 1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 30;
    let (mask, mut before) = (!FAULTS, 0_u64);
    let (new, old) = (core::ptr::from_ref(&mask) as u64, core::ptr::from_mut(&mut before) as u64);
    // SIG_SETMASK.
    let done = call(number::RT_SIGPROCMASK, [2, new, old, SIGNALS, 0, 0]);
    (done == 0).then_some(before)
}

/// rt_sigprocmask(2).
pub(crate) fn restore_signals(before: u64) {
    let new = core::ptr::from_ref(&before) as u64;
    call(number::RT_SIGPROCMASK, [2, new, 0, SIGNALS, 0, 0]);
}

/// dup3(2).
pub(crate) fn dup3(from: u64, to: u64, flags: u64) -> Returned {
    call3(number::DUP3, from, to, flags)
}

/// personality(2): the current one.
pub(crate) fn personality() -> u64 {
    call3(number::PERSONALITY, 0xffff_ffff, 0, 0) as u64
}

/// F_GETFL.
pub(crate) fn status_flags(fd: u64) -> Returned {
    call3(number::FCNTL, fd, F_GETFL, 0)
}

/// F_GET_SEALS.
pub(crate) fn seals(fd: u64) -> Returned {
    call3(number::FCNTL, fd, F_GET_SEALS, 0)
}

/// F_ADD_SEALS.
pub(crate) fn add_seals(fd: u64, seals: u32) -> Returned {
    call3(number::FCNTL, fd, F_ADD_SEALS, seals.into())
}

/// statx(2): the mount a descriptor lies on.
pub(crate) fn mount_of(fd: u64) -> Option<u64> {
    const AT_EMPTY_PATH: u64 = 0x1000;
    const STATX_MNT_ID: u64 = 0x1000;
    /// Where `stx_mnt_id` stands in 256 bytes.
    const AT: usize = 144 / 8;
    let mut room = [0_u64; 32];
    let path = c"".as_ptr() as u64;
    let room_at = room.as_mut_ptr() as u64;
    match call(number::STATX, [fd, path, AT_EMPTY_PATH, STATX_MNT_ID, room_at, 0]) {
        0 => room.get(AT).copied(),
        _ => None,
    }
}

/// F_GETFD.
pub(crate) fn descriptor_flags(fd: u64) -> Returned {
    call3(number::FCNTL, fd, F_GETFD, 0)
}

/// prlimit(2): how long a file of the calling process may be; `None` if that cannot be known.
pub(crate) fn file_size_limit() -> Option<u64> {
    const RLIMIT_FSIZE: u64 = 1;
    let mut limit = [0_u64; 2];
    let known = call(number::PRLIMIT, [0, RLIMIT_FSIZE, 0, limit.as_mut_ptr() as u64, 0, 0]) == 0;
    known.then_some(limit[0])
}

/// getpid(2).
pub(crate) fn process() -> u64 {
    call3(number::GETPID, 0, 0, 0) as u64
}

/// process_vm_readv(2): reads the program's own memory as the kernel does, where a bad address is
/// an error.
pub(crate) fn read_memory(process: u64, to: &mut [u8], from: u64) -> Returned {
    let local = [to.as_mut_ptr() as u64, to.len() as u64];
    let remote = [from, to.len() as u64];
    let (local, remote) = (local.as_ptr() as u64, remote.as_ptr() as u64);
    call(number::PROCESS_VM_READV, [process, local, 1, remote, 1, 0])
}

/// flock(2): LOCK_EX | LOCK_NB.
pub(crate) fn lock(fd: u64) -> Returned {
    call3(number::FLOCK, fd, 2 | 4, 0)
}

/// flock(2): LOCK_UN.
pub(crate) fn unlock(fd: u64) {
    call3(number::FLOCK, fd, 8, 0);
}

/// openat(2): the file behind a descriptor once more, with an open file of its own.
pub(crate) fn open_again(fd: u64, flags: u64) -> Option<u64> {
    /// AT_FDCWD.
    const HERE: u64 = -100_i64 as u64;
    const FOLDER: &[u8] = b"/proc/thread-self/fd/";
    const DIGITS: usize = 10;
    let mut path = [0_u8; FOLDER.len() + DIGITS + 1];
    path.iter_mut().zip(FOLDER).for_each(|(to, from)| *to = *from);
    let mut rest = fd as u32;
    // With as many zeros in front as it takes, the kernel would not know the number.
    let digits =
        core::iter::successors(Some(rest), |rest| Some(rest / 10).filter(|rest| *rest > 0));
    let count = digits.count();
    for digit in path.iter_mut().skip(FOLDER.len()).take(count).rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    u64::try_from(call(number::OPENAT, [HERE, path.as_ptr() as u64, flags, 0, 0, 0])).ok()
}
