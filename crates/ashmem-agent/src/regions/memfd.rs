//! The memory of a region: a memfd, and the few things the agent does to one.
//!
//! The agent never keeps a descriptor of it between two requests: the memory belongs to its clients alone and dies with
//! the last of their descriptors and mappings.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use ashmem_core::pins::Span;
use ashmem_core::store::PageSize;
use rustix::fs::inotify::{self, WatchFlags};
use rustix::fs::{FallocateFlags, MemfdFlags, Mode, OFlags, SealFlags, Stat};
use rustix::io::{Errno, Result};

use crate::target::link_of;

/// What stands before a memfd's name in its link, and behind it.
const LINK: (&[u8], &[u8]) = (b"/memfd:", b" (deleted)");
/// The kernel takes names of up to this many bytes (`NAME_MAX` less `memfd:`); a region's may be a little longer.
const LONGEST_NAME: usize = 249;
/// `MFD_NOEXEC_SEAL`, from 6.3: hosts may demand it, and nobody executes a region as a program.
const NO_EXECUTABLE: MemfdFlags = MemfdFlags::from_bits_retain(8);

/// Makes an empty memory that mappings show under this name.
///
/// # Errors
/// EMFILE or ENFILE: no descriptor is free. ENOMEM.
pub fn create(name: &[u8]) -> Result<OwnedFd> {
    static KNOWS_NO_EXECUTABLE: AtomicBool = AtomicBool::new(true);
    let name = &name[..name.len().min(LONGEST_NAME)];
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    if KNOWS_NO_EXECUTABLE.load(Ordering::Relaxed) {
        match rustix::fs::memfd_create(name, flags | NO_EXECUTABLE) {
            Err(Errno::INVAL) => KNOWS_NO_EXECUTABLE.store(false, Ordering::Relaxed),
            other => return other,
        }
    }
    rustix::fs::memfd_create(name, flags)
}

/// A descriptor of the same memory with another access mode and other status flags.
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

/// The path by which the kernel finds a memory that has none, for as long as the descriptor is open: so it is borrowed.
fn path_of(memory: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", memory.as_raw_fd())
}

/// Runs something that takes the right to write with a descriptor that has it: the device's requests ask for no right
/// (NUM-20), memfd's do.
fn writing<R>(memory: impl AsFd, run: impl FnOnce(&OwnedFd) -> Result<R>) -> Result<R> {
    run(&open_again(memory.as_fd(), OFlags::RDWR)?)
}

/// Gives a memory its size for good.
///
/// # Errors
/// EINVAL or EFBIG: no file can be that long. ENOMEM, ENOSPC.
pub fn set_size(memory: impl AsFd, size: u64) -> Result<()> {
    match rustix::fs::ftruncate(&memory, size) {
        Err(Errno::FBIG) => Err(Errno::INVAL),
        // Not open for writing; or longer than a file can be, which comes again then.
        Err(Errno::INVAL | Errno::BADF) => writing(&memory, |memory| rustix::fs::ftruncate(memory, size)),
        other => other,
    }?;
    add_seals(memory, SealFlags::GROW | SealFlags::SHRINK)
}

/// Takes the right to write from every mapping and every write(2) to come, through whatever door.
///
/// # Errors
/// EPERM: a client has sealed the seals.
pub fn forbid_writing(memory: impl AsFd) -> Result<()> {
    add_seals(memory, SealFlags::FUTURE_WRITE)
}

/// The same for a memfd that is no region: with the descriptor's own right, which the seal takes there.
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

/// Whether mappings to come may write.
pub fn is_writable(memory: impl AsFd) -> bool {
    rustix::fs::fcntl_get_seals(memory).is_ok_and(|seals| !seals.intersects(SealFlags::WRITE | SealFlags::FUTURE_WRITE))
}

/// Watches for the end of a memory; its inode and the watch.
///
/// # Errors
/// ENOMEM: the user has too many inotify watches (`fs.inotify.max_user_watches`).
pub fn watch(inotify: impl AsFd, memory: impl AsFd) -> Result<(u64, i32)> {
    let inode = rustix::fs::fstat(&memory)?.st_ino;
    // An inode without a name is never moved: nothing is queued but the end of the watch itself (IN_IGNORED).
    let watch = inotify::add_watch(inotify, path_of(memory.as_fd()), WatchFlags::MOVE_SELF)
        .map_err(|error| if error == Errno::NOSPC { Errno::NOMEM } else { error })?;
    Ok((inode, watch))
}

/// Gives pages back to the system; they read as zeros from now on.
///
/// # Errors
/// EPERM: the memory is sealed against writing.
pub fn punch(memory: impl AsFd, page: PageSize, span: Span) -> Result<()> {
    let (offset, len) = (span.first() * page.bytes(), span.pages() * page.bytes());
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match rustix::fs::fallocate(&memory, flags, offset, len) {
        Err(Errno::BADF) => writing(&memory, |memory| rustix::fs::fallocate(memory, flags, offset, len)),
        other => other,
    }
}

/// A memfd's name; `None` for any other descriptor.
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
