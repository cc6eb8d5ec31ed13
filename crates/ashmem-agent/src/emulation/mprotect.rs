// SPDX-License-Identifier: MIT OR Apache-2.0
//! mprotect(2) and remap_file_pages(2) on mappings of regions.
//!
//! A seal enforces a mask without WRITE, and the kernel checks it. No seal exists for EXEC: a
//! program that maps a region whose mask has lost EXEC, and asks mprotect for it, is refused here
//! (MMAP-08).

use std::fs::File;
use std::io::{self, BufRead, BufReader};

use ashmem_core::region::Prot;
use ashmem_proc::maps;
use rustix::io::Errno;

use crate::emulation::Tenant;
use crate::emulation::outcome::Outcome;
use crate::target_thread::Target;

impl Tenant {
    /// mprotect(2) with PROT_EXEC.
    pub(crate) fn protect(&self, target: &Target<'_>, address: u64, len: u64) -> Outcome {
        // Programs that generate code call this often; the regions that they have are rarely
        // masked.
        if !self.withholds_exec() {
            return Outcome::CONTINUE;
        }
        let page = ashmem_core::store::Store::page_size(self.table().arena());
        let end = address.saturating_add(page.align(len));
        // Without the lock: the caller can hold up whoever reads its mappings.
        let Ok(inodes) = mapped_inodes(target.tid(), self.memfds, address, end) else {
            return Outcome::errno(Errno::NOMEM);
        };
        let mut table = self.table();
        for inode in inodes {
            let Some(key) = table.find(inode) else { continue };
            let Some((region, _)) = table.region(key) else { continue };
            if !region.facts.prot_mask().contains(Prot::EXEC) {
                return Outcome::errno(Errno::ACCESS);
            }
        }
        Outcome::CONTINUE
    }

    /// remap_file_pages(2): refused on every region (MMAP-20).
    pub(crate) fn remap(&self, target: &Target<'_>, address: u64, len: u64) -> Outcome {
        let end = address.saturating_add(len);
        let Ok(inodes) = mapped_inodes(target.tid(), self.memfds, address, end) else {
            return Outcome::errno(Errno::NOMEM);
        };
        let mut table = self.table();
        let ours = inodes.into_iter().any(|inode| table.find(inode).is_some());
        if ours { Outcome::errno(Errno::PERM) } else { Outcome::CONTINUE }
    }
}

/// The inodes on this file system that a thread has mapped between two addresses; none of a thread
/// that is gone, or may not be looked at.
///
/// # Errors
/// EMFILE, ENFILE, ENOMEM: they cannot be read now.
fn mapped_inodes(tid: i32, device: u64, from: u64, to: u64) -> io::Result<Vec<u64>> {
    let found = File::open(format!("/proc/{tid}/maps")).and_then(|file| {
        let lines = BufReader::new(file).split(b'\n');
        let inode = |line: Vec<u8>| inode_of(&line, device, from, to);
        lines.filter_map(|line| line.map(inode).transpose()).collect()
    });
    match found {
        Err(error) if is_want(&error) => Err(error),
        other => Ok(other.unwrap_or_default()),
    }
}

/// Whether this error is a want of descriptors or memory, which passes.
fn is_want(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM))
}

fn inode_of(line: &[u8], device: u64, from: u64, to: u64) -> Option<u64> {
    let mapping = maps::parse(line)?;
    (mapping.start < to && from < mapping.end && mapping.device == device).then_some(mapping.inode)
}

#[cfg(test)]
mod tests {
    use super::inode_of;

    #[test]
    fn a_line_of_maps_is_taken_apart() {
        let line = b"7f0000001000-7f0000003000 rw-s 00000000 00:01 1090                     \
                     /memfd:dev/ashmem (deleted)";
        assert_eq!(
            inode_of(line, rustix::fs::makedev(0, 1), 0x7f00_0000_2000, 0x7f00_0000_3000),
            Some(1090)
        );
        assert_eq!(
            inode_of(line, rustix::fs::makedev(0, 1), 0x7f00_0000_3000, 0x7f00_0000_4000),
            None
        );
        assert_eq!(
            inode_of(line, rustix::fs::makedev(8, 1), 0x7f00_0000_2000, 0x7f00_0000_3000),
            None
        );
    }
}
