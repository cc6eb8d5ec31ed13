// SPDX-License-Identifier: MIT OR Apache-2.0
//! The regions of one tenant, found by the inode of their memory.
//!
//! # Lifetimes
//!
//! The agent holds no descriptor of a region's memory, so that the memory is freed with its last
//! client; but for a newer memory while clients hold an older one (`KeptMemory`). It holds an
//! inotify watch on the memfd's inode. A watch keeps the inode and its number, but neither its
//! pages nor its file. When the last descriptor and the last mapping are gone, the kernel queues
//! the end of the watch *before* it frees the number. On 64-bit kernels a 64-bit counter numbers
//! memfds (`shmem_reserve_inode`, from 5.9), so that no number is used twice, and a lookup need not
//! read the queue first: the inode that it finds lives. The queue is read every few opens and by
//! housekeeping, and ended regions are reaped then. Where numbers can be used again, the queue is
//! read before every lookup, which therefore never takes a new memfd for an old one. If the queue
//! overflows, the remaining watches are read from `/proc/self/fdinfo`.

use std::collections::{HashMap, HashSet};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use ashmem_core::region::Prot;
use ashmem_proc::fdinfo;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags};
use rustix::io::{Errno, Result};

use crate::ids::Key;
use crate::journal::{Entry, Journal, SavedAnswer};
use crate::regions::arena::Arena;
use crate::regions::memfd;
use crate::regions::memfd_pool::{MemfdPool, PooledMemfd};
use crate::regions::pending_opens::PendingOpens;
use crate::regions::region::{EmulatedRegion, KeptMemory};
use crate::regions::watch_quota::WatchQuota;
use ashmem_trace_wire::question::{RegionState, ToldRange};
use ashmem_trace_wire::record::EventKind;

use crate::trace::TraceSink;

/// Whether an inode number can be used again.
const NUMBERS_COME_AGAIN: bool = cfg!(not(target_pointer_width = "64"));
/// Reap freed inodes every 32 opens: often enough that they take no room, rarely enough that it
/// costs nothing.
const REAP_INTERVAL: u32 = 32;
/// Events that are read from the queue at once.
const EVENTS: usize = 256;
/// The bytes of an event without a name, as all of ours are.
const EVENT: usize = size_of::<libc::inotify_event>();

/// All regions of one tenant. Two tenants never share a table, so no request of one finds a region
/// of the other.
pub struct RegionTable {
    regions: HashMap<Key, EmulatedRegion>,
    inodes: HashMap<u64, InodeEntry>,
    watches: HashMap<i32, u64>,
    inotify: OwnedFd,
    arena: Arena,
    device: u64,
    next: Key,
    /// Opens since the queue was last read.
    opens_since_reap: u32,
    /// The journal for the next agent, if there is one.
    journal: Option<Journal>,
    /// Where events are traced.
    trace_sink: Arc<TraceSink>,
    /// Answers that the previous agent may not have sent.
    recovered: HashMap<u64, SavedAnswer>,
    /// Answers in the journal that may not have been sent yet.
    unsent: HashMap<u64, SavedAnswer>,
    /// The quota of watches that it shares with other tables.
    quota: Option<Arc<WatchQuota>>,
    /// How many watches it may have.
    most_memories: usize,
    /// The pool of memfds for future regions.
    pool: Option<Arc<MemfdPool>>,
    /// How many regions have a memory that is kept.
    kept: usize,
    /// Memories that are kept no longer. Closing one may free many pages, which is done without the
    /// table's lock.
    released: Vec<KeptMemory>,
    pub(crate) pending_opens: PendingOpens,
    /// The processes one of whose opens of the node becomes a region now.
    pub(crate) adopting: HashSet<i32>,
}

struct InodeEntry {
    key: Key,
    watch: i32,
}

impl Drop for RegionTable {
    fn drop(&mut self) {
        if let Some(quota) = &self.quota {
            quota.give_back(self.watches.len());
        }
    }
}

impl RegionTable {
    /// An empty table.
    ///
    /// # Errors
    /// EMFILE: the user has too many inotify instances (`fs.inotify.max_user_instances`).
    pub fn new() -> Result<Self> {
        Self::with_watches(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?)
    }

    /// An empty table with the inotify instance of an earlier one.
    pub(crate) fn with_watches(inotify: OwnedFd) -> Result<Self> {
        Ok(Self {
            regions: HashMap::new(),
            inodes: HashMap::new(),
            watches: HashMap::new(),
            inotify,
            arena: Arena::new(),
            device: memfd::device()?,
            next: 0,
            opens_since_reap: 0,
            journal: None,
            trace_sink: Arc::default(),
            recovered: HashMap::new(),
            unsent: HashMap::new(),
            quota: None,
            most_memories: usize::MAX,
            pool: None,
            kept: 0,
            released: Vec::new(),
            pending_opens: PendingOpens::default(),
            adopting: HashSet::new(),
        })
    }

    /// Shares a quota of watches with other tables from now on.
    pub(crate) fn share_watches(&mut self, quota: Arc<WatchQuota>) {
        quota.take(self.watches.len());
        self.quota = Some(quota);
    }

    /// Bounds how many watched memories and unpinned ranges it may have from now on, so that it
    /// fills only so much of the agent's memory; and the watches to this part of all there are.
    pub(crate) fn bound(&mut self, memories: usize, ranges: usize, part: u64) {
        let share = self.quota.as_ref().map_or(u64::MAX, |quota| quota.limit() / part);
        self.most_memories = memories.min(usize::try_from(share).unwrap_or(usize::MAX));
        self.arena.bound(ranges);
    }

    /// Creates a pool of memfds and returns it; housekeeping fills it.
    ///
    /// # Errors
    /// EMFILE, ENFILE.
    pub(crate) fn enable_pool(&mut self) -> Result<Arc<MemfdPool>> {
        let inotify = self.inotify.try_clone().map_err(|_| Errno::MFILE)?;
        Ok(Arc::clone(self.pool.insert(Arc::new(MemfdPool::new(inotify)))))
    }

    /// A descriptor that is readable when an inode was freed; then call [`RegionTable::reap`].
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// The file system of every memfd, as `st_dev`.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// How many regions there are.
    pub fn len(&self) -> usize {
        self.regions.len()
    }

    /// Whether there is no region.
    pub fn is_empty(&self) -> bool {
        self.regions.is_empty()
    }

    /// Keeps the memory that a region's mappings show, where clients hold an older one. Of a tenant
    /// that has many of them, or where descriptors are few, it does not.
    pub(crate) fn keep_memory(&mut self, key: Key, memory: BorrowedFd<'_>) {
        /// No tenant may take all that the supervisor can hold.
        const MOST: usize = 16;
        let Some(region) = self.regions.get_mut(&key) else { return };
        if region.memories <= 1 || region.kept_memory().is_some() {
            return;
        }
        self.released.extend(region.kept.take());
        if self.kept < MOST {
            region.kept = KeptMemory::of(region.inode, memory);
            self.kept += usize::from(region.kept.is_some());
        }
    }

    /// Keeps no memory of a region that is not the one that its mappings show.
    pub(crate) fn release_unshown(&mut self, key: Key) {
        let Some(region) = self.regions.get_mut(&key) else { return };
        if region.kept_memory().is_none() {
            self.released.extend(region.kept.take());
        }
    }

    /// The memories that are kept no longer, to be closed without the table's lock.
    pub(crate) fn take_released(&mut self) -> Vec<KeptMemory> {
        self.kept -= self.released.len();
        std::mem::take(&mut self.released)
    }

    /// The region of this inode. The inode must exist: a client has it open or mapped.
    pub fn find(&mut self, inode: u64) -> Option<Key> {
        // A tracer learns of an end with the next request.
        if NUMBERS_COME_AGAIN || self.trace_sink.is_on() {
            self.reap();
        }
        self.inodes.get(&inode).map(|entry| entry.key)
    }

    /// A region, and the ranges of all.
    pub fn region(&mut self, key: Key) -> Option<(&mut EmulatedRegion, &mut Arena)> {
        Some((self.regions.get_mut(&key)?, &mut self.arena))
    }

    /// The ranges of all regions.
    pub fn arena(&mut self) -> &mut Arena {
        &mut self.arena
    }

    /// Every region with its key.
    pub fn regions(&self) -> impl Iterator<Item = (Key, &EmulatedRegion)> {
        self.regions.iter().map(|(key, region)| (*key, region))
    }

    /// The inode of every memory of a region.
    pub(crate) fn inodes(&self) -> Vec<u64> {
        self.inodes.keys().copied().collect()
    }

    /// The region of this inode, as it is told to whoever asks.
    pub(crate) fn state(&mut self, inode: u64) -> Option<RegionState> {
        let key = self.inodes.get(&inode)?.key;
        let EmulatedRegion { facts, state, .. } = self.regions.get_mut(&key)?;
        let pages = state.pins().range_pages(facts.share());
        Some(RegionState {
            inode,
            size: facts.size(),
            mask: facts.prot_mask().bits(),
            unpinned: pages.unpinned,
            purged: pages.purged,
        })
    }

    /// The region of this inode.
    pub(crate) fn key_of(&self, inode: u64) -> Option<Key> {
        self.inodes.get(&inode).map(|entry| entry.key)
    }

    /// The unpinned ranges of the region of this inode, at most so many, the lowest first.
    pub(crate) fn ranges(&mut self, inode: u64, most: usize) -> Vec<ToldRange> {
        let mut ranges = Vec::new();
        let Some(entry) = self.inodes.get(&inode) else { return ranges };
        if let Some(region) = self.regions.get_mut(&entry.key) {
            region.state.pins().for_each(&self.arena, most, |span, is_purged| {
                let (first, last) = (span.first(), span.last());
                ranges.push(ToldRange { first, last, is_purged });
            });
        }
        ranges
    }

    /// Whether some region's mask has lost EXEC.
    pub(crate) fn withholds_exec(&self) -> bool {
        self.regions().any(|(_, region)| !region.facts.prot_mask().contains(Prot::EXEC))
    }

    /// Adds a new region with this memory; `opening` is the request that it answers, if it answers
    /// one.
    ///
    /// # Errors
    /// ENOMEM: the user has too many inotify watches (`fs.inotify.max_user_watches`), or this table
    /// its share of them.
    pub fn admit(
        &mut self,
        opening: Option<u64>,
        memory: impl AsFd,
        region: EmulatedRegion,
    ) -> Result<Key> {
        self.make_room()?;
        let (inode, watch) = memfd::watch(&self.inotify, memory)?;
        Ok(self.settle(opening, region, inode, watch))
    }

    /// Adds a new region with a memfd from the pool, and returns the memfd; `None` if the pool is
    /// empty.
    ///
    /// # Errors
    /// ENOMEM, as for [`RegionTable::admit`].
    pub(crate) fn admit_pooled(
        &mut self,
        opening: Option<u64>,
        region: impl FnOnce() -> EmulatedRegion,
    ) -> Result<Option<(OwnedFd, Key)>> {
        let Some(PooledMemfd { memory, inode, watch, .. }) =
            self.pool.as_ref().and_then(|pool| pool.take())
        else {
            return Ok(None);
        };
        self.make_room()?;
        Ok(Some((memory, self.settle(opening, region(), inode, watch))))
    }

    /// Adds a memory with this inode to a region, beside those that clients may still hold; future
    /// mappings show the new one.
    ///
    /// # Errors
    /// As for [`RegionTable::admit`].
    pub fn watch(&mut self, memory: impl AsFd, inode: u64, key: Key) -> Result<()> {
        self.make_room()?;
        let watch = memfd::watch_end(&self.inotify, memory)?;
        self.stand(key, inode, watch);
        Ok(())
    }

    /// Reaps if it is due, and checks the quota for one more watch.
    fn make_room(&mut self) -> Result<()> {
        self.opens_since_reap += 1;
        if self.opens_since_reap >= REAP_INTERVAL {
            self.reap();
        }
        let is_full =
            self.quota.as_ref().is_some_and(|quota| !quota.allows_one_more(self.watches.len()));
        if is_full || self.watches.len() >= self.most_memories {
            return Err(Errno::NOMEM);
        }
        Ok(())
    }

    /// Adds a region whose memory is watched already.
    fn settle(
        &mut self,
        opening: Option<u64>,
        region: EmulatedRegion,
        inode: u64,
        watch: i32,
    ) -> Key {
        let key = self.next;
        self.next += 1;
        if let Some(id) = opening.filter(|_| self.journal.is_some()) {
            self.pending_opens.begin(id, key);
            self.note(|| Entry::Opening { id, key });
        }
        self.regions.insert(key, region);
        self.stand(key, inode, watch);
        key
    }

    /// Adds a watched inode to a region.
    fn stand(&mut self, key: Key, inode: u64, watch: i32) {
        self.enter(key, inode, watch);
        // At once: the memory is about to be put where the next agent finds it.
        self.note(|| Entry::Memory { key, inode, watch });
        self.publish();
    }

    fn enter(&mut self, key: Key, inode: u64, watch: i32) {
        if self.watches.insert(watch, inode).is_none()
            && let Some(quota) = &self.quota
        {
            quota.take(1);
        }
        self.inodes.insert(inode, InodeEntry { key, watch });
        if let Some(region) = self.regions.get_mut(&key) {
            region.memories += 1;
            region.inode = inode;
        }
    }

    /// Adds an inode that the previous agent watched, and its region if the key is new.
    pub(crate) fn adopt(
        &mut self,
        key: Key,
        inode: u64,
        watch: i32,
        region: impl FnOnce() -> EmulatedRegion,
    ) {
        self.next = self.next.max(key + 1);
        self.regions.entry(key).or_insert_with(region);
        self.enter(key, inode, watch);
    }

    /// Every inode of a region.
    pub(crate) fn memories(&self) -> impl Iterator<Item = Entry> {
        self.inodes.iter().map(|(inode, entry)| Entry::Memory {
            key: entry.key,
            inode: *inode,
            watch: entry.watch,
        })
    }

    /// Where events are traced.
    pub(crate) fn trace_sink(&self) -> &Arc<TraceSink> {
        &self.trace_sink
    }

    /// Traces a purge.
    pub(crate) fn tell_purge(&self, key: Key, offset: u64, len: u64) {
        if self.trace_sink.is_on()
            && let Some(region) = self.regions.get(&key)
        {
            self.trace_sink.happened(EventKind::Purge { offset, len }, region.traced(key));
        }
    }

    /// Writes changes to this journal from now on.
    pub(crate) fn write_to(&mut self, journal: Journal) {
        self.journal = Some(journal);
    }

    /// Adds an answer that the previous agent may not have sent.
    pub(crate) fn recover(&mut self, id: u64, answer: SavedAnswer) {
        self.recovered.insert(id, answer);
    }

    /// Keeps only these answers.
    pub(crate) fn keep_recovered(&mut self, keep: impl Fn(u64) -> bool) {
        self.recovered.retain(|id, _| keep(*id));
    }

    /// Takes the answer that the previous agent found for this request.
    pub(crate) fn recovered(&mut self, id: u64) -> Option<SavedAnswer> {
        if self.recovered.is_empty() {
            return None;
        }
        let answer = self.recovered.remove(&id)?;
        self.unsent.insert(id, answer.clone());
        Some(answer)
    }

    /// Notes the answer to a request in the journal, to be published with what it has changed.
    pub(crate) fn note_answer(&mut self, id: u64, answer: SavedAnswer) {
        /// Rarely more are in flight at once.
        const FEW: usize = 128;
        let Some(journal) = &mut self.journal else { return };
        journal.note(&Entry::Answered { id, answer: answer.clone() });
        if self.unsent.len() >= FEW {
            let in_flight = journal.in_flight().ids();
            self.unsent.retain(|id, _| in_flight.contains(id));
        }
        self.unsent.insert(id, answer);
    }

    /// The answers that may not have been sent yet, `id` being the current request: of those in
    /// flight, of which several loops have one each.
    pub(crate) fn unsent_answers(&self, id: u64, in_flight: &[u64]) -> Vec<Entry> {
        let answers = self.unsent.iter().chain(&self.recovered);
        let unsent = answers.filter(|(of, _)| **of == id || in_flight.contains(of));
        unsent.map(|(id, answer)| Entry::Answered { id: *id, answer: answer.clone() }).collect()
    }

    /// The journal, if there is one.
    pub(crate) fn journal(&mut self) -> Option<&mut Journal> {
        self.journal.as_mut()
    }

    /// Notes a change in the journal, to be published with the answer.
    pub(crate) fn note(&mut self, entry: impl FnOnce() -> Entry) {
        if let Some(journal) = &mut self.journal {
            journal.note(&entry());
        }
    }

    /// Publishes the noted changes.
    pub(crate) fn publish(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.publish();
        }
    }

    /// Whether this inode, which belonged to a region, is freed.
    pub(crate) fn is_dead(&mut self, inode: u64) -> bool {
        self.reap();
        !self.inodes.contains_key(&inode)
    }

    /// Removes the regions whose memory is freed.
    pub fn reap(&mut self) {
        self.opens_since_reap = 0;
        let mut buffer = [MaybeUninit::uninit(); EVENTS * EVENT];
        let mut dead = Vec::new();
        let mut overflow = false;
        {
            let mut queue = inotify::Reader::new(&self.inotify, &mut buffer);
            let mut read = 0;
            while let Ok(event) = queue.next() {
                overflow |= event.events().contains(ReadFlags::QUEUE_OVERFLOW);
                if event.events().contains(ReadFlags::IGNORED) {
                    dead.push(event.wd());
                }
                read += 1;
                // What fitted into the buffer with room to spare was all.
                if queue.is_buffer_empty() && std::mem::replace(&mut read, 0) < EVENTS {
                    break;
                }
            }
        }
        if overflow {
            let alive = self.living_watches();
            dead.extend(self.watches.keys().filter(|watch| !alive.contains(watch)));
        }
        for watch in dead {
            self.remove(watch);
        }
    }

    /// Removes the regions that ended while nobody read the queue.
    pub(crate) fn remove_missed(&mut self) {
        let alive = self.living_watches();
        let dead: Vec<i32> =
            self.watches.keys().copied().filter(|watch| !alive.contains(watch)).collect();
        dead.into_iter().for_each(|watch| self.remove(watch));
    }

    pub(crate) fn remove(&mut self, watch: i32) {
        let Some(inode) = self.watches.remove(&watch) else { return };
        if let Some(quota) = &self.quota {
            quota.give_back(1);
        }
        self.note(|| Entry::Dead { watch });
        // A new memfd with the same number may have its own entry by now.
        if self.inodes.get(&inode).is_none_or(|entry| entry.watch != watch) {
            return;
        }
        let Some(InodeEntry { key, .. }) = self.inodes.remove(&inode) else { return };
        let Some(region) = self.regions.get_mut(&key) else { return };
        region.memories -= 1;
        if region.memories <= 1
            && let Some(kept) = region.kept.take()
        {
            self.released.push(kept);
        }
        if region.memories > 0 {
            return;
        }
        if let Some(mut region) = self.regions.remove(&key) {
            if self.trace_sink.is_on() {
                self.trace_sink.happened(EventKind::Release, region.traced(key));
            }
            region.state.pins().clear(&self.arena, region.facts.share());
        }
        if self.regions.is_empty() {
            self.arena.shrink();
        }
    }

    fn living_watches(&self) -> HashSet<i32> {
        let path = format!("/proc/self/fdinfo/{}", self.inotify.as_raw_fd());
        fdinfo::inotify_watches(&std::fs::read(path).unwrap_or_default()).collect()
    }
}
