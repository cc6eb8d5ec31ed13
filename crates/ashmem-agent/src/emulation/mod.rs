// SPDX-License-Identifier: MIT OR Apache-2.0
//! A tenant: one program with all its descendants, or one container. Its regions are its own; no
//! request of another tenant finds them.
//!
//! # What is done under which lock
//!
//! One lock, of the table of regions. Under it requests are decided: state is read and changed,
//! journaled, and a memfd that nobody else knows yet is watched. *Nothing that a caller can make
//! wait is done under it*: reading or writing a caller's memory, looking at, copying, replacing or
//! closing its descriptors, changing a memfd that it holds too (whose inode it can lock by a write
//! that blocks), and reading its `/proc`. The agent does these between two holds of the lock, and
//! then decides on what the table says by then.
//!
//! Two things take more than one hold, and are marked in the table; who needs the same waits
//! without the lock (`Tenant::wait_until`), and nobody else does:
//!
//! - the pages of a region that are being taken away: its own PIN, UNPIN and mmap wait;
//! - an open of the node that becomes a region: other threads of that process wait with theirs.
//!
//! Requests that are about one region are decided one after the other (`regions::busy`), without
//! the lock too.

pub(crate) mod argument;
pub(crate) mod decision;
pub(crate) mod descriptor;
mod find_fd;
mod ioctl;
mod memory;
mod mmap;
mod mprotect;
mod open;
pub(crate) mod outcome;
mod purge;
mod restore;
mod stat;
mod unpinning;

use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ashmem_core::region::Prot;
use rustix::fs::OFlags;
use rustix::io::{Errno, Result};

use self::descriptor::{FdKind, InspectedFd};
pub use self::unpinning::Unpinning;
use crate::ids::Key;
use crate::notification::Injection;
use crate::regions::busy::{BusyRegion, BusyRegions};
use crate::regions::memfd;
use crate::regions::memfd_state::{self, MemfdState};
use crate::regions::node::Device;
use crate::regions::region::{EmulatedRegion, LastCaller};
use crate::regions::table::RegionTable;
use crate::seccomp::filter::Fidelity;
use crate::sys::lock;
use crate::target_thread::raised_limit::RaisedLimit;
use crate::target_thread::{FileStatus, Target, Threads, closes_on_exec};

/// A tenant's regions, and what its calls need.
pub struct Tenant {
    table: Mutex<RegionTable>,
    /// Signalled when a mark in the table is taken away.
    changed: Condvar,
    /// How many wait for that.
    waiting: AtomicUsize,
    busy: Arc<BusyRegions>,
    /// How many opens of the node have become regions by a later call.
    adoptions: AtomicU64,
    threads: Threads,
    device: Device,
    fidelity: Fidelity,
    /// The file system of every memfd, as `st_dev`.
    memfds: u64,
    /// Whether some region's mask may have lost EXEC: set wherever a mask is read or changed.
    exec_withheld: AtomicBool,
    unpinning: Unpinning,
}

impl Tenant {
    /// Creates a tenant without regions.
    ///
    /// # Errors
    /// Those of [`RegionTable::new`].
    pub fn new(device: Device, fidelity: Fidelity) -> Result<Self> {
        Ok(Self::with_table(RegionTable::new()?, device, fidelity))
    }

    /// A tenant with these regions.
    pub(crate) fn with_table(table: RegionTable, device: Device, fidelity: Fidelity) -> Self {
        let exec_withheld = AtomicBool::new(table.withholds_exec());
        Self {
            memfds: table.device(),
            threads: Threads::new(table.device()),
            table: Mutex::new(table),
            changed: Condvar::new(),
            waiting: AtomicUsize::new(0),
            busy: Arc::default(),
            adoptions: AtomicU64::new(0),
            device,
            fidelity,
            exec_withheld,
            unpinning: Unpinning::default(),
        }
    }

    /// The same tenant, with another choice.
    #[must_use]
    pub fn with_unpinning(self, unpinning: Unpinning) -> Self {
        Self { unpinning, ..self }
    }

    /// Its regions, locked: nothing that a caller can make wait may be done meanwhile.
    pub fn table(&self) -> MutexGuard<'_, RegionTable> {
        lock(&self.table)
    }

    /// The threads that called recently.
    pub fn threads(&self) -> &Threads {
        &self.threads
    }

    /// The device as its programs see it.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Waits without the lock until this holds of the table.
    fn wait_until<'a>(
        &'a self,
        mut table: MutexGuard<'a, RegionTable>,
        mut holds: impl FnMut(&mut RegionTable) -> bool,
    ) -> MutexGuard<'a, RegionTable> {
        while !holds(&mut table) {
            table = self.wait(table, None);
        }
        table
    }

    /// Waits without the lock until a mark in the table is taken away, or so long.
    fn wait<'a>(
        &'a self,
        table: MutexGuard<'a, RegionTable>,
        longest: Option<Duration>,
    ) -> MutexGuard<'a, RegionTable> {
        // Counted under the lock, so that whoever takes a mark away after it sees it.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let table = match longest {
            None => self.changed.wait(table).unwrap_or_else(PoisonError::into_inner),
            Some(longest) => {
                let waited = self.changed.wait_timeout(table, longest);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        table
    }

    /// Waits without the lock until this holds of the table, or so long.
    fn wait_for(&self, longest: Duration, mut holds: impl FnMut(&mut RegionTable) -> bool) {
        let begun = Instant::now();
        let mut table = self.table();
        while !holds(&mut table)
            && let Some(left) = longest.checked_sub(begun.elapsed())
        {
            table = self.wait(table, Some(left));
        }
    }

    /// A mark in the table was taken away, under its lock. Where nobody waits, it costs no call.
    fn wake_waiting(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.changed.notify_all();
        }
    }

    /// Waits until no pages of this region are being taken away.
    fn settled<'a>(
        &'a self,
        table: MutexGuard<'a, RegionTable>,
        key: Key,
    ) -> MutexGuard<'a, RegionTable> {
        self.wait_until(table, |table| {
            table.region(key).is_none_or(|(region, _)| !region.is_losing_pages)
        })
    }

    /// Inspects one of the caller's descriptors. `None`: there is none, or it cannot be inspected;
    /// then the kernel runs the call, which it refuses or which does not concern the device.
    pub(crate) fn inspect(&self, target: &Target<'_>, number: RawFd) -> Option<InspectedFd> {
        self.inspect_naming(target, number, b"")
    }

    /// Inspects a descriptor for SET_NAME: an open of the node that becomes a region now gets its
    /// memory under that name.
    pub(crate) fn inspect_naming(
        &self,
        target: &Target<'_>,
        number: RawFd,
        name: &[u8],
    ) -> Option<InspectedFd> {
        loop {
            let adoptions = self.adoptions.load(Ordering::Acquire);
            let mut inspected = self.copy_in_turn(target, number)?;
            if memfd::keeps_state()
                && let FdKind::Region(key) = inspected.kind
            {
                self.bring_state(target, &mut inspected, key);
            }
            if inspected.kind != FdKind::Node {
                return Some(inspected);
            }
            // Not beside the descriptors that it takes to make a region: they may be few.
            inspected.close();
            match self.adopt(target, inspected, adoptions, name)? {
                Adopted::Region(region) => return Some(region),
                // What it is now takes its turn like any other.
                Adopted::ByAnother => {}
            }
        }
    }

    /// A copy of a descriptor, and what it is: if a region, once no other request works at that.
    /// What the region's memory says counts from then on: before, it may say less than what
    /// another request has decided and is still writing there.
    fn copy_in_turn(&self, target: &Target<'_>, number: RawFd) -> Option<InspectedFd> {
        let mut turn: Option<BusyRegion> = None;
        loop {
            let ended = self.busy.ended();
            let mut inspected = self.copy(target, number)?;
            let FdKind::Region(key) = inspected.kind else { return Some(inspected) };
            // Another thread of the caller may have put another region there as it waited.
            let mut busy = turn.take().filter(|turn| turn.key() == key);
            if busy.is_none() {
                busy = self.busy.try_begin(key, target.id());
                if busy.is_some() && self.busy.ended() != ended {
                    inspected.file = FileStatus::of(inspected.copy().ok()?).ok()?;
                }
            }
            if busy.is_none() {
                // Who works at it may ask whether anybody else holds its memory.
                inspected.close();
                turn = Some(self.busy.begin(key, target.id()));
                continue;
            }
            inspected.busy = busy;
            self.refresh(key, inspected.copy().ok()?, &inspected.file);
            return Some(inspected);
        }
    }

    /// A copy of a descriptor, and what it is.
    fn copy(&self, target: &Target<'_>, number: RawFd) -> Option<InspectedFd> {
        if number < 0 {
            return None;
        }
        let fd = self.threads.descriptor(target.tid(), number, || target.is_waiting()).ok()?;
        let Ok(file) = FileStatus::of(&fd) else {
            crate::target_thread::close_elsewhere(fd);
            return None;
        };
        // Most descriptors are neither a memfd nor a device, and need no further inspection.
        if file.device != self.memfds && !file.is_character_device {
            return Some(InspectedFd::new(fd, number, file, OFlags::empty(), FdKind::Foreign));
        }
        let flags = rustix::fs::fcntl_getfl(&fd).unwrap_or(OFlags::PATH);
        let kind = if flags.contains(OFlags::PATH) {
            FdKind::Foreign
        } else if file.device == self.memfds {
            match self.region_of(target, number, &fd, &file) {
                Some(key) => FdKind::Region(key),
                None if memfd_state::is_region(&file) => FdKind::Unlisted,
                None => FdKind::Memfd,
            }
        } else if self.device.is_placeholder(&file) {
            FdKind::Node
        } else {
            FdKind::Foreign
        };
        Some(InspectedFd::new(fd, number, file, flags, kind))
    }

    /// The region whose memory this is, which the caller has at this number; one that its program
    /// has made itself comes into the table now.
    fn region_of(
        &self,
        target: &Target<'_>,
        number: RawFd,
        memory: &OwnedFd,
        file: &FileStatus,
    ) -> Option<Key> {
        let known = self.region_at(target, number, file.inode);
        if known.is_some() {
            return known;
        }
        let state = MemfdState::read(memory, file)?;
        let found = state.region(memory, LastCaller { tid: target.tid(), fd: number });
        self.note_mask(found.facts.prot_mask());
        let mut table = self.table();
        // Another request may have brought it meanwhile.
        table.find(file.inode).or_else(|| table.admit(None, memory, found).ok())
    }

    /// Brings a region up to what its program has written to its memory. Returns whether this is
    /// still a memory of it.
    pub(super) fn refresh(&self, key: Key, memory: &OwnedFd, file: &FileStatus) -> bool {
        let state = MemfdState::read(memory, file);
        let mut table = self.table();
        if table.find(file.inode) != Some(key) {
            return false;
        }
        // An older memory says nothing of the region any more: another thread's SET_SIZE may just
        // have put a newer one in its place, and this request have copied the older one before.
        if let (Some(state), Some((region, _))) = (state, table.region(key))
            && region.inode == file.inode
        {
            state.refresh(region);
            self.note_mask(region.facts.prot_mask());
        }
        true
    }

    /// The region of this inode, which the caller has at this number.
    fn region_at(&self, target: &Target<'_>, number: RawFd, inode: u64) -> Option<Key> {
        let mut table = self.table();
        let key = table.find(inode)?;
        if let Some((region, _)) = table.region(key) {
            region.last_caller = LastCaller { tid: target.tid(), fd: number };
        }
        Some(key)
    }

    /// Whether one of the caller's descriptors is a region, or becomes one now.
    pub(crate) fn is_region(&self, target: &Target<'_>, number: RawFd) -> bool {
        if number < 0 {
            return false;
        }
        let Some(file) = self.status_of(target, number) else { return false };
        if file.device == self.memfds {
            return self.region_at(target, number, file.inode).is_some()
                || memfd_state::is_region(&file);
        }
        self.device.is_placeholder(&file)
            && self
                .inspect(target, number)
                .is_some_and(|inspected| matches!(inspected.kind, FdKind::Region(_)))
    }

    /// The status of the file behind one of the caller's descriptors. A copy is the quicker way to
    /// it, but closing the copy of a file that is not ours can take as long as its server likes: so
    /// only what was a region a moment ago is copied, and if it is another file now, a thread of
    /// its own closes it, once.
    fn status_of(&self, target: &Target<'_>, number: RawFd) -> Option<FileStatus> {
        if !self.threads.had_region_at(target.tid(), number) {
            return FileStatus::of_descriptor(target.tid(), number).ok();
        }
        let copied = self.threads.descriptor(target.tid(), number, || target.is_waiting());
        let Ok(fd) = copied else { return FileStatus::of_descriptor(target.tid(), number).ok() };
        let file = FileStatus::of(&fd).ok();
        if file.is_none_or(|file| file.device != self.memfds) {
            self.threads.saw_region_at(target.tid(), -1);
            crate::target_thread::close_elsewhere(fd);
        }
        file
    }

    /// Creates a region, whose memory only the returned descriptor holds; `opening` is the request
    /// that it answers.
    pub(crate) fn create(
        &self,
        opening: Option<u64>,
        last_caller: LastCaller,
        flags: OFlags,
        name: &[u8],
    ) -> Result<(OwnedFd, Key)> {
        if name.is_empty() {
            let pooled = self.table().admit_pooled(opening, || EmulatedRegion::new(last_caller))?;
            if let Some((memory, key)) = pooled {
                return Ok((memfd::reopen(memory, flags)?, key));
            }
        }
        let memory = memfd::create(&memfd::shown_name(name))?;
        let key = self.table().admit(opening, &memory, EmulatedRegion::new(last_caller))?;
        Ok((memfd::reopen(memory, flags)?, key))
    }

    /// Turns an open of the node, which was not notified, into a region that this request works
    /// at. So many had become one before it was inspected.
    fn adopt(
        &self,
        target: &Target<'_>,
        mut node: InspectedFd,
        adoptions: u64,
        name: &[u8],
    ) -> Option<Adopted> {
        let process = self.threads.process(target.tid()).unwrap_or(target.tid());
        let _adopting = Adopting::begin(self, process);
        let number = node.number;
        // Another thread of the caller may have made it a region meanwhile.
        if self.adoptions.load(Ordering::Acquire) != adoptions {
            node = self.copy(target, number)?;
            if node.kind != FdKind::Node {
                return Some(Adopted::ByAnother);
            }
            node.close();
        }
        let flags = node.flags;
        let last_caller = LastCaller { tid: target.tid(), fd: number };
        let (fd, key) = self.create(None, last_caller, flags, name).ok()?;
        // Before another thread can ask about it: its memory says nothing yet.
        let busy = self.busy.begin(key, target.id());
        self.replace(target, number, &fd).ok()?;
        // Only now: whoever reads this number finds the region.
        self.adoptions.fetch_add(1, Ordering::Release);
        let file = FileStatus::of(&fd).ok()?;
        let mut adopted = InspectedFd::new(fd, number, file, flags, FdKind::Region(key));
        adopted.is_named = !name.is_empty();
        adopted.busy = Some(busy);
        Some(Adopted::Region(adopted))
    }

    /// Replaces the file behind a caller's descriptor; its close-on-exec flag stays.
    pub(crate) fn replace(&self, target: &Target<'_>, number: RawFd, fd: impl AsFd) -> Result<()> {
        let close_on_exec = closes_on_exec(target.tid(), number)?;
        let injection = Injection { fd: fd.as_fd(), at: Some(number), close_on_exec };
        match target.inject(injection) {
            // The caller has lowered its limit below the number since it got the descriptor.
            Err(Errno::BADF) => {
                let _raised = RaisedLimit::to_hold(target, number)?;
                target.inject(injection).map(drop)
            }
            other => other.map(drop),
        }
    }

    /// A region has this mask: one without EXEC has mprotect look at mappings from now on. Before
    /// the caller gets its answer, for the kernel may map the region then.
    fn note_mask(&self, mask: Prot) {
        if !mask.contains(Prot::EXEC) {
            self.exec_withheld.store(true, Ordering::Relaxed);
        }
    }

    /// Whether some region's mask may have lost EXEC.
    fn withholds_exec(&self) -> bool {
        self.exec_withheld.load(Ordering::Relaxed)
    }
}

/// What became of an open of the node.
enum Adopted {
    /// The region that it is now.
    Region(InspectedFd),
    /// Another thread of the caller has put something else there meanwhile.
    ByAnother,
}

/// The mark of a process one of whose opens of the node becomes a region.
struct Adopting<'a> {
    tenant: &'a Tenant,
    process: i32,
}

impl<'a> Adopting<'a> {
    /// Waits for other threads of the process.
    fn begin(tenant: &'a Tenant, process: i32) -> Self {
        let table = tenant.table();
        let mut table = tenant.wait_until(table, |table| !table.adopting.contains(&process));
        table.adopting.insert(process);
        Self { tenant, process }
    }
}

impl Drop for Adopting<'_> {
    fn drop(&mut self) {
        self.tenant.table().adopting.remove(&self.process);
        self.tenant.wake_waiting();
    }
}
