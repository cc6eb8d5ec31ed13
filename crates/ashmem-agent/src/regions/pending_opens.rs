//! Opens whose descriptor may be in the caller while its number is not.
//!
//! A new descriptor is put into the caller first, and the call answered with its number then. (The kernel could do both at
//! once. But should the agent be killed in that moment, the kernel counts the call as answered whether the descriptor got
//! there or not, and the caller is told that it opened descriptor 0.) In between, the agent may die, or a signal take the
//! caller out of the call, which it makes again. Both times the region is there already and is looked for, so that no
//! caller is left with a descriptor that it does not know of.

use std::collections::HashMap;

use crate::ids::Key;

/// Threads remembered at most; who is forgotten has one descriptor too many.
const THREADS: usize = 256;

/// The opens that are not known to have come to their end, with the region that each has made.
#[derive(Default)]
pub(crate) struct PendingOpens {
    /// By the request's id: for an agent to come, to which the kernel's id still means the same call.
    requests: HashMap<u64, Key>,
    /// By the thread that was taken out of its call: made again it has another id.
    threads: HashMap<i32, Key>,
}

impl PendingOpens {
    /// This request has made this region.
    pub(crate) fn begin(&mut self, id: u64, key: Key) {
        self.requests.insert(id, key);
    }

    /// The caller was gone when it was to be told.
    pub(crate) fn leave(&mut self, tid: i32, key: Key) {
        if self.threads.len() >= THREADS {
            self.threads.clear();
        }
        self.threads.insert(tid, key);
    }

    /// The region that this call has made already. It is told once.
    pub(crate) fn take(&mut self, id: u64, tid: i32) -> Option<Key> {
        self.requests.remove(&id).or_else(|| self.threads.remove(&tid))
    }

    /// Forgets the other requests.
    pub(crate) fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        self.requests.retain(|id, _| keep(*id));
    }

    /// The requests, each with its region.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (u64, Key)> {
        self.requests.iter().map(|(id, key)| (*id, *key))
    }
}

#[cfg(test)]
mod tests {
    use super::PendingOpens;

    #[test]
    fn a_call_finds_what_it_has_made_once() {
        let mut pending_opens = PendingOpens::default();
        pending_opens.begin(1, 10);
        pending_opens.begin(2, 20);
        pending_opens.leave(7, 30);
        assert_eq!(pending_opens.take(1, 7), Some(10), "the request's own comes first");
        assert_eq!(pending_opens.take(1, 7), Some(30), "then what the thread has left");
        assert_eq!(pending_opens.take(1, 7), None);
        pending_opens.retain(|id| id != 2);
        assert_eq!(pending_opens.requests().count(), 0);
    }
}
