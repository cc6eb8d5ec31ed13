// SPDX-License-Identifier: MIT OR Apache-2.0
//! One installation at a time: a lock that leaves no file behind.

use std::os::fd::OwnedFd;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::machine::TargetMachine;
use crate::refusal::{Error, InstallRefusal};

/// Held as long as it lives; the kernel lets it go when the process ends, however it ends.
pub struct InstallLock(OwnedFd);

/// Every machine with kernels has it, and nobody else locks it.
const FOLDER: &str = "/lib/modules";

impl InstallLock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`Error::Busy`] if another process has it.
    pub fn take(machine: &TargetMachine) -> Result<Self, Error> {
        let path = machine.at(FOLDER);
        let failed = |errno: Errno| Error::file("locking", &path, errno.into());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = match rustix::fs::open(&path, flags, Mode::empty()) {
            Err(Errno::NOENT) => {
                return Err(InstallRefusal::new(
                    "no kernel is installed here: there is no /lib/modules",
                )
                .next("# install the kernel's modules, which are in its package")
                .into());
            }
            other => other.map_err(failed)?,
        };
        match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self(fd)),
            Err(Errno::WOULDBLOCK) => Err(Error::Busy),
            Err(errno) => Err(failed(errno)),
        }
    }
}

impl Drop for InstallLock {
    fn drop(&mut self) {
        // Closing it does the same; a child that is on its way may hold a copy for a moment.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}
