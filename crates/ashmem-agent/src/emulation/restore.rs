// SPDX-License-Identifier: MIT OR Apache-2.0
//! Restores a container's regions from its journal, and writes the journal's entries.

use std::os::fd::OwnedFd;

use ashmem_core::abi::{Pin, Request};
use ashmem_core::pins;
use ashmem_core::range::{Ranges as _, Span};
use ashmem_core::region::{Prot, Refusal};
use ashmem_core::store::Store as _;
use rustix::io::Result;

use crate::emulation::Tenant;
use crate::emulation::outcome::Outcome;
use crate::ids::Key;
use crate::journal::{Entry, Journal, SavedAnswer, SavedNode};
use crate::notification::Answer;
use crate::regions::node::{Device, DeviceNode};
use crate::regions::region::{EmulatedRegion, LastCaller};
use crate::regions::table::RegionTable;
use crate::seccomp::filter::Fidelity;

/// No caller: the first request brings one.
const UNKNOWN: LastCaller = LastCaller { tid: 0, fd: -1 };

impl RegionTable {
    /// Restores the table from a journal's entries, with the watches of the previous agent. Regions
    /// that ended meanwhile are removed.
    ///
    /// # Errors
    /// Those of [`crate::regions::memfd::create`].
    pub(crate) fn restore(
        inode_events: OwnedFd,
        journal: Journal,
        entries: &[Entry],
    ) -> Result<Self> {
        let mut table = Self::with_watches(inode_events)?;
        entries.iter().for_each(|entry| table.replay(entry));
        table.forget_all_but_the_last(entries, &journal);
        table.write_to(journal);
        table.remove_missed();
        Ok(table)
    }

    /// Only a request that is still in flight, or the last of all, may not have got its answer.
    fn forget_all_but_the_last(&mut self, entries: &[Entry], journal: &Journal) {
        let last = entries.iter().rev().find_map(|entry| match entry {
            Entry::Answered { id, .. } | Entry::Opening { id, .. } => Some(*id),
            _ => None,
        });
        let in_flight = journal.in_flight().ids();
        let may_wait = |id| Some(id) == last || in_flight.contains(&id);
        self.keep_recovered(may_wait);
        self.pending_opens.retain(may_wait);
    }

    fn replay(&mut self, entry: &Entry) {
        match *entry {
            Entry::Container { .. } => {}
            Entry::Answered { id, ref answer } => self.recover(id, answer.clone()),
            Entry::Opening { id, key } => self.pending_opens.begin(id, key),
            Entry::Memory { key, inode, watch } => {
                self.adopt(key, inode, watch, || EmulatedRegion::new(UNKNOWN))
            }
            Entry::Dead { watch } => self.remove(watch),
            Entry::Shown { key, inode } => self.change(key, |region| region.inode = inode),
            Entry::Name { key, ref name } => self.change(key, |region| {
                let mut name = name.clone().map(Vec::into_boxed_slice);
                let _ = region.state.set_name(&region.facts, &mut name);
            }),
            Entry::Size { key, size } => self.change(key, |region| {
                let _ = region.state.set_size(&region.facts, size);
            }),
            Entry::Mask { key, mask } => self.change(key, |region| {
                let (mask, before) = (Prot::from_bits(mask), region.facts.prot_mask());
                // EXEC came back after it was lost: by the READ_IMPLIES_EXEC personality.
                let implied = !before.contains(mask);
                let asked = if implied { mask.without(Prot::EXEC) } else { mask };
                let _ = region.state.set_prot_mask(&region.facts, asked.bits().into(), implied);
            }),
            Entry::Mapped { key } => {
                self.change(key, |region| region.state.set_mapped(&region.facts))
            }
            Entry::Pin { key, first, last } => self.change_pins(key, first, last, true),
            Entry::Unpin { key, first, last } => self.change_pins(key, first, last, false),
            Entry::Purged { key, first } => {
                let oldest = self.arena().lru().oldest();
                let arena = self.arena();
                let mut ids = std::iter::successors(oldest, |id| arena.lru().after(arena, *id));
                let range = ids
                    .find(|id| arena.owner(*id) == key && arena.range(*id).span().first() == first);
                if let (Some(id), Some((region, arena))) = (range, self.region(key)) {
                    pins::purge(arena, arena.lru(), region.facts.share(), id);
                }
            }
            Entry::Cleared { key } => {
                if let Some((region, arena)) = self.region(key) {
                    region.state.pins().clear(arena, region.facts.share());
                }
            }
        }
    }

    fn change(&mut self, key: Key, change: impl FnOnce(&mut EmulatedRegion)) {
        if let Some((region, _)) = self.region(key) {
            change(region);
        }
    }

    fn change_pins(&mut self, key: Key, first: u64, last: u64, pins: bool) {
        let Some(span) = Span::new(first, last) else { return };
        let Some((region, arena)) = self.region(key) else { return };
        let _ = region.with_spare(arena, key, |region, arena, spare| {
            let (share, all) = (region.facts.share(), usize::MAX);
            match pins {
                true => region.state.pins().pin(arena, share, span, spare, all).map(drop),
                false => region.state.pins().unpin(arena, share, span, spare, all).map(drop),
            }
            .map(|()| 0)
            .map_err(Refusal::from)
        });
    }

    /// Writes the effect of an ioctl to the journal together with its answer: PIN reports only once
    /// that pages were purged.
    pub(crate) fn note_ioctl(
        &mut self,
        key: Key,
        request: Request,
        pin: Option<Pin>,
        id: u64,
        outcome: &Outcome,
    ) {
        if self.journal().is_none() {
            return;
        }
        let done = matches!(outcome, Outcome::Answer(Answer::Value(_)));
        let Some((region, arena)) = self.region(key) else { return };
        let span = pin.and_then(|pin| region.facts.interval(arena.page_size(), pin).ok().flatten());
        let entry = match (request, span) {
            (Request::SetName(_), _) if done => {
                Entry::Name { key, name: region.state.given().map(|name| name.to_vec()) }
            }
            (Request::SetSize(_), _) if done => Entry::Size { key, size: region.facts.size() },
            // The mask is changed even if its seal was refused.
            (Request::SetProtMask(_), _) => {
                Entry::Mask { key, mask: region.facts.prot_mask().bits() }
            }
            (Request::Pin(_), Some(span)) if done => {
                Entry::Pin { key, first: span.first(), last: span.last() }
            }
            (Request::Unpin(_), Some(span)) if done => {
                Entry::Unpin { key, first: span.first(), last: span.last() }
            }
            _ => return,
        };
        self.note(|| entry);
        if let Some(answer) = SavedAnswer::of(outcome) {
            self.note_answer(id, answer);
        }
        self.publish();
        self.compact_if_due(id);
    }

    /// Writes to the journal that a region is mapped, and by which inode.
    pub(crate) fn note_mapped(&mut self, key: Key) {
        let Some((region, _)) = self.region(key) else { return };
        let inode = region.inode;
        self.note(|| Entry::Shown { key, inode });
        self.note(|| Entry::Mapped { key });
        self.publish();
    }

    /// Compacts the journal if it is due; `id` is the current request.
    pub(crate) fn compact_if_due(&mut self, id: u64) {
        let Some(journal) = self.journal().filter(|journal| journal.is_due()) else { return };
        let in_flight = journal.in_flight().ids();
        self.pending_opens.retain(|opening| opening == id || in_flight.contains(&opening));
        let mut entries = self.entries();
        // Other loops may be about to send theirs.
        entries.extend(self.unsent_answers(id, &in_flight));
        if let Some(journal) = self.journal() {
            journal.compact(entries);
        }
    }

    /// Entries that make this table from an empty one.
    pub(crate) fn entries(&mut self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self.memories().collect();
        entries.extend(self.pending_opens.requests().map(|(id, key)| Entry::Opening { id, key }));
        for (key, region) in self.regions() {
            entries.push(Entry::Shown { key, inode: region.inode });
            if let Some(name) = region.state.given() {
                entries.push(Entry::Name { key, name: Some(name.to_vec()) });
            }
            entries.push(Entry::Size { key, size: region.facts.size() });
            entries.push(Entry::Mask { key, mask: region.facts.prot_mask().bits() });
            if region.facts.is_mapped() {
                entries.push(Entry::Mapped { key });
            }
        }
        let keys: Vec<Key> = self.regions().map(|(key, _)| key).collect();
        for key in keys {
            let Some((region, arena)) = self.region(key) else { continue };
            region.state.pins().for_each(arena, usize::MAX, |span, purged| {
                if purged {
                    let (first, last) = (span.first(), span.last());
                    entries
                        .extend([Entry::Unpin { key, first, last }, Entry::Purged { key, first }]);
                }
            });
        }
        // The other ranges, in purge order.
        let arena = self.arena();
        let order = std::iter::successors(arena.lru().oldest(), |id| arena.lru().after(arena, *id));
        entries.extend(order.map(|id| {
            let span = arena.range(id).span();
            Entry::Unpin { key: arena.owner(id), first: span.first(), last: span.last() }
        }));
        entries
    }
}

impl Tenant {
    /// Restores the tenant with these regions.
    pub(crate) fn restore(device: Device, table: RegionTable) -> Self {
        Self::with_table(table, device, Fidelity::Full)
    }
}

impl SavedNode {
    /// The entry for a device's node.
    pub(crate) fn of(device: &Device) -> Option<Self> {
        let (stat, mounts) = device.node()?.parts();
        // SAFETY: the structure is plain integers, read as so many bytes; its padding was zeroed
        // before it was filled.
        let bytes = unsafe {
            std::slice::from_raw_parts(std::ptr::from_ref(stat).cast::<u8>(), size_of_val(stat))
        };
        Some(Self { stat: bytes.to_vec(), mounts: mounts.to_vec() })
    }

    /// The node; `None` if the structure is another architecture's.
    pub(crate) fn node(&self) -> Option<DeviceNode> {
        let bytes: &[u8; size_of::<libc::stat>()] = self.stat.first_chunk()?;
        // SAFETY: as many bytes as the structure has, of which every bit pattern is a valid one.
        let stat = unsafe { bytes.as_ptr().cast::<libc::stat>().read_unaligned() };
        Some(DeviceNode::from_parts(stat, self.mounts.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulation::outcome::Outcome;
    use crate::ids::Identity;
    use crate::regions::memfd;
    use std::os::fd::AsFd;
    use std::sync::Arc;

    fn kept_table() -> RegionTable {
        let mut table = RegionTable::new().expect("a table");
        let identity = Identity::brought(0, "one".into());
        table.write_to(Journal::new(Entry::Container { identity, node: None }).expect("a memfd"));
        table
    }

    fn ioctl(table: &mut RegionTable, key: Key, request: Request, pin: Option<Pin>) {
        table.note_ioctl(key, request, pin, 1, &Outcome::ZERO);
    }

    fn successor(table: &mut RegionTable) -> RegionTable {
        let inode_events = table.as_fd().try_clone_to_owned().expect("a descriptor");
        let memory =
            table.journal().expect("kept").as_fd().try_clone_to_owned().expect("a descriptor");
        let (journal, _, _, entries) = Journal::open(memory).expect("a journal");
        RegionTable::restore(inode_events, journal, &entries).expect("a table")
    }

    /// A region of ten pages, named, masked, mapped; pages 1 and 3 to 4 unpinned, 7 purged, 8
    /// unpinned and pinned again.
    fn fill(table: &mut RegionTable) -> (OwnedFd, Key) {
        let memory = memfd::create(b"one").expect("a memfd");
        let key = table.admit(None, &memory, EmulatedRegion::new(UNKNOWN)).expect("a watch");
        let bytes = |pages: u32| pages * rustix::param::page_size() as u32;
        let size = u64::from(bytes(10)) - 960;
        let (region, _) = table.region(key).expect("it was admitted");
        region
            .state
            .set_name(&region.facts, &mut Some(b"name".to_vec().into_boxed_slice()))
            .expect("not mapped");
        region.state.set_size(&region.facts, size).expect("not mapped");
        region.state.set_prot_mask(&region.facts, 3, false).expect("fewer rights");
        ioctl(table, key, Request::SetName(0), None);
        ioctl(table, key, Request::SetSize(size), None);
        ioctl(table, key, Request::SetProtMask(3), None);
        let (region, _) = table.region(key).expect("it was admitted");
        region.state.set_mapped(&region.facts);
        table.note_mapped(key);
        for (page, pages) in [(7, 1), (3, 2), (1, 1), (8, 1)] {
            let pin = Pin { offset: bytes(page), len: bytes(pages) };
            let (region, arena) = table.region(key).expect("it was admitted");
            region
                .with_spare(arena, key, |region, arena, spare| {
                    region.state.unpin(&region.facts, arena, pin, spare)
                })
                .expect("within the region");
            ioctl(table, key, Request::Unpin(0), Some(pin));
        }
        let pin = Pin { offset: bytes(8), len: bytes(1) };
        let (region, arena) = table.region(key).expect("it was admitted");
        region
            .with_spare(arena, key, |region, arena, spare| {
                region.state.pin(&region.facts, arena, pin, spare)
            })
            .expect("within the region");
        ioctl(table, key, Request::Pin(0), Some(pin));
        table.note(|| Entry::Purged { key, first: 7 });
        table.publish();
        let oldest = table.arena().lru().oldest().expect("page 7");
        let (region, arena) = table.region(key).expect("it was admitted");
        pins::purge(arena, arena.lru(), region.facts.share(), oldest);
        (memory, key)
    }

    #[test]
    fn an_answer_of_another_loop_outlives_a_compaction() {
        let mut table = kept_table();
        let (_memory, key) = fill(&mut table);
        // Two requests are in flight. The first is told that pages were purged, and not sent yet.
        let in_flight = Arc::clone(table.journal().expect("kept").in_flight());
        for id in [101, 102] {
            let received = in_flight.take(0, |room| {
                room[0] = id;
                Ok(Some(()))
            });
            assert_eq!(received, Ok(Some(())));
        }
        let once = Outcome::value(Ok(ashmem_core::abi::WAS_PURGED));
        let pin = Pin { offset: 7 * 4096, len: 4096 };
        table.note_ioctl(key, Request::Pin(0), Some(pin), 101, &once);
        // The second grows the log, until it is written anew.
        let mut answered = 0;
        loop {
            let len = table.journal().expect("kept").len();
            table.note_ioctl(key, Request::Pin(0), Some(pin), 102, &Outcome::ZERO);
            answered += 1;
            if table.journal().expect("kept").len() < len {
                break;
            }
        }
        assert!(answered > 100, "{answered}");
        let mut second = successor(&mut table);
        assert_eq!(second.recovered(102), Some(SavedAnswer::Value(0)));
        let told = Some(SavedAnswer::Value(ashmem_core::abi::WAS_PURGED));
        assert_eq!(second.recovered(101), told);
        // It is in flight still when the next one compacts.
        assert!(second.unsent_answers(0, &[101]).len() == 1);
    }

    #[test]
    fn another_agent_finds_every_region_as_it_was() {
        let mut table = kept_table();
        let (memory, key) = fill(&mut table);
        let gone = memfd::create(b"two").expect("a memfd");
        table.admit(None, &gone, EmulatedRegion::new(UNKNOWN)).expect("a watch");
        let mut wanted = table.entries();
        drop(gone);
        let mut second = successor(&mut table);
        wanted.retain(|entry| match entry {
            Entry::Memory { key: of, .. }
            | Entry::Shown { key: of, .. }
            | Entry::Size { key: of, .. }
            | Entry::Mask { key: of, .. } => *of == key,
            _ => true,
        });
        assert_eq!(second.entries(), wanted);
        assert_eq!(second.len(), 1, "what died meanwhile is forgotten");
        drop(memory);
        second.reap();
        assert!(second.is_empty(), "its watches are the first one's");
    }

    #[test]
    fn a_log_that_was_written_anew_says_the_same() {
        let mut table = kept_table();
        let (_memory, _) = fill(&mut table);
        let wanted = table.entries();
        let entries = table.entries();
        table.journal().expect("kept").compact(entries);
        assert_eq!(successor(&mut table).entries(), wanted);
    }

    #[test]
    fn an_answer_that_may_not_have_left_is_found_once() {
        let mut table = kept_table();
        let (_memory, _) = fill(&mut table);
        let mut second = successor(&mut table);
        assert!(matches!(second.recovered(1), Some(SavedAnswer::Value(0))));
        assert!(second.recovered(1).is_none());
    }
}
