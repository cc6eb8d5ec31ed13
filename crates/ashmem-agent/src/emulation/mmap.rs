// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mappings of a region: the device's checks, and then the kernel's own mmap of the memfd.

use std::os::fd::{AsFd, OwnedFd};

use ashmem_core::region::Prot;
use ashmem_core::store::Store;
use rustix::fs::OFlags;
use rustix::io::{Errno, Result};

use crate::emulation::Tenant;
use crate::emulation::decision::Decision;
use crate::emulation::descriptor::FdKind;
use crate::emulation::descriptor::InspectedFd;
use crate::emulation::memory::Shape;
use crate::emulation::outcome::Outcome;
use crate::ids::Key;
use crate::regions::memfd;
use crate::regions::region::host;
use crate::seccomp::syscalls::{Call, Mmap};
use crate::target_thread::{FileStatus, Target, read_implies_exec};

const MAP_TYPE: u32 = libc::MAP_TYPE as u32;
const MAP_PRIVATE: u32 = libc::MAP_PRIVATE as u32;
const PROT_WRITE: u32 = libc::PROT_WRITE as u32;

/// How often a mapping is decided anew because the region has changed meanwhile.
const TRIES: u32 = 16;

impl Tenant {
    /// mmap(2) of a descriptor.
    pub(crate) fn mmap(&self, target: &Target<'_>, call: Mmap) -> Decision {
        let continued = || Decision::of(Call::Mmap(call), Outcome::CONTINUE);
        // Most are of other files, which are not copied.
        if self.threads.had_region_at(target.tid(), call.fd) {
            // Many programs close it once it is mapped, and have another file there next.
            self.threads.saw_region_at(target.tid(), -1);
        } else if !self.is_region(target, call.fd) {
            return continued();
        }
        // A region whose mask cannot be read is not mapped: its maker may have withheld a right.
        let refused = || Decision::of(Call::Mmap(call), Outcome::errno(Errno::NOMEM));
        let Some(mut inspected) = self.inspect(target, call.fd) else {
            return if self.is_region(target, call.fd) { refused() } else { continued() };
        };
        let key = match inspected.kind {
            FdKind::Region(key) => key,
            FdKind::Unlisted => return refused(),
            _ => return continued(),
        };
        let outcome = if self.kernel_refuses(&inspected, call) {
            Outcome::CONTINUE
        } else {
            match self.map(target, &mut inspected, key, call) {
                Ok(()) if call.flags & MAP_TYPE == MAP_PRIVATE => Outcome::MapAnonymous(call),
                Ok(()) => Outcome::CONTINUE,
                Err(error) => Outcome::errno(error),
            }
        };
        Decision { descriptor: Some(inspected), ..Decision::of(Call::Mmap(call), outcome) }
    }

    /// The kernel's checks that come before the device's (MMAP-01, MMAP-17): a mapping that they
    /// refuse must not count.
    fn kernel_refuses(&self, inspected: &InspectedFd, call: Mmap) -> bool {
        let mode = inspected.flags & OFlags::RWMODE;
        let shared = call.flags & MAP_TYPE != MAP_PRIVATE;
        let writes = call.prot & PROT_WRITE != 0;
        call.len == 0
            || self.table().arena().page_size().offset_in(call.offset) != 0
            || call.flags & MAP_TYPE == 0
            || mode == OFlags::WRONLY
            || (shared && writes && mode != OFlags::RDWR)
    }

    /// Decides by the region's state, gives the memory the size and the seals that the mapping
    /// needs, and decides again: only what still holds then counts.
    fn map(
        &self,
        target: &Target<'_>,
        inspected: &mut InspectedFd,
        key: Key,
        call: Mmap,
    ) -> Result<()> {
        let page = self.table().arena().page_size();
        let mut prot = Prot::from_bits(call.prot);
        if prot.contains(Prot::READ)
            && !prot.contains(Prot::EXEC)
            && self.withholds_exec()
            && read_implies_exec(target.tid())
        {
            prot = Prot::from_bits(prot.bits() | Prot::EXEC.bits());
        }
        let len = page.align(call.len);
        // A length that rounds to nothing is longer than any region.
        if len == 0 {
            return Err(Errno::NOMEM);
        }
        for _ in 0..TRIES {
            let (shape, shown, creates) = {
                let mut table = self.settled(self.table(), key);
                let Some((region, _)) = table.region(key) else { return Ok(()) };
                let mapping = region.state.map(&region.facts, page, len, prot).map_err(host)?;
                (Shape::of(region), region.inode, mapping.creates_backing)
            };
            if creates {
                if i64::try_from(shape.size).is_err() {
                    return Err(Errno::INVAL);
                }
                if !can_promise(shape.size, call.flags) {
                    return Err(Errno::NOMEM);
                }
            }
            if shown != inspected.file.inode {
                self.bring_newer(target, inspected, key, shown);
                continue;
            }
            // The program has mapped it itself since the table was read: what was written counts.
            let by_itself = memfd::keeps_state() && memfd::is_sealed(inspected.copy()?);
            let Some(file) = shape.give(inspected.copy()?, inspected.file)? else {
                // Sealed with another size, by a request that came in between, or by the program.
                let is_known = if by_itself {
                    inspected.file = FileStatus::of(inspected.copy()?)?;
                    self.refresh(key, inspected.copy()?, &inspected.file)
                } else {
                    self.renew(target, inspected, key)?
                };
                if !is_known {
                    return Err(Errno::INVAL);
                }
                continue;
            };
            // Written to before there was a mapping: the driver refuses that, and shows zeros.
            let is_written = creates && !by_itself && file.blocks > 0;
            let mut table = self.table();
            let Some((region, _)) = table.region(key) else { return Ok(()) };
            if region.is_losing_pages
                || region.inode != shown
                || Shape::of(region) != shape
                || region.facts.is_mapped() == creates
            {
                continue;
            }
            region.state.set_mapped(&region.facts);
            region.is_losing_pages = is_written;
            if creates {
                table.note_mapped(key);
            }
            table.keep_memory(key, inspected.copy()?.as_fd());
            drop(table);
            if is_written {
                self.empty(inspected.copy()?, key);
            }
            return Ok(());
        }
        Err(Errno::INVAL)
    }

    /// Takes away what was written to a region before its first mapping.
    fn empty(&self, memory: &OwnedFd, key: Key) {
        let emptied = memfd::empty(memory);
        if let Some((region, _)) = self.table().region(key) {
            region.is_losing_pages = false;
        }
        self.wake_waiting();
        if let Err(error) = emptied {
            tracing::debug!(%error, "a region keeps what was written to it before it was mapped");
        }
    }
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
            let meminfo = ashmem_proc::read("/proc/meminfo").unwrap_or_default();
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
