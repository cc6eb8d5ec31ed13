// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds a descriptor of a region: the agent holds none, its clients do.

use std::os::fd::{OwnedFd, RawFd};

use ashmem_proc::process::{descriptor_stat, descriptors, processes};

use crate::emulation::Tenant;
use crate::ids::Key;

impl Tenant {
    /// A copy of a client's descriptor of the memory that the region's mappings show; `None` if no
    /// visible process has one. It asks the last caller first, then every process.
    pub(crate) fn descriptor_of(&mut self, key: Key) -> Option<OwnedFd> {
        let (region, _) = self.table.region(key)?;
        let (last_caller, inode) = (region.last_caller, region.inode);
        self.descriptor_if(last_caller.tid, last_caller.fd, inode).or_else(|| self.search(inode))
    }

    fn descriptor_if(&mut self, tid: i32, number: RawFd, inode: u64) -> Option<OwnedFd> {
        // Any thread with this number will do: the inode tells whether the file is the one.
        let fd = self.threads.descriptor(tid, number, || true).ok()?;
        let stat = rustix::fs::fstat(&fd).ok()?;
        (stat.st_dev == self.table.device() && stat.st_ino == inode).then_some(fd)
    }

    /// A copy of any process's descriptor of this memory.
    pub(crate) fn search(&mut self, inode: u64) -> Option<OwnedFd> {
        let device = self.table.device();
        for pid in processes().into_iter().filter(|pid| *pid != std::process::id() as i32) {
            for number in descriptors(pid) {
                let Some(stat) = descriptor_stat(pid, number) else { continue };
                if stat.st_dev == device
                    && stat.st_ino == inode
                    && let Some(fd) = self.descriptor_if(pid, number, inode)
                {
                    return Some(fd);
                }
            }
        }
        None
    }
}
