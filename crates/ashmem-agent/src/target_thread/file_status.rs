// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is known of a descriptor's file without touching it.

use std::os::fd::{AsFd, RawFd};

use ashmem_proc::fdinfo;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags};
use rustix::io::{Errno, Result};
use rustix::path;

/// What is known of a file without asking whoever serves it: fstat(2) on FUSE or NFS waits for an
/// answer of its server, statx(2) with AT_STATX_DONT_SYNC does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStatus {
    /// Its file system, as `st_dev`.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// Its size in bytes.
    pub size: u64,
    /// The blocks of memory or disk that it has.
    pub blocks: u64,
    /// The mount it was found on; 0 where the kernel does not say (before 5.8).
    pub mount: u64,
    /// The device that it is, if it is one, as `st_rdev`.
    pub number: u64,
    /// Its mode, as `st_mode`.
    pub mode: u32,
    /// Whether it is a character device.
    pub is_character_device: bool,
}

impl FileStatus {
    /// Of one of this process's own descriptors.
    ///
    /// # Errors
    /// Those of statx(2).
    pub fn of(fd: impl AsFd) -> Result<Self> {
        Self::read(fd, c"", AtFlags::EMPTY_PATH)
    }

    /// Of one of a thread's descriptors, which is not copied: closing a copy would run the file's
    /// flush, for which FUSE and NFS ask their servers.
    ///
    /// # Errors
    /// Those of statx(2): ENOENT where there is no such descriptor.
    pub fn of_descriptor(tid: i32, fd: RawFd) -> Result<Self> {
        Self::read(CWD, format!("/proc/{tid}/fd/{fd}"), AtFlags::empty())
    }

    /// Of a path; a link at its end is not followed.
    ///
    /// # Errors
    /// Those of statx(2).
    pub fn of_path(path: impl path::Arg) -> Result<Self> {
        Self::read(CWD, path, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Of a path, whatever a link at its end leads to.
    ///
    /// # Errors
    /// Those of statx(2).
    pub fn behind(path: impl path::Arg) -> Result<Self> {
        Self::read(CWD, path, AtFlags::empty())
    }

    fn read(dir: impl AsFd, path: impl path::Arg, flags: AtFlags) -> Result<Self> {
        let wanted = StatxFlags::TYPE
            | StatxFlags::MODE
            | StatxFlags::INO
            | StatxFlags::SIZE
            | StatxFlags::BLOCKS
            | StatxFlags::MNT_ID;
        let flags = flags | AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
        let found = rustix::fs::statx(dir, path, flags, wanted)?;
        let mode = u32::from(found.stx_mode);
        Ok(Self {
            device: rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            size: found.stx_size,
            blocks: found.stx_blocks,
            mount: found.stx_mnt_id,
            number: rustix::fs::makedev(found.stx_rdev_major, found.stx_rdev_minor),
            mode,
            is_character_device: FileType::from_raw_mode(mode) == FileType::CharacterDevice,
        })
    }
}

/// The flags of one of a thread's descriptors, O_CLOEXEC among them.
pub(super) fn status_flags(tid: i32, fd: RawFd) -> Result<OFlags> {
    let path = format!("/proc/{tid}/fdinfo/{fd}");
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|_| Errno::SRCH)?;
    let mut bytes = [0; 128];
    let got = rustix::io::read(file, &mut bytes)?;
    fdinfo::flags(&bytes[..got]).map(OFlags::from_bits_retain).ok_or(Errno::SRCH)
}
