// SPDX-License-Identifier: MIT OR Apache-2.0
//! The memory behind a region's descriptors: what size and seals it must have, and how another one
//! takes its place.
//!
//! A memfd's name is fixed when it is made, and its size once it is sealed. SET_NAME, and a
//! SET_SIZE that changes its mind, therefore put a new memfd behind the caller's descriptor. None
//! of this is done under the table's lock; what others did meanwhile is found out by looking at the
//! table again.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use ashmem_core::region::Prot;
use rustix::fs::SealFlags;
use rustix::io::{Errno, Result};

use crate::emulation::Tenant;
use crate::emulation::descriptor::{FdKind, InspectedFd};
use crate::ids::Key;
use crate::journal::Entry;
use crate::regions::memfd;
use crate::regions::memfd_state::{self, Stored};
use crate::regions::region::EmulatedRegion;
use crate::target_thread::{FileStatus, Target};

/// What the memory of a region must be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) size: u64,
    /// Whether the mask has WRITE.
    is_writable: bool,
}

/// What came of giving a memory a shape.
enum Imposed {
    /// It had the size already.
    Had(FileStatus),
    /// It has got it now.
    Given,
    /// It was sealed with another size.
    Refused,
}

impl Shape {
    pub(super) fn of(region: &EmulatedRegion) -> Self {
        let is_writable = region.facts.prot_mask().contains(Prot::WRITE);
        Self { size: region.facts.size(), is_writable }
    }

    /// Gives a memory this shape, and looks at it; `None` if it was sealed with another size.
    ///
    /// # Errors
    /// EINVAL: no file can be that long. ENOMEM, ENOSPC.
    pub(super) fn give(self, memory: impl AsFd, known: FileStatus) -> Result<Option<FileStatus>> {
        match self.impose(&memory, known)? {
            Imposed::Had(file) => Ok(Some(file)),
            // Another request may have given it another size since.
            Imposed::Given => {
                Ok(Some(FileStatus::of(&memory)?).filter(|file| file.size == self.size))
            }
            Imposed::Refused => Ok(None),
        }
    }

    /// Gives a memory this shape, whose status was `known` a moment ago.
    ///
    /// # Errors
    /// Those of [`Self::give`].
    fn impose(self, memory: impl AsFd, known: FileStatus) -> Result<Imposed> {
        let seals = rustix::fs::fcntl_get_seals(&memory)?;
        let is_open = !seals.contains(SealFlags::GROW);
        let given = if is_open && (self.size > 0 || known.size > 0) {
            memfd::set_size(&memory, self.size, known.blocks > 0).map(|()| Imposed::Given)
        } else {
            // A size that was looked at before the seals may be an older one.
            let is_known = known.size == self.size;
            let file = if is_known { known } else { FileStatus::of(&memory)? };
            if file.size != self.size {
                return Ok(Imposed::Refused);
            }
            // An empty one may still get a size.
            match seals.contains(memfd::SIZED) || is_open || self.size == 0 {
                true => Ok(Imposed::Had(file)),
                false => memfd::seal_size(&memory).map(|()| Imposed::Given),
            }
        };
        let imposed = match given {
            Err(Errno::PERM) => {
                let file = FileStatus::of(&memory)?;
                if file.size == self.size { Imposed::Had(file) } else { Imposed::Refused }
            }
            other => other?,
        };
        if !matches!(imposed, Imposed::Refused) && !seals.contains(SealFlags::FUTURE_WRITE) {
            self.protect(&memory)?;
        }
        Ok(imposed)
    }

    /// Gives a memory that nobody else knows yet this shape.
    ///
    /// # Errors
    /// EINVAL: no file can be that long. ENOMEM, ENOSPC.
    fn form(self, memory: impl AsFd) -> Result<()> {
        if self.size > 0 {
            memfd::set_size(&memory, self.size, false)?;
        }
        self.protect(memory)
    }

    /// Seals a memory against writing if the mask has no WRITE.
    fn protect(self, memory: impl AsFd) -> Result<()> {
        if self.is_writable { Ok(()) } else { memfd::forbid_writing(memory) }
    }
}

impl Tenant {
    /// Gives the memory behind the caller's descriptor the size that SET_SIZE has set: from now on
    /// it cannot grow by a write, and no mapping that the kernel makes of it reaches beyond.
    ///
    /// # Errors
    /// EINVAL: the program has mapped it itself meanwhile, with its older size.
    pub(super) fn show_size(
        &self,
        target: &Target<'_>,
        inspected: &mut InspectedFd,
        key: Key,
    ) -> Result<()> {
        let shape = {
            let mut table = self.table();
            let Some((region, _)) = table.region(key) else { return Ok(()) };
            // Another one is replaced when it is mapped.
            if region.facts.is_mapped() || region.inode != inspected.file.inode {
                return Ok(());
            }
            Shape::of(region)
        };
        // What cannot be done now is tried again by mmap, which can fail.
        let given = inspected.copy().and_then(|memory| {
            if !memfd::keeps_state() {
                let imposed = shape.impose(memory, inspected.file)?;
                return Ok(!matches!(imposed, Imposed::Refused));
            }
            match memfd::give_size(memory, shape.size) {
                Err(Errno::PERM) => Ok(false),
                // A size that no file can have is in the table alone.
                Ok(()) | Err(_) => Ok(true),
            }
        });
        if !matches!(given, Ok(false)) {
            self.show_state(inspected, key);
            return Ok(());
        }
        match self.renew(target, inspected, key) {
            Ok(false) if memfd::keeps_state() && inspected.copy().is_ok_and(memfd::is_sealed) => {
                Err(Errno::INVAL)
            }
            _ => Ok(()),
        }
    }

    /// Writes the mask, and whether the size is there, where programs read them that answer calls
    /// themselves.
    pub(super) fn show_state(&self, inspected: &InspectedFd, key: Key) {
        let inode = inspected.file.inode;
        let Ok(memory) = inspected.copy() else { return };
        let mut written = None;
        // Another thread's request may have changed it while it was written.
        while let Some(stored) = self.stored(key, inode)
            && written != Some(stored)
        {
            stored.write(memory);
            written = Some(stored);
        }
    }

    /// What this memory of a region is to say of it; `None`: it says nothing.
    fn stored(&self, key: Key, inode: u64) -> Option<Stored> {
        let mut table = self.table();
        let (region, _) = table.region(key)?;
        (memfd::keeps_state() && region.inode == inode).then(|| Stored::of(region))
    }

    /// Shows a region's name in future mappings: the caller's descriptor gets a new memfd, which
    /// replaces the old one if that is freed then. If it is not, other descriptors hold it, and
    /// since all must share one memory the caller gets the old one back: then the name is stored
    /// but not shown.
    pub(super) fn show_name(&self, target: &Target<'_>, inspected: &mut InspectedFd, key: Key) {
        if inspected.is_named {
            return;
        }
        let (old, number) = (inspected.file.inode, inspected.number);
        if !matches!(self.renew_withheld(target, inspected, key), Ok(true)) {
            return;
        }
        let fresh = inspected.file.inode;
        if self.choose(key, fresh, old, |is_dead| !is_dead(old)) {
            match self.search(old) {
                Some(memory) => {
                    let _ = self.replace(target, number, &memory);
                    if let Some(stored) = self.stored(key, old) {
                        stored.write(memory);
                    }
                }
                // Its last holder has just closed it.
                None => drop(self.choose(key, old, fresh, |is_dead| is_dead(old))),
            }
        }
        // Where the old one stays the region's, because its end was not told yet, the program
        // leaves the new one to us.
        self.show_state(inspected, key);
        inspected.close();
    }

    /// Makes `to` the memory that mappings show in place of `from`, if `from` still is, nothing was
    /// mapped and `wanted` holds, which can ask whether a memory is freed.
    fn choose(
        &self,
        key: Key,
        from: u64,
        to: u64,
        wanted: impl FnOnce(&mut dyn FnMut(u64) -> bool) -> bool,
    ) -> bool {
        let mut table = self.table();
        if !wanted(&mut |inode| table.is_dead(inode)) {
            return false;
        }
        let Some((region, _)) = table.region(key) else { return false };
        if region.facts.is_mapped() || region.inode != from {
            return false;
        }
        region.inode = to;
        table.release_unshown(key);
        table.note(|| Entry::Shown { key, inode: to });
        table.publish();
        true
    }

    /// Puts a new memory of the region's name, size and seals behind the caller's descriptor.
    /// Returns whether it did: nothing is done if the region was mapped meanwhile, or has another
    /// memory than the caller's.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM; those of [`Tenant::replace`].
    pub(super) fn renew(
        &self,
        target: &Target<'_>,
        inspected: &mut InspectedFd,
        key: Key,
    ) -> Result<bool> {
        let done = self.renew_withheld(target, inspected, key)?;
        if done {
            self.show_state(inspected, key);
            // Where nobody else had the older one, it has ended now.
            self.release();
            self.table().keep_memory(key, inspected.copy()?.as_fd());
        }
        Ok(done)
    }

    /// [`Self::renew`], but programs leave the new memory to us until its state is shown.
    fn renew_withheld(
        &self,
        target: &Target<'_>,
        inspected: &mut InspectedFd,
        key: Key,
    ) -> Result<bool> {
        let old = inspected.file.inode;
        let wanted = || {
            let mut table = self.table();
            let (region, _) = table.region(key)?;
            let name = region.state.given().map_or_else(Vec::new, |name| name.to_vec());
            let is_free = !region.facts.is_mapped() && region.inode == old;
            is_free.then(|| (memfd::shown_name(&name), Shape::of(region), Stored::of(region)))
        };
        let Some((name, shape, stored)) = wanted() else { return Ok(false) };
        if memfd::keeps_state() {
            // From now on the program leaves the region to the supervisor; if it has sealed the
            // memory before, it has mapped it.
            memfd_state::withdraw(inspected.copy()?)?;
            if memfd::is_sealed(inspected.copy()?) {
                inspected.file = FileStatus::of(inspected.copy()?)?;
                self.refresh(key, inspected.copy()?, &inspected.file);
                self.show_state(inspected, key);
                return Ok(false);
            }
        }
        let memory = memfd::create(&name)?;
        if memfd::keeps_state() {
            // A size that no file can have is in the table alone.
            let _ = memfd::give_size(&memory, shape.size);
            stored.withhold(&memory)?;
            shape.protect(&memory)?;
        } else {
            // A size that no file can have is told by mmap.
            match shape.form(&memory) {
                Ok(()) | Err(Errno::INVAL) => {}
                Err(error) => return Err(error),
            }
        }
        let file = FileStatus::of(&memory)?;
        let fresh = memfd::reopen(memory, inspected.flags)?;
        {
            let mut table = self.table();
            match table.region(key) {
                Some((region, _)) if !region.facts.is_mapped() && region.inode == old => {}
                _ => return Ok(false),
            }
            table.watch(&fresh, file.inode, key)?;
            if let Some((region, _)) = table.region(key) {
                region.is_moving = true;
            }
        }
        let replaced = self.replace(target, inspected.number, &fresh);
        if replaced.is_err() {
            self.choose(key, file.inode, old, |_| true);
        }
        if let Some((region, _)) = self.table().region(key) {
            region.is_moving = false;
        }
        self.wake_waiting();
        replaced?;
        inspected.becomes(fresh, file);
        Ok(true)
    }

    /// Where memfds hold the state of their regions: has the caller's descriptor lead to the memory
    /// that holds it now, and reads it.
    pub(super) fn bring_state(&self, target: &Target<'_>, inspected: &mut InspectedFd, key: Key) {
        let shown = self.table().region(key).map(|(region, _)| region.inode);
        let Some(shown) = shown.filter(|shown| *shown != inspected.file.inode) else { return };
        self.bring_newer(target, inspected, key, shown);
        if let Ok(memory) = inspected.copy() {
            self.refresh(key, memory, &inspected.file);
            self.show_state(inspected, key);
        }
    }

    /// Waits while another request brings a newer memory of this region to its caller; not for
    /// long, for that caller may be held up.
    fn wait_for_move(&self, key: Key) {
        const LONGEST: Duration = Duration::from_millis(250);
        self.wait_for(LONGEST, |table| {
            table.region(key).is_none_or(|(region, _)| !region.is_moving)
        });
    }

    /// Puts the memory that the region's other mappings show behind the caller's descriptor, which
    /// still has an older one: it has if name or size was set through another descriptor. Where no
    /// process holds the newer one any more, the older one is the region's from now on.
    pub(super) fn bring_newer(
        &self,
        target: &Target<'_>,
        inspected: &mut InspectedFd,
        key: Key,
        shown: u64,
    ) {
        let find =
            || self.descriptor_of(key).and_then(|fd| memfd::reopen(fd, inspected.flags).ok());
        // One that was on its way arrives behind a descriptor that was looked at before.
        let newer = find().or_else(|| {
            self.wait_for_move(key);
            find()
        });
        if let Some(newer) = newer
            && let Ok(file) = FileStatus::of(&newer)
            && self.replace(target, inspected.number, &newer).is_ok()
        {
            return inspected.becomes(newer, file);
        }
        let inode = inspected.file.inode;
        let mut table = self.table();
        if let Some((region, _)) = table.region(key)
            && region.inode == shown
        {
            region.inode = inode;
            table.note(|| Entry::Shown { key, inode });
            table.publish();
        }
    }
}

impl InspectedFd {
    /// Another memory of the same region lies behind the descriptor now.
    fn becomes(&mut self, memory: OwnedFd, file: FileStatus) {
        let busy = self.busy.take();
        *self = Self::new(memory, self.number, file, self.flags, self.kind);
        self.busy = busy;
        debug_assert!(matches!(self.kind, FdKind::Region(_)), "only regions' memories change");
    }
}
