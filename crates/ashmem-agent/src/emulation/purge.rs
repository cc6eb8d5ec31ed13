// SPDX-License-Identifier: MIT OR Apache-2.0
//! Purges unpinned pages: gives them back to the system.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;

use ashmem_core::pins;
use rustix::io::Errno;

use crate::emulation::Tenant;
use crate::emulation::ioctl::as_int;
use crate::emulation::outcome::Outcome;
use crate::ids::Key;
use crate::journal::Entry;
use crate::regions::memfd;
use crate::target_thread::{Target, is_host_administrator};

impl Tenant {
    /// PURGE_ALL_CACHES, over this tenant's regions.
    pub(crate) fn purge_all(&mut self, target: &Target<'_>) -> Outcome {
        if !is_host_administrator(target.tid()) {
            return Outcome::errno(Errno::PERM);
        }
        let fds = self.fds_of_purgeable();
        let pages = self.table.arena().lru().pages();
        self.punch(u64::MAX, &fds);
        Outcome::value(Ok(as_int(pages)))
    }

    /// Purges at least this many pages if there are so many, the least recently unpinned first;
    /// returns how many were purged.
    pub fn purge(&mut self, pages: u64) -> u64 {
        if self.purgeable() == 0 {
            return 0;
        }
        let fds = self.fds_of_purgeable();
        self.punch(pages, &fds)
    }

    /// How many pages could be purged.
    pub fn purgeable(&mut self) -> u64 {
        self.table.reap();
        self.table.arena().lru().pages()
    }

    /// A descriptor of each region with purgeable pages. If no process has one any more, the pages
    /// only live in mappings, and are never purged again (OPEN-08).
    fn fds_of_purgeable(&mut self) -> HashMap<Key, OwnedFd> {
        self.table.reap();
        let keys: HashSet<Key> = self.purge_order().into_iter().map(|(_, key)| key).collect();
        let mut fds = HashMap::new();
        for key in keys {
            if let Some(fd) = self.descriptor_of(key) {
                fds.insert(key, fd);
            } else if let Some((region, arena)) = self.table.region(key) {
                region.state.pins().clear(arena, region.facts.share());
                self.table.note(|| Entry::Cleared { key });
            }
        }
        self.table.publish();
        fds
    }

    fn purge_order(&mut self) -> Vec<(u32, Key)> {
        let arena = self.table.arena();
        std::iter::successors(arena.lru().oldest(), |id| arena.lru().after(arena, *id))
            .map(|id| (id, arena.owner(id)))
            .collect()
    }

    fn punch(&mut self, pages: u64, fds: &HashMap<Key, OwnedFd>) -> u64 {
        use ashmem_core::{range::Ranges, store::Store};
        let mut freed = 0;
        for (id, key) in self.purge_order() {
            if freed >= pages {
                break;
            }
            let Some(memory) = fds.get(&key) else { continue };
            let Some((_, arena)) = self.table.region(key) else { continue };
            let span = arena.range(id).span();
            // Before the purge: the next agent may take pages for purged that are not, but never
            // the reverse.
            if self.table.journal().is_some() && memfd::is_writable(memory) {
                self.table.note(|| Entry::Purged { key, first: span.first() });
                self.table.publish();
            }
            let Some((region, arena)) = self.table.region(key) else { continue };
            // Sealed memory cannot be punched: its pages stay, and PIN reports so.
            if memfd::punch(memory, arena.page_size(), span).is_ok() {
                pins::purge(arena, arena.lru(), region.facts.share(), id);
                let page = arena.page_size().bytes();
                freed += span.pages();
                self.table.tell_purge(key, span.first() * page, span.pages() * page);
            }
        }
        freed
    }
}
