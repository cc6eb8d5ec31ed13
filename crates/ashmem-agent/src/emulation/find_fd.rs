// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds a descriptor of a region: the agent holds none, its clients do.

use std::os::fd::{OwnedFd, RawFd};

use ashmem_proc::process::{descriptors, processes};

use crate::emulation::Tenant;
use crate::ids::Key;
use crate::target_thread::FileStatus;

impl Tenant {
    /// A copy of a client's descriptor of the memory that the region's mappings show; `None` if no
    /// visible process has one. It asks the last caller first, then every process.
    pub(crate) fn descriptor_of(&self, key: Key) -> Option<OwnedFd> {
        let (last_caller, inode) = {
            let mut table = self.table();
            let (region, _) = table.region(key)?;
            if let Some(kept) = region.kept_memory() {
                return kept.try_clone_to_owned().ok();
            }
            (region.last_caller, region.inode)
        };
        self.descriptor_if(last_caller.tid, last_caller.fd, inode).or_else(|| self.search(inode))
    }

    /// A copy of this descriptor if it is of this memory. It is looked at before it is copied, so
    /// that no file of others is ever copied, and closed.
    fn descriptor_if(&self, tid: i32, number: RawFd, inode: u64) -> Option<OwnedFd> {
        let is_meant = |file: FileStatus| file.device == self.memfds && file.inode == inode;
        FileStatus::of_descriptor(tid, number).is_ok_and(is_meant).then_some(())?;
        // Any thread with this number will do: the inode tells whether the file is the one.
        let fd = self.threads.descriptor(tid, number, || true).ok()?;
        FileStatus::of(&fd).is_ok_and(is_meant).then_some(fd)
    }

    /// A copy of any process's descriptor of this memory.
    pub(crate) fn search(&self, inode: u64) -> Option<OwnedFd> {
        let others = processes().into_iter().filter(|pid| *pid != std::process::id() as i32);
        others
            .flat_map(|pid| descriptors(pid).into_iter().map(move |number| (pid, number)))
            .find_map(|(pid, number)| self.descriptor_if(pid, number, inode))
    }
}
