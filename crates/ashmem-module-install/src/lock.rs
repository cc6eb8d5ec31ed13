// SPDX-License-Identifier: MIT OR Apache-2.0
//! One installation at a time: a lock that leaves no file behind.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::machine::TargetMachine;
use crate::refusal::{Error, InstallRefusal};

/// Held as long as it lives; the kernel lets it go when the process ends, however it ends.
pub struct InstallLock {
    file: OwnedFd,
    path: PathBuf,
}

/// Root's alone: whoever may open a file for reading may lock it, and hold everybody else up.
pub const FILE: &str = "/run/ashmem-module.lock";

impl InstallLock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`Error::Busy`] if another process has it.
    pub fn take(machine: &TargetMachine) -> Result<Self, Error> {
        if !machine.host.has("/lib/modules") {
            let refusal = "no kernel is installed here: there is no /lib/modules";
            return Err(InstallRefusal::new(refusal)
                .next("# install the kernel's modules, which are in its package")
                .into());
        }
        let path = machine.at(FILE);
        let failed = |errno: Errno| Error::file("locking", &path, errno.into());
        loop {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Err(Error::Busy),
                Err(errno) => return Err(failed(errno)),
            }
            // Whoever had it before has removed the file: then it is nobody else's lock.
            let ours = rustix::fs::fstat(&file).map_err(failed)?;
            let is_there = rustix::fs::lstat(&path)
                .is_ok_and(|there| (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino));
            if is_there {
                return Ok(Self { file, path });
            }
        }
    }
}

impl Drop for InstallLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        // Closing it does the same; a child that is on its way may hold a copy for a moment.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}
