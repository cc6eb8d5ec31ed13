// SPDX-License-Identifier: MIT OR Apache-2.0
//! The memory of a region: a memfd, and the operations of the agent on it.
//!
//! The agent holds no descriptor of it between two requests: the memory belongs to the clients
//! alone, and is freed with the last of their descriptors and mappings.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use ashmem_core::abi::{DEFAULT_NAME, NAME_PREFIX};
use ashmem_core::range::Span;
use ashmem_core::store::PageSize;
use ashmem_inside::state;
use rustix::fs::inotify::{self, WatchFlags};
use rustix::fs::{FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags, Stat};
use rustix::io::{Errno, Result};

use crate::sys::kernel_is;
use crate::target_thread::link_of;

/// What stands before and behind a memfd's name in its link.
const LINK: (&[u8], &[u8]) = (b"/memfd:", b" (deleted)");
/// The longest name that the kernel takes (`NAME_MAX` less `memfd:`); a region's may be a little
/// longer.
const LONGEST_NAME: usize = 249;
/// `MFD_NOEXEC_SEAL`, from 6.3: hosts may require it, and no program executes a region.
const NO_EXECUTABLE: MemfdFlags = MemfdFlags::from_bits_retain(8);

/// `MFD_EXEC`, from 6.3: a mode whose `x` bits can be changed, which hold the mask then.
const EXECUTABLE: MemfdFlags = MemfdFlags::from_bits_retain(0x10);
/// The seals that fix a memfd's size. Where memfds hold the state of their regions, SET_SIZE adds
/// the one against growing, and the first mapping the other.
pub(crate) const SIZED: SealFlags = SealFlags::GROW.union(SealFlags::SHRINK);

/// Whether memfds hold the state of their regions.
static KEEPS_STATE: AtomicBool = AtomicBool::new(false);

/// From now on memfds hold the state of their regions, so that programs can find it themselves.
pub(crate) fn keep_state() {
    KEEPS_STATE.store(true, Ordering::Relaxed);
}

/// Whether memfds hold the state of their regions.
pub(crate) fn keeps_state() -> bool {
    KEEPS_STATE.load(Ordering::Relaxed)
}

/// The flags of a memfd that holds its region's state.
pub(crate) fn flags_of_state() -> MemfdFlags {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    if kernel_is(6, 3) { flags | EXECUTABLE } else { flags }
}

/// Whether the system lets memfds hold their regions' state: with `vm.memfd_noexec=2` it does not.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) fn can_keep_state() -> bool {
    create_with_state(b"probe").is_ok_and(|memory| {
        rustix::fs::fstat(memory).is_ok_and(|stat| state::is_region(stat.st_mode))
    })
}

fn create_with_state(name: &[u8]) -> Result<OwnedFd> {
    let memory = rustix::fs::memfd_create(name, flags_of_state())?;
    rustix::fs::fchmod(&memory, Mode::from_bits_retain(state::NEW_MODE))?;
    Ok(memory)
}

/// memfd_create(2): creates an empty memfd that mappings show under this name.
///
/// # Errors
/// EMFILE or ENFILE: no descriptor is free. ENOMEM.
pub fn create(name: &[u8]) -> Result<OwnedFd> {
    static KNOWS_NO_EXECUTABLE: AtomicBool = AtomicBool::new(true);
    let name = &name[..name.len().min(LONGEST_NAME)];
    if keeps_state() {
        return create_with_state(name);
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    if KNOWS_NO_EXECUTABLE.load(Ordering::Relaxed) {
        match rustix::fs::memfd_create(name, flags | NO_EXECUTABLE) {
            Err(Errno::INVAL) => KNOWS_NO_EXECUTABLE.store(false, Ordering::Relaxed),
            other => return other,
        }
    }
    rustix::fs::memfd_create(name, flags)
}

/// The name that mappings show.
pub(crate) fn shown_name(name: &[u8]) -> Vec<u8> {
    if name.is_empty() { DEFAULT_NAME.to_vec() } else { [NAME_PREFIX, name].concat() }
}

/// open(2): a descriptor of the same memory with this access mode and these status flags.
///
/// # Errors
/// EMFILE or ENFILE.
pub fn reopen(memory: OwnedFd, flags: OFlags) -> Result<OwnedFd> {
    let kept = flags & (OFlags::RWMODE | OFlags::APPEND | OFlags::NONBLOCK);
    if kept == OFlags::RDWR {
        return Ok(memory);
    }
    open_again(memory.as_fd(), kept)
}

fn open_again(memory: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd> {
    rustix::fs::open(path_of(memory), flags | OFlags::CLOEXEC, Mode::empty())
}

/// The path of a memfd, valid while the descriptor is open: so it is borrowed.
fn path_of(memory: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", memory.as_raw_fd())
}

/// Runs an operation with a writable descriptor: the device's requests need no access mode
/// (NUM-20), those of a memfd do.
fn writing<R>(memory: impl AsFd, run: impl FnOnce(&OwnedFd) -> Result<R>) -> Result<R> {
    run(&open_again(memory.as_fd(), OFlags::RDWR)?)
}

/// ftruncate(2): gives a memfd its size, and seals it; what `is_written` to it before is gone.
///
/// # Errors
/// EINVAL or EFBIG: no file can be that long. ENOMEM, ENOSPC. EPERM: a client has sealed it.
pub fn set_size(memory: impl AsFd, size: u64, is_written: bool) -> Result<()> {
    if is_written {
        resize(&memory, 0)?;
    }
    resize(&memory, size)?;
    // An empty one may still get a size.
    if size == 0 { Ok(()) } else { seal_size(memory) }
}

/// ftruncate(2): gives a memfd a size that no write changes. What was written to it before it had
/// one is gone.
///
/// # Errors
/// EINVAL or EFBIG: no file can be that long. EPERM: it has another size already.
pub(crate) fn give_size(memory: impl AsFd, size: u64) -> Result<()> {
    if rustix::fs::fcntl_get_seals(&memory)?.contains(SealFlags::GROW) {
        let is_same = rustix::fs::fstat(memory)?.st_size as u64 == size;
        return if is_same { Ok(()) } else { Err(Errno::PERM) };
    }
    resize(&memory, 0)?;
    resize(&memory, size)?;
    if size == 0 { Ok(()) } else { add_seals(memory, SealFlags::GROW) }
}

/// F_SEAL_GROW, F_SEAL_SHRINK: fixes a memfd's size.
///
/// # Errors
/// EPERM: a client has sealed the set of seals.
pub(crate) fn seal_size(memory: impl AsFd) -> Result<()> {
    add_seals(memory, SIZED)
}

/// ftruncate(2): gives a memfd a size.
///
/// # Errors
/// EINVAL or EFBIG: no file can be that long. EPERM: its size is sealed.
fn resize(memory: impl AsFd, size: u64) -> Result<()> {
    match rustix::fs::ftruncate(&memory, size) {
        Err(Errno::FBIG) => Err(Errno::INVAL),
        // Not open for writing; or longer than a file can be, which then fails again.
        Err(Errno::INVAL | Errno::BADF) => {
            writing(&memory, |memory| rustix::fs::ftruncate(memory, size))
        }
        other => other,
    }
}

/// FALLOC_FL_PUNCH_HOLE of the whole memfd.
///
/// # Errors
/// EPERM: it is sealed against writing.
pub fn empty(memory: impl AsFd) -> Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let all = i64::MAX as u64;
    match rustix::fs::fallocate(&memory, flags, 0, all) {
        Err(Errno::BADF) => writing(&memory, |memory| rustix::fs::fallocate(memory, flags, 0, all)),
        other => other,
    }
}

/// F_SEAL_FUTURE_WRITE: forbids writing by future mappings and by write(2), through any descriptor.
///
/// EPERM: a client has sealed the set of seals.
pub fn forbid_writing(memory: impl AsFd) -> Result<()> {
    add_seals(memory, SealFlags::FUTURE_WRITE)
}

/// F_SEAL_FUTURE_WRITE on a memfd that is no region: with the caller's own descriptor, whose access
/// mode the kernel checks.
///
/// # Errors
/// EPERM: the descriptor is not open for writing, or the memfd takes no seals.
pub fn forbid_writing_by(memory: impl AsFd) -> Result<()> {
    rustix::fs::fcntl_add_seals(memory, SealFlags::FUTURE_WRITE)
}

fn add_seals(memory: impl AsFd, seals: SealFlags) -> Result<()> {
    match rustix::fs::fcntl_add_seals(&memory, seals) {
        Err(Errno::PERM) => writing(&memory, |memory| rustix::fs::fcntl_add_seals(memory, seals)),
        other => other,
    }
}

/// F_GET_SEALS: whether its size cannot change any more: where memfds hold the state of their
/// regions, that it was mapped.
pub(crate) fn is_sealed(memory: impl AsFd) -> bool {
    rustix::fs::fcntl_get_seals(memory).is_ok_and(|seals| seals.contains(SIZED))
}

/// F_GET_SEALS: whether future mappings may write.
pub fn is_writable(memory: impl AsFd) -> bool {
    rustix::fs::fcntl_get_seals(memory)
        .is_ok_and(|seals| !seals.intersects(SealFlags::WRITE | SealFlags::FUTURE_WRITE))
}

/// inotify_add_watch(2): watches for the end of a memfd; returns its inode and the watch.
///
/// # Errors
/// ENOMEM: the user has too many inotify watches (`fs.inotify.max_user_watches`).
pub fn watch(inotify: impl AsFd, memory: impl AsFd) -> Result<(u64, i32)> {
    let inode = rustix::fs::fstat(&memory)?.st_ino;
    Ok((inode, watch_end(inotify, memory)?))
}

/// inotify_add_watch(2): watches for the end of a memfd whose inode is known; returns the watch.
///
/// # Errors
/// Those of [`watch`].
pub(crate) fn watch_end(inotify: impl AsFd, memory: impl AsFd) -> Result<i32> {
    // An inode without a name is never moved: the only event is the end of the watch itself
    // (IN_IGNORED).
    inotify::add_watch(inotify, path_of(memory.as_fd()), WatchFlags::MOVE_SELF)
        .map_err(|error| if error == Errno::NOSPC { Errno::NOMEM } else { error })
}

/// FALLOC_FL_PUNCH_HOLE: frees pages, which read as zeros afterwards.
///
/// # Errors
/// EPERM: the memory is sealed against writing.
pub fn punch(memory: impl AsFd, page: PageSize, span: Span) -> Result<()> {
    let (offset, len) = (span.first() * page.bytes(), span.pages() * page.bytes());
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match rustix::fs::fallocate(&memory, flags, offset, len) {
        Err(Errno::BADF) => {
            writing(&memory, |memory| rustix::fs::fallocate(memory, flags, offset, len))
        }
        other => other,
    }
}

/// readlink(2): a memfd's name; `None` for any other descriptor.
pub fn name(memory: impl AsFd) -> Option<Vec<u8>> {
    let link = link_of(memory).ok()?;
    Some(link.strip_prefix(LINK.0)?.strip_suffix(LINK.1)?.to_vec())
}

/// The file system that holds every memfd of this kernel, as `st_dev`.
///
/// # Errors
/// Those of [`create`].
pub fn device() -> Result<u64> {
    let Stat { st_dev, .. } = rustix::fs::fstat(create(b"probe")?)?;
    Ok(st_dev)
}
