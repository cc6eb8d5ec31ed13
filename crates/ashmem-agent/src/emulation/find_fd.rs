//! Finding a descriptor of a region: the agent keeps none, its clients have them.

use std::os::fd::{OwnedFd, RawFd};

use rustix::fs::Stat;

use crate::emulation::Origin;
use crate::ids::Key;

impl Origin {
    /// A copy of some client's descriptor of the memory that the region's mappings show; `None` if no process that can be
    /// seen has one. The last caller is asked first, then every process.
    pub(crate) fn descriptor_of(&mut self, key: Key) -> Option<OwnedFd> {
        let (region, _) = self.table.region(key)?;
        let (holder, inode) = (region.holder, region.inode);
        self.descriptor_if(holder.tid, holder.fd, inode).or_else(|| self.search(inode))
    }

    fn descriptor_if(&mut self, tid: i32, number: RawFd, inode: u64) -> Option<OwnedFd> {
        // Whoever has it will do: the inode says whether it is the one.
        let fd = self.threads.descriptor(tid, number, || true).ok()?;
        let stat = rustix::fs::fstat(&fd).ok()?;
        (stat.st_dev == self.table.device() && stat.st_ino == inode).then_some(fd)
    }

    /// A copy of any process's descriptor of this memory.
    pub(crate) fn search(&mut self, inode: u64) -> Option<OwnedFd> {
        let device = self.table.device();
        for pid in numbers_in("/proc").into_iter().filter(|pid| *pid != std::process::id() as i32) {
            for number in descriptors_of(pid) {
                let Some(stat) = stat_of(pid, number) else { continue };
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

/// The numbers of a thread's descriptors, the lowest first.
pub(crate) fn descriptors_of(tid: i32) -> Vec<RawFd> {
    let mut numbers = numbers_in(&format!("/proc/{tid}/fd"));
    numbers.sort_unstable();
    numbers
}

/// The status of what one of them refers to.
pub(crate) fn stat_of(tid: i32, number: RawFd) -> Option<Stat> {
    rustix::fs::stat(format!("/proc/{tid}/fd/{number}")).ok()
}

fn numbers_in(path: &str) -> Vec<i32> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
