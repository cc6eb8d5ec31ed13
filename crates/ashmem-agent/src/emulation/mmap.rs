// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mappings of a region: the device's checks, and then the kernel's own mmap of the memfd.

use std::os::fd::{AsFd, OwnedFd};

use ashmem_core::region::Prot;
use ashmem_core::store::Store;
use rustix::fs::{OFlags, SealFlags};
use rustix::io::{Errno, Result};

use crate::emulation::Tenant;
use crate::emulation::descriptor::FdKind;
use crate::emulation::descriptor::InspectedFd;
use crate::emulation::outcome::Outcome;
use crate::ids::Key;
use crate::regions::memfd;
use crate::regions::region::{EmulatedRegion, host};
use crate::seccomp::syscalls::Mmap;
use crate::target_thread::{Target, read_implies_exec};

const MAP_TYPE: u32 = libc::MAP_TYPE as u32;
const MAP_PRIVATE: u32 = libc::MAP_PRIVATE as u32;
const PROT_WRITE: u32 = libc::PROT_WRITE as u32;

impl Tenant {
    /// mmap(2) of a descriptor.
    pub(crate) fn mmap(&mut self, target: &Target<'_>, call: Mmap) -> Outcome {
        let Some(inspected) = self.inspect(target, call.fd) else { return Outcome::CONTINUE };
        let FdKind::Region(key) = inspected.kind else { return Outcome::CONTINUE };
        if self.kernel_refuses(&inspected, call) {
            return Outcome::CONTINUE;
        }
        match self.map(target, &inspected, key, call) {
            Ok(()) if call.flags & MAP_TYPE == MAP_PRIVATE => Outcome::MapAnonymous(call),
            Ok(()) => Outcome::CONTINUE,
            Err(error) => Outcome::errno(error),
        }
    }

    /// The kernel's checks that come before the device's (MMAP-01, MMAP-17): a mapping that they
    /// refuse must not count.
    fn kernel_refuses(&mut self, inspected: &InspectedFd, call: Mmap) -> bool {
        let mode = inspected.flags & OFlags::RWMODE;
        let shared = call.flags & MAP_TYPE != MAP_PRIVATE;
        let writes = call.prot & PROT_WRITE != 0;
        call.len == 0
            || self.table.arena().page_size().offset_in(call.offset) != 0
            || call.flags & MAP_TYPE == 0
            || mode == OFlags::WRONLY
            || (shared && writes && mode != OFlags::RDWR)
    }

    fn map(
        &mut self,
        target: &Target<'_>,
        inspected: &InspectedFd,
        key: Key,
        call: Mmap,
    ) -> Result<()> {
        let Some((region, arena)) = self.table.region(key) else { return Ok(()) };
        let page = arena.page_size();
        let mut prot = Prot::from_bits(call.prot);
        if prot.contains(Prot::READ)
            && !region.facts.prot_mask().contains(Prot::EXEC)
            && read_implies_exec(target.tid())
        {
            prot = Prot::from_bits(prot.bits() | Prot::EXEC.bits());
        }
        let len = page.align(call.len);
        // A length that rounds to nothing is longer than any region.
        if len == 0 {
            return Err(Errno::NOMEM);
        }
        let mapping = region.state.map(&region.facts, page, len, prot).map_err(host)?;
        let size = region.facts.size();
        let newer = self.newer_memory(target, inspected, key);
        let memory = newer.as_ref().unwrap_or(&inspected.fd);
        if mapping.creates_backing {
            if i64::try_from(size).is_err() {
                return Err(Errno::INVAL);
            }
            if !can_promise(size, call.flags) {
                return Err(Errno::NOMEM);
            }
            memfd::set_size(memory, size)?;
        }
        let Some((region, _)) = self.table.region(key) else { return Ok(()) };
        let moved = newer.is_none() && region.inode != inspected.inode;
        if moved {
            // No process holds the newer memory any more: this one belongs to the region from now
            // on.
            region.inode = inspected.inode;
            make_like_first(memory, region)?;
        }
        region.state.set_mapped(&region.facts);
        if mapping.creates_backing || moved {
            self.table.note_mapped(key);
        }
        Ok(())
    }

    /// Puts the memory that the region's other mappings show behind the caller's descriptor, if
    /// that still has an older one: it has one if the name was set through another descriptor.
    fn newer_memory(
        &mut self,
        target: &Target<'_>,
        inspected: &InspectedFd,
        key: Key,
    ) -> Option<OwnedFd> {
        if self.table.region(key)?.0.inode == inspected.inode {
            return None;
        }
        let newer = memfd::reopen(self.descriptor_of(key)?, inspected.flags).ok()?;
        self.replace(target, inspected.number, &newer).ok()?;
        Some(newer)
    }
}

/// Gives another memory of a region the size and seals of the first one.
fn make_like_first(memory: impl AsFd, region: &EmulatedRegion) -> Result<()> {
    let seals = rustix::fs::fcntl_get_seals(&memory)?;
    if region.facts.is_mapped() && !seals.contains(SealFlags::GROW) {
        memfd::set_size(&memory, region.facts.size())?;
    }
    if !region.facts.prot_mask().contains(Prot::WRITE) {
        memfd::forbid_writing(&memory)?;
    }
    Ok(())
}

/// Whether the system would commit a region's whole size at once, as it does for the driver
/// (SIZE-10, MMAP-28). A memfd commits only touched pages, so this applies the same rule, and
/// reserves nothing.
fn can_promise(size: u64, flags: u32) -> bool {
    /// Smaller sizes pass on every system, and the files below need not be read.
    const SMALL: u64 = 64 << 20;
    if size < SMALL {
        return true;
    }
    let policy = std::fs::read_to_string("/proc/sys/vm/overcommit_memory").unwrap_or_default();
    let memory = rustix::system::sysinfo();
    match policy.trim() {
        "1" => true,
        "2" => {
            let meminfo = std::fs::read("/proc/meminfo").unwrap_or_default();
            let value = |key| ashmem_proc::system::memory(&meminfo, key).unwrap_or(0);
            size <= value("CommitLimit").saturating_sub(value("Committed_AS"))
        }
        _ => {
            let all =
                (memory.totalram as u64 + memory.totalswap as u64) * u64::from(memory.mem_unit);
            flags & libc::MAP_NORESERVE as u32 != 0 || size <= all
        }
    }
}
