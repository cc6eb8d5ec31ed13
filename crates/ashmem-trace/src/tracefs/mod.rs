// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's trace file system: an instance of our own in it, its buffers, read raw.
//!
//! Nobody else's tracing is disturbed: every switch and every buffer is the instance's. It is
//! removed at the end, and by the next trace where this one was killed.

pub mod format;
pub mod instance;
pub mod page;
pub mod reader;

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// The trace file system, wherever it is to be had.
#[derive(Debug)]
pub struct Tracefs {
    root: PathBuf,
    /// Kept while the root is a mount of our own that no other process sees.
    _mount: Option<OwnedFd>,
}

/// Why the kernel's events are not to be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel was built without it.
    #[error("this kernel has no tracefs (CONFIG_TRACING): its events cannot be read")]
    Absent,
    /// The caller has not the right.
    #[error(
        "the kernel's events are root's to read ({what}: {error}): run as root (CAP_SYS_ADMIN), or \
         trace a program with `ashmem trace -- PROGRAM`, which needs no rights"
    )]
    NoRight {
        /// What was tried.
        what: String,
        /// What came back.
        error: io::Error,
    },
    /// The kernel is locked down.
    #[error(
        "the kernel is locked down ({mode}): it lets nobody read its events ({what}: {error}); \
         trace a program with `ashmem trace -- PROGRAM`, which asks the agent instead of the \
         kernel"
    )]
    LockedDown {
        /// What `/sys/kernel/security/lockdown` says.
        mode: String,
        /// What was tried.
        what: String,
        /// What came back.
        error: io::Error,
    },
    /// Something else.
    #[error("{what}: {error}")]
    Other {
        /// What was tried.
        what: String,
        /// What came back.
        error: io::Error,
    },
}

impl Error {
    /// An error of a file of tracefs's.
    pub(crate) fn of(what: impl Into<String>, error: io::Error) -> Self {
        let what = what.into();
        match (error.kind(), lockdown()) {
            // EINVAL: locked down, tracefs makes no files, and an instance without them is none.
            (io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput, Some(mode)) => {
                Self::LockedDown { mode, what, error }
            }
            (io::ErrorKind::PermissionDenied, None) => Self::NoRight { what, error },
            _ => Self::Other { what, error },
        }
    }
}

/// The mode the kernel is locked down to, where it keeps tracefs closed: `integrity` does not.
fn lockdown() -> Option<String> {
    let text = fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    let mode = text.split_once('[')?.1.split_once(']')?.0;
    (mode == "confidentiality").then(|| mode.to_owned())
}

impl Tracefs {
    /// Where it is mounted; where it is not, a mount that only this process can reach.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn find() -> Result<Self, Error> {
        for place in ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] {
            match fs::exists(Path::new(place).join("instances")) {
                Ok(true) => return Ok(Self { root: place.into(), _mount: None }),
                // Mounted, and not for us.
                Err(error)
                    if error.kind() == io::ErrorKind::PermissionDenied
                        && place == "/sys/kernel/tracing" =>
                {
                    return Err(Error::of(format!("looking into {place}"), error));
                }
                _ => {}
            }
        }
        let system = |what: &str, errno: Errno| match errno {
            Errno::NODEV => Error::Absent,
            other => Error::of(what, other.into()),
        };
        let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)
            .map_err(|errno| system("opening tracefs", errno))?;
        fsconfig_create(&context).map_err(|errno| system("setting tracefs up", errno))?;
        let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
            .map_err(|errno| system("mounting tracefs for this process", errno))?;
        let root = PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd()));
        fs::read_dir(root.join("instances"))
            .map_err(|error| Error::of("listing tracefs's instances", error))?;
        Ok(Self { root, _mount: Some(mount) })
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the kernel has these events: `ashmem`, `syscalls/sys_enter_ioctl`.
    pub fn has(&self, events: &str) -> bool {
        self.root.join("events").join(events).exists()
    }
}
