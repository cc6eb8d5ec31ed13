// SPDX-License-Identifier: MIT OR Apache-2.0
//! Purges unpinned pages: gives them back to the system.
//!
//! Punching a hole takes the lock of the memfd's inode, which a client can hold for as long as it
//! likes. So it is done without the table's lock: the region is marked meanwhile, and its own PIN
//! and UNPIN wait.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;

use ashmem_core::pins;
use ashmem_core::range::{Ranges as _, Span};
use ashmem_core::store::Store as _;
use rustix::io::Errno;

use crate::emulation::Tenant;
use crate::emulation::ioctl::as_int;
use crate::emulation::outcome::Outcome;
use crate::emulation::unpinning::Unpinning;
use crate::ids::Key;
use crate::journal::Entry;
use crate::regions::memfd;
use crate::regions::table::RegionTable;
use crate::target_thread::{Target, is_host_administrator};

/// How often a region is looked at again after an UNPIN whose pages another purge of it has passed
/// by: it began earlier.
const LOOKS: usize = 8;

/// A range as it was in the purge order.
struct Candidate {
    id: u32,
    life: u64,
    key: Key,
}

impl Tenant {
    /// PURGE_ALL_CACHES, over this tenant's regions.
    pub(crate) fn purge_all(&self, target: &Target<'_>) -> Outcome {
        if !is_host_administrator(target.tid()) {
            return Outcome::errno(Errno::PERM);
        }
        let fds = self.fds_of_purgeable(|_| true);
        let pages = self.table().arena().lru().pages();
        self.punch(u64::MAX, &fds);
        Outcome::value(Ok(as_int(pages)))
    }

    /// Purges at least this many pages if there are so many, the least recently unpinned first;
    /// returns how many were purged.
    pub fn purge(&self, pages: u64) -> u64 {
        if self.purgeable() == 0 {
            return 0;
        }
        let fds = self.fds_of_purgeable(|_| true);
        self.punch(pages, &fds)
    }

    /// Purges the unpinned pages of the region of this inode; returns how many were purged. `None`:
    /// no region has it.
    pub(crate) fn purge_region(&self, inode: u64) -> Option<u64> {
        let key = self.table().key_of(inode)?;
        Some(self.purge_of(key))
    }

    /// The same of this region.
    pub(crate) fn purge_of(&self, key: Key) -> u64 {
        let fds = self.fds_of_purgeable(|other| other == key);
        self.punch(u64::MAX, &fds)
    }

    /// Closes the memories that are kept no longer, which may free many pages, and forgets the
    /// regions that end with that.
    pub(crate) fn release(&self) {
        loop {
            let released = {
                let mut table = self.table();
                table.reap();
                table.take_released()
            };
            if released.is_empty() {
                return;
            }
        }
    }

    /// How many pages could be purged.
    pub fn purgeable(&self) -> u64 {
        let mut table = self.table();
        table.reap();
        table.arena().lru().pages()
    }

    /// Threads that called last about regions with purgeable pages; not more than a few.
    pub(crate) fn callers_with_unpinned(&self) -> HashSet<i32> {
        const MOST: usize = 16;
        let mut table = self.table();
        let mut callers = HashSet::new();
        for Candidate { key, .. } in purge_order(&mut table) {
            if callers.len() >= MOST {
                break;
            }
            callers.extend(table.region(key).map(|(region, _)| region.last_caller.tid));
        }
        callers
    }

    /// A descriptor of each region that is `wanted` and has purgeable pages. If no process has
    /// one any more, the pages only live in mappings, and are never purged again (OPEN-08).
    fn fds_of_purgeable(&self, wanted: impl Fn(Key) -> bool) -> HashMap<Key, OwnedFd> {
        self.release();
        let keys: HashSet<Key> = {
            let mut table = self.table();
            let keys = purge_order(&mut table).into_iter().map(|candidate| candidate.key);
            keys.filter(|key| wanted(*key)).collect()
        };
        let mut fds = HashMap::new();
        for key in keys {
            if let Some(fd) = self.descriptor_of(key) {
                fds.insert(key, fd);
                continue;
            }
            let mut table = self.table();
            if let Some((region, arena)) = table.region(key)
                && !region.is_losing_pages
            {
                region.state.pins().clear(arena, region.facts.share());
                table.note(|| Entry::Cleared { key });
                table.publish();
            }
        }
        fds
    }

    fn punch(&self, pages: u64, fds: &HashMap<Key, OwnedFd>) -> u64 {
        let order = purge_order(&mut self.table());
        let page = self.table().arena().page_size();
        let mut freed = 0;
        for candidate in order {
            if freed >= pages {
                break;
            }
            let key = candidate.key;
            let Some(memory) = fds.get(&key) else { continue };
            let Some(span) = self.begin_losing(&candidate, memfd::is_writable(memory)) else {
                continue;
            };
            // Sealed memory cannot be punched: its pages stay, and PIN reports so.
            let punched = memfd::punch(memory, page, span);
            let mut table = self.table();
            if let Some((region, arena)) = table.region(key) {
                region.is_losing_pages = false;
                if punched.is_ok() {
                    pins::purge(arena, arena.lru(), region.facts.share(), candidate.id);
                    freed += span.pages();
                    table.tell_purge(key, span.first() * page.bytes(), span.pages() * page.bytes());
                }
            }
            drop(table);
            self.wake_waiting();
        }
        freed
    }

    /// Marks the region of a range that is about to be purged; its pages. `None`: the range was
    /// pinned or purged meanwhile, or somebody else takes pages of the region, who may be held up.
    fn begin_losing(&self, candidate: &Candidate, is_writable: bool) -> Option<Span> {
        let Candidate { id, life, key } = *candidate;
        let mut table = self.table();
        let (region, arena) = table.region(key)?;
        if region.is_losing_pages || arena.life(id) != life || arena.range(id).purged() {
            return None;
        }
        region.is_losing_pages = true;
        let span = arena.range(id).span();
        // Before the purge: the next agent may take pages for purged that are not, but never the
        // reverse.
        if is_writable {
            table.note(|| Entry::Purged { key, first: span.first() });
            table.publish();
        }
        Some(span)
    }
}

impl RegionTable {
    /// Whether pages of this region wait to be purged.
    pub(crate) fn has_purgeable(&mut self, key: Key) -> bool {
        purge_order(self).iter().any(|candidate| candidate.key == key)
    }
}

fn purge_order(table: &mut RegionTable) -> Vec<Candidate> {
    let arena = table.arena();
    std::iter::successors(arena.lru().oldest(), |id| arena.lru().after(arena, *id))
        .map(|id| Candidate { id, life: arena.life(id), key: arena.owner(id) })
        .collect()
}

impl Tenant {
    /// How many pages memory pressure may take.
    pub(crate) fn reclaimable(&self) -> u64 {
        if self.unpinning == Unpinning::Never { 0 } else { self.purgeable() }
    }

    /// Called after an UNPIN of this region, without the table's lock.
    pub(crate) fn has_unpinned(&self, key: Key) {
        if self.unpinning != Unpinning::AtOnce {
            return;
        }
        for _ in 0..LOOKS {
            self.purge_of(key);
            let mut table = self.settled(self.table(), key);
            if !table.has_purgeable(key) {
                return;
            }
        }
    }
}
