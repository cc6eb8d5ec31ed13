// SPDX-License-Identifier: MIT OR Apache-2.0
//! A tenant: one program with all its descendants, or one container. Its regions are its own; no
//! request of another tenant finds them.

pub(crate) mod argument;
pub(crate) mod descriptor;
mod find_fd;
mod ioctl;
mod mmap;
mod mprotect;
mod open;
pub(crate) mod outcome;
mod purge;
mod restore;
mod stat;

use std::os::fd::{AsFd, OwnedFd, RawFd};

use ashmem_core::abi::{DEFAULT_NAME, NAME_PREFIX};
use rustix::fs::{FileType, OFlags};
use rustix::io::Result;

use self::descriptor::{FdKind, InspectedFd};
use crate::ids::Key;
use crate::journal::Entry;
use crate::notification::Injection;
use crate::regions::memfd;
use crate::regions::node::Device;
use crate::regions::region::{EmulatedRegion, LastCaller};
use crate::regions::table::RegionTable;
use crate::seccomp::filter::Fidelity;
use crate::target_thread::{Target, Threads, closes_on_exec};

/// A tenant's regions, and what its calls need.
pub struct Tenant {
    pub(crate) table: RegionTable,
    pub(crate) threads: Threads,
    pub(crate) device: Device,
    pub(crate) fidelity: Fidelity,
    /// Whether some region's mask has lost EXEC.
    pub(crate) exec_withheld: bool,
}

impl Tenant {
    /// Creates a tenant without regions.
    ///
    /// # Errors
    /// Those of [`RegionTable::new`].
    pub fn new(device: Device, fidelity: Fidelity) -> Result<Self> {
        Ok(Self {
            table: RegionTable::new()?,
            threads: Threads::default(),
            device,
            fidelity,
            exec_withheld: false,
        })
    }

    /// Its regions.
    pub fn table(&mut self) -> &mut RegionTable {
        &mut self.table
    }

    /// The threads that called recently.
    pub fn threads(&mut self) -> &mut Threads {
        &mut self.threads
    }

    /// Inspects one of the caller's descriptors. `None`: there is none, or it cannot be inspected;
    /// then the kernel runs the call, which it refuses or which does not concern the device.
    pub(crate) fn inspect(&mut self, target: &Target<'_>, number: RawFd) -> Option<InspectedFd> {
        self.inspect_naming(target, number, b"")
    }

    /// Inspects a descriptor for SET_NAME: an open of the node that becomes a region now gets its
    /// memory under that name.
    pub(crate) fn inspect_naming(
        &mut self,
        target: &Target<'_>,
        number: RawFd,
        name: &[u8],
    ) -> Option<InspectedFd> {
        if number < 0 {
            return None;
        }
        let fd = self.threads.descriptor(target.tid(), number, || target.is_waiting()).ok()?;
        let stat = rustix::fs::fstat(&fd).ok()?;
        // Most descriptors are neither a memfd nor a device, and need no further inspection.
        if stat.st_dev != self.table.device()
            && FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice
        {
            return None;
        }
        let flags = rustix::fs::fcntl_getfl(&fd).ok()?;
        let (inode, size) = (stat.st_ino, stat.st_size as u64);
        let inspected =
            |fd, kind| InspectedFd { fd, number, inode, size, flags, kind, is_named: false };
        if flags.contains(OFlags::PATH) {
            return Some(inspected(fd, FdKind::Foreign));
        }
        if stat.st_dev == self.table.device() {
            let Some(key) = self.table.find(stat.st_ino) else {
                return Some(inspected(fd, FdKind::Memfd));
            };
            if let Some((region, _)) = self.table.region(key) {
                region.last_caller = LastCaller { tid: target.tid(), fd: number };
            }
            return Some(inspected(fd, FdKind::Region(key)));
        }
        if self.device.is_placeholder(&fd, stat.st_dev, stat.st_ino) {
            return self.adopt(target, number, flags, name);
        }
        Some(inspected(fd, FdKind::Foreign))
    }

    /// Creates a region, whose memory only the returned descriptor holds; `opening` is the request
    /// that it answers.
    pub(crate) fn create(
        &mut self,
        opening: Option<u64>,
        last_caller: LastCaller,
        flags: OFlags,
        name: &[u8],
    ) -> Result<(OwnedFd, Key)> {
        if name.is_empty()
            && let Some((memory, key)) =
                self.table.admit_pooled(opening, || EmulatedRegion::new(last_caller))?
        {
            return Ok((memfd::reopen(memory, flags)?, key));
        }
        let memory = memfd::create(&shown_name(name))?;
        let key = self.table.admit(opening, &memory, EmulatedRegion::new(last_caller))?;
        Ok((memfd::reopen(memory, flags)?, key))
    }

    /// Turns an open of the node, which was not notified, into a region.
    fn adopt(
        &mut self,
        target: &Target<'_>,
        number: RawFd,
        flags: OFlags,
        name: &[u8],
    ) -> Option<InspectedFd> {
        let last_caller = LastCaller { tid: target.tid(), fd: number };
        let (fd, key) = self.create(None, last_caller, flags, name).ok()?;
        self.replace(target, number, &fd).ok()?;
        let inode = rustix::fs::fstat(&fd).ok()?.st_ino;
        Some(InspectedFd {
            fd,
            number,
            inode,
            size: 0,
            flags,
            kind: FdKind::Region(key),
            is_named: !name.is_empty(),
        })
    }

    /// Replaces the file behind a caller's descriptor; its close-on-exec flag stays.
    pub(crate) fn replace(&self, target: &Target<'_>, number: RawFd, fd: impl AsFd) -> Result<()> {
        let close_on_exec = closes_on_exec(target.tid(), number)?;
        target.inject(Injection { fd: fd.as_fd(), at: Some(number), close_on_exec }).map(drop)
    }

    /// Shows a region's name in future mappings. A memfd's name is fixed when it is created, so the
    /// caller's descriptor gets a new memfd, which replaces the old one if that is freed then. If
    /// it is not, other descriptors hold it, and since all must share one memory the caller gets
    /// the old one back: then the name is stored but not shown.
    pub(crate) fn show_name(
        &mut self,
        target: &Target<'_>,
        inspected: InspectedFd,
        key: Key,
        name: &[u8],
    ) {
        if inspected.is_named {
            return;
        }
        let fresh = memfd::create(&shown_name(name))
            .and_then(|memory| memfd::reopen(memory, inspected.flags));
        let Ok(fresh) = fresh else { return };
        if self.table.watch(&fresh, key).is_err() {
            return;
        }
        let InspectedFd { fd: old, inode, number, .. } = inspected;
        let replaced = self.replace(target, number, &fresh);
        drop((old, fresh));
        if self.table.is_dead(inode) && replaced.is_ok() {
            return;
        }
        if let Some((region, _)) = self.table.region(key) {
            region.inode = inode;
        }
        self.table.note(|| Entry::Shown { key, inode });
        self.table.publish();
        if replaced.is_ok()
            && let Some(old) = self.search(inode)
        {
            let _ = self.replace(target, number, old);
        }
    }
}

/// The name that mappings show.
fn shown_name(name: &[u8]) -> Vec<u8> {
    if name.is_empty() { DEFAULT_NAME.to_vec() } else { [NAME_PREFIX, name].concat() }
}
