// SPDX-License-Identifier: MIT OR Apache-2.0
//! A thread's descriptor, opened again: where a sandbox around the supervisor forbids
//! pidfd_getfd(2), as Docker's default profile does.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, Result};

use super::file_status::{FileStatus, status_flags};

/// The memory devices that may stand for ours at its path, by their minor numbers: null and full.
const NODES: [u32; 2] = [3, 7];

/// A descriptor of the same file as this one of a thread. A file is opened only where that has no
/// side effect: memfds, which lie on the file system of this `st_dev`, and the devices that stand
/// for ours, in the mode of the thread's descriptor. Others are opened with O_PATH, to inspect
/// only: to open a FIFO waits for its other end, and a terminal may become the supervisor's own.
///
/// # Errors
/// EBADF: the thread has no such descriptor. ESRCH: it is gone. EACCES: it may not be looked at.
/// EWOULDBLOCK: somebody has a lease on the memory (F_SETLEASE).
pub(super) fn open_alike(tid: i32, fd: RawFd, memfds: u64) -> Result<OwnedFd> {
    let looking = rustix::fs::open(
        format!("/proc/{tid}/fd/{fd}"),
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|error| if error == Errno::NOENT { Errno::BADF } else { error })?;
    let flags = status_flags(tid, fd)?;
    let file = FileStatus::of(&looking)?;
    if flags.contains(OFlags::PATH) || !is_harmless(&file, memfds) {
        return Ok(looking);
    }
    // Through our own descriptor: the thread's number may refer to another thread by now.
    let kept = flags & (OFlags::RWMODE | OFlags::APPEND | OFlags::NONBLOCK);
    let opened = rustix::fs::open(
        format!("/proc/self/fd/{}", looking.as_raw_fd()),
        kept | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK,
        Mode::empty(),
    )?;
    if !kept.contains(OFlags::NONBLOCK) {
        rustix::fs::fcntl_setfl(&opened, kept & OFlags::APPEND)?;
    }
    Ok(opened)
}

/// Whether this is a memfd, or a device that stands for ours. Its path tells nothing: in a mount
/// namespace of its own a program has any file at any path.
fn is_harmless(file: &FileStatus, memfds: u64) -> bool {
    let number = |minor: &u32| file.number == rustix::fs::makedev(1, *minor);
    let is_node = file.is_character_device && NODES.iter().any(number);
    let is_regular = FileType::from_raw_mode(file.mode) == FileType::RegularFile;
    is_node || is_regular && file.device == memfds
}

#[cfg(test)]
mod tests {
    use super::open_alike;
    use rustix::fs::{MemfdFlags, Mode, OFlags};
    use rustix::mount::MountPropagationFlags;
    use rustix::thread::UnshareFlags;
    use std::os::fd::{AsRawFd, OwnedFd};

    fn memfd() -> OwnedFd {
        rustix::fs::memfd_create(c"alike", MemfdFlags::CLOEXEC).expect("a memfd")
    }

    fn alike(fd: &OwnedFd) -> OFlags {
        let tid = rustix::thread::gettid().as_raw_pid();
        let device = rustix::fs::fstat(memfd()).expect("it is open").st_dev;
        let opened = open_alike(tid, fd.as_raw_fd(), device).expect("our own");
        rustix::fs::fcntl_getfl(&opened).expect("it is open")
    }

    #[test]
    fn memfds_and_the_node_are_opened_in_their_mode() {
        let memory = memfd();
        let mode = OFlags::RWMODE | OFlags::NONBLOCK | OFlags::APPEND | OFlags::PATH;
        assert_eq!(alike(&memory) & mode, OFlags::RDWR);
        let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let full = rustix::fs::open("/dev/full", flags, Mode::empty()).expect("it is there");
        assert_eq!(alike(&full) & mode, OFlags::WRONLY | OFlags::NONBLOCK);
        let zero = rustix::fs::open("/dev/zero", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        assert_eq!(alike(&zero.expect("it is there")) & mode, OFlags::PATH);
    }

    #[test]
    fn a_fifo_at_a_memfds_path_is_looked_at_alone() {
        let root = std::env::temp_dir().join(format!("ashmem-alike-{}", std::process::id()));
        std::fs::create_dir_all(root.join("proc")).expect("a folder");
        let inside = root.clone();
        // In a mount namespace and with a root directory of its own, as a program may have.
        let look = std::thread::spawn(move || {
            // SAFETY: nothing of this thread's is shared that others need.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS)? };
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            rustix::mount::mount_change("/", private)?;
            let fifo = inside.join("memfd:x");
            rustix::mount::mount_bind_recursive("/proc", inside.join("proc"))?;
            rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, Mode::RUSR | Mode::WUSR)?;
            rustix::process::chroot(&inside)?;
            let flags = OFlags::RDWR | OFlags::CLOEXEC;
            let fifo = rustix::fs::open("/memfd:x", flags, Mode::empty())?;
            Ok::<_, rustix::io::Errno>(alike(&fifo))
        });
        let flags = look.join().expect("it ends");
        std::fs::remove_file(root.join("memfd:x")).ok();
        std::fs::remove_dir_all(&root).expect("it was ours");
        match flags {
            Ok(flags) => assert!(flags.contains(OFlags::PATH), "it was opened: {flags:?}"),
            Err(error) => eprintln!("skipped: only root has a root directory of its own: {error}"),
        }
    }
}
