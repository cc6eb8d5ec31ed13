// SPDX-License-Identifier: MIT OR Apache-2.0
//! The journal: what a restart must not lose of one container, in a memfd that the service manager
//! stores beside its listeners.
//!
//! The in-flight notifications (`in_flight`) lie at its beginning. Behind them lies a log of
//! entries, one JSON value each; replayed from its start it makes the same table. The entries of a
//! request are published together with its answer, by one write of the log's end. So a call whose
//! answer was not sent is answered again, and not executed again: PIN reports only once that pages
//! were purged.
//!
//! It survives the agent, not the machine: what a write has brought into the memfd is there. A log
//! that has grown is compacted: written again behind itself, and the memory before its new start is
//! freed.

pub(crate) mod in_flight;
pub(crate) mod listener;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, MemfdFlags};
use rustix::io::{Errno, Result};
use serde::{Deserialize, Serialize};

use self::in_flight::{END, InFlight, LOG};
use crate::ids::Identity;
use crate::ids::Key;

/// The first bytes: the format and its version.
const MAGIC: [u8; 8] = *b"ashmem 2";
/// Offset of the log's start and end, which lie side by side.
const BOUNDS: u64 = 8;
const _: () = assert!(BOUNDS + 8 == END as u64);
/// A shorter log is not compacted.
const SHORT: u64 = 256 << 10;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Entry {
    /// Which container this journal is of, and the device's node in it.
    Container {
        identity: Identity,
        node: Option<SavedNode>,
    },
    /// An inode that belongs to a region; a new key is a new region.
    Memory {
        key: Key,
        inode: u64,
        watch: i32,
    },
    /// The region's mappings show this inode.
    Shown {
        key: Key,
        inode: u64,
    },
    /// The inode of this watch was freed.
    Dead {
        watch: i32,
    },
    Name {
        key: Key,
        name: Option<Vec<u8>>,
    },
    Size {
        key: Key,
        size: u64,
    },
    Mask {
        key: Key,
        mask: u32,
    },
    Mapped {
        key: Key,
    },
    /// Pages, by their first and last number.
    Pin {
        key: Key,
        first: u64,
        last: u64,
    },
    Unpin {
        key: Key,
        first: u64,
        last: u64,
    },
    /// The unpinned range that starts at this page was purged.
    Purged {
        key: Key,
        first: u64,
    },
    /// No page of the region can be purged any more.
    Cleared {
        key: Key,
    },
    /// The request with this id creates this region; its caller may have the descriptor already.
    Opening {
        id: u64,
        key: Key,
    },
    /// The request with this id gets this answer.
    Answered {
        id: u64,
        answer: SavedAnswer,
    },
}

/// A node's status, byte for byte, and its mounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedNode {
    pub(crate) stat: Vec<u8>,
    pub(crate) mounts: Vec<u64>,
}

/// An answer that may not have been sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SavedAnswer {
    Value(i64),
    Errno(i32),
    Continue,
    Write { address: u64, bytes: Vec<u8> },
}

/// Why a journal cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is none, or of another version's form.
    #[error("it is no journal, or one of another version of this program")]
    NotAJournal,
    /// An entry cannot be read.
    #[error("an entry cannot be read: {0}")]
    Entry(#[from] serde_json::Error),
    /// The kernel refuses.
    #[error(transparent)]
    System(#[from] Errno),
}

/// A container's journal.
pub struct Journal {
    memory: OwnedFd,
    in_flight: Arc<InFlight>,
    start: u64,
    end: u64,
    pending: Vec<u8>,
    /// The entry that every log starts with.
    container: Entry,
    /// The log's length after the last compaction.
    compacted_len: u64,
}

impl Journal {
    /// Creates an empty journal.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM.
    pub(crate) fn new(container: Entry) -> Result<Self> {
        let memory = rustix::fs::memfd_create("ashmem-agent", MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&memory, LOG)?;
        let in_flight = Arc::new(InFlight::map(&memory)?);
        let mut journal = Self {
            memory,
            in_flight,
            start: LOG,
            end: LOG,
            pending: Vec::new(),
            container,
            compacted_len: 0,
        };
        journal.put(0, &MAGIC)?;
        journal.write_bounds()?;
        journal.note(&journal.container.clone());
        journal.publish();
        Ok(journal)
    }

    /// Opens the journal that the previous agent left, and reads its log.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(crate) fn open(
        memory: OwnedFd,
    ) -> std::result::Result<(Self, Identity, Option<SavedNode>, Vec<Entry>), OpenError> {
        let mut header = [0; 24];
        let (magic, bounds) = match rustix::io::pread(&memory, &mut header, 0)? {
            24 => header.split_at(BOUNDS as usize),
            _ => return Err(OpenError::NotAJournal),
        };
        let bound =
            |at: usize| bounds[at..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        let (start, end) = (bound(0), bound(8));
        if magic != MAGIC || start < LOG || end < start {
            return Err(OpenError::NotAJournal);
        }
        let mut log = vec![0; usize::try_from(end - start).map_err(|_| OpenError::NotAJournal)?];
        let mut done = 0;
        while done < log.len() {
            match rustix::io::pread(&memory, &mut log[done..], start + done as u64)? {
                0 => return Err(OpenError::NotAJournal),
                got => done += got,
            }
        }
        let entries = serde_json::Deserializer::from_slice(&log).into_iter();
        let entries = entries.collect::<std::result::Result<Vec<_>, _>>()?;
        let mut entries: std::vec::IntoIter<Entry> = entries.into_iter();
        let Some(Entry::Container { identity, node }) = entries.next() else {
            return Err(OpenError::NotAJournal);
        };
        let rest = entries.collect();
        let in_flight = Arc::new(InFlight::map(&memory)?);
        let container = Entry::Container { identity: identity.clone(), node: node.clone() };
        let journal = Self {
            memory,
            in_flight,
            start,
            end,
            pending: Vec::new(),
            container,
            compacted_len: end - start,
        };
        Ok((journal, identity, node, rest))
    }

    /// The in-flight notifications.
    pub(crate) fn in_flight(&self) -> &Arc<InFlight> {
        &self.in_flight
    }

    /// Appends an entry, to be written by the next [`Journal::publish`].
    pub(crate) fn note(&mut self, entry: &Entry) {
        if let Err(error) = serde_json::to_writer(&mut self.pending, entry) {
            tracing::error!(%error, ?entry, "an entry cannot be written");
        }
    }

    /// Writes the entries that were noted.
    pub(crate) fn publish(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        match self.put(self.end, &pending) {
            Ok(()) => {
                self.end += pending.len() as u64;
                self.in_flight.set_end(self.end);
            }
            Err(error) => tracing::error!(
                %error,
                "writing the journal failed: a restart now would lose the last changes"
            ),
        }
    }

    /// The log's length in bytes.
    #[cfg(test)]
    pub(crate) fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Whether a compaction is due: the log is long, compared to its length after the last one.
    pub(crate) fn is_due(&self) -> bool {
        self.end - self.start > SHORT.max(4 * self.compacted_len)
    }

    /// Compacts the log: writes these entries as its new content.
    pub(crate) fn compact(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.note(&self.container.clone());
        entries.into_iter().for_each(|entry| self.note(&entry));
        let log = std::mem::take(&mut self.pending);
        // At a page's start, so that all memory before it can be freed.
        let page = rustix::param::page_size() as u64;
        let (old, start) = (self.start, self.end.next_multiple_of(page));
        if let Err(error) = self.put(start, &log) {
            tracing::warn!(%error, "compacting the journal failed: it stays as long as it is");
            return;
        }
        (self.start, self.end, self.compacted_len) =
            (start, start + log.len() as u64, log.len() as u64);
        if let Err(error) = self.write_bounds() {
            tracing::error!(%error, "compacting the journal failed: it stays as long as it is");
        }
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let _ = rustix::fs::fallocate(&self.memory, hole, old, start - old);
    }

    fn put(&self, at: u64, bytes: &[u8]) -> Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            done += rustix::io::retry_on_intr(|| {
                rustix::io::pwrite(&self.memory, &bytes[done..], at + done as u64)
            })?;
        }
        Ok(())
    }

    /// Writes both bounds by one write within one page, which cannot be torn when this process is
    /// killed.
    fn write_bounds(&mut self) -> Result<()> {
        let mut bounds = [0; 16];
        bounds[..8].copy_from_slice(&self.start.to_ne_bytes());
        bounds[8..].copy_from_slice(&self.end.to_ne_bytes());
        self.put(BOUNDS, &bounds)
    }
}

impl AsFd for Journal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> Journal {
        let identity = Identity::brought(0, "one".into());
        Journal::new(Entry::Container { identity, node: None }).expect("a memfd")
    }

    fn reopened(journal: &Journal) -> (Journal, Vec<Entry>) {
        let memory = journal.as_fd().try_clone_to_owned().expect("a descriptor");
        let (journal, identity, _, entries) = Journal::open(memory).expect("a journal");
        assert_eq!(identity.id, "one");
        (journal, entries)
    }

    #[test]
    fn what_is_published_comes_back_and_what_is_not_does_not() {
        let mut journal = new();
        journal.note(&Entry::Size { key: 1, size: 4096 });
        journal.note(&Entry::Answered { id: 7, answer: SavedAnswer::Value(0) });
        journal.publish();
        journal.note(&Entry::Size { key: 2, size: 4096 });
        let (_, entries) = reopened(&journal);
        let answered = Entry::Answered { id: 7, answer: SavedAnswer::Value(0) };
        assert_eq!(entries, [Entry::Size { key: 1, size: 4096 }, answered]);
        assert!(matches!(
            Journal::open(
                rustix::fs::memfd_create("no journal", MemfdFlags::CLOEXEC).expect("a memfd")
            ),
            Err(OpenError::NotAJournal)
        ));
    }

    #[test]
    fn a_long_log_is_written_anew_and_its_memory_given_back() {
        let mut journal = new();
        let mut size = 0;
        while !journal.is_due() {
            size += 1;
            journal.note(&Entry::Size { key: 1, size });
            journal.publish();
        }
        journal.compact([Entry::Size { key: 1, size }]);
        assert!(!journal.is_due());
        let (_, entries) = reopened(&journal);
        assert_eq!(entries, [Entry::Size { key: 1, size }]);
        let kept = rustix::fs::fstat(&journal).expect("fstat").st_blocks as u64 * 512;
        let page = rustix::param::page_size() as u64;
        // What is mapped at the beginning, and the log.
        let most = LOG.next_multiple_of(page) + 2 * page;
        assert!(kept <= most, "{kept} bytes are kept for a few");
    }
}
