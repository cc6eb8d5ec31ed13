// SPDX-License-Identifier: MIT OR Apache-2.0
//! The quota of inotify watches: shares the watches of one user among the containers of one agent.
//!
//! A region needs a watch for as long as it lives, and the kernel limits the watches of a user
//! (`fs.inotify.max_user_watches`), who is the same for all containers. A table therefore never
//! takes the last ones: it takes one only while at least as many are free as it has. The first
//! table that wants all gets half, the next one a quarter, and a container that comes later still
//! finds some.

use std::sync::atomic::{AtomicU64, Ordering};

/// The watches that all tables of an agent have.
pub(crate) struct WatchQuota {
    limit: u64,
    used: AtomicU64,
}

impl WatchQuota {
    /// The quota of this process's user.
    pub(crate) fn of_host() -> Self {
        let limit =
            std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").unwrap_or_default();
        Self::new(limit.trim().parse().unwrap_or(u64::MAX))
    }

    fn new(limit: u64) -> Self {
        Self { limit, used: AtomicU64::new(0) }
    }

    /// The watches of the user.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Whether a table with this number of watches may take one more.
    pub(crate) fn allows_one_more(&self, own: usize) -> bool {
        self.limit.saturating_sub(self.used.load(Ordering::Relaxed)) > own as u64
    }

    /// A table has taken watches.
    pub(crate) fn take(&self, count: usize) {
        self.used.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// A table has given watches back.
    pub(crate) fn give_back(&self, count: usize) {
        self.used.fetch_sub(count as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::WatchQuota;
    use crate::regions::memfd;
    use crate::regions::region::{EmulatedRegion, LastCaller};
    use crate::regions::table::RegionTable;
    use rustix::io::Errno;
    use std::os::fd::OwnedFd;
    use std::sync::Arc;

    #[test]
    fn a_table_that_wants_all_leaves_some_to_the_next() {
        let watches = Arc::new(WatchQuota::new(64));
        let filled = || {
            let mut table = RegionTable::new().expect("a table");
            table.share_watches(Arc::clone(&watches));
            let mut memories: Vec<OwnedFd> = Vec::new();
            loop {
                let memory = memfd::create(b"greedy").expect("a memfd");
                match table.admit(None, &memory, EmulatedRegion::new(LastCaller { tid: 0, fd: -1 }))
                {
                    Ok(_) => memories.push(memory),
                    Err(error) => {
                        assert_eq!((error, table.len()), (Errno::NOMEM, memories.len()));
                        return (table, memories);
                    }
                }
            }
        };
        let first = filled();
        let (mut second, memories) = filled();
        assert_eq!((first.1.len(), memories.len()), (32, 16));
        drop(first);
        let more = memfd::create(b"more").expect("a memfd");
        second
            .admit(None, &more, EmulatedRegion::new(LastCaller { tid: 0, fd: -1 }))
            .expect("the first one's are free");
        drop((memories, more));
        second.reap();
        assert!(watches.allows_one_more(63), "all are given back");
    }
}
