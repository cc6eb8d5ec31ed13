// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pending opens: the caller may have the descriptor but not its number.
//!
//! The supervisor first puts a new descriptor into the caller, then answers the call with its
//! number. (The kernel can do both at once. But if the agent is killed in that moment, the kernel
//! counts the call as answered whether the descriptor got there or not, and tells the caller that
//! it opened descriptor 0.) In between the agent may die, or a signal may interrupt the call, which
//! the caller makes again. In both cases the region exists already and is looked up, so that no
//! caller has a descriptor that it does not know.

use std::collections::HashMap;

use crate::ids::Key;

/// Threads remembered at most; a forgotten one has one descriptor too many.
const THREADS: usize = 256;

/// The opens that may not be complete, each with the region that it has created.
#[derive(Default)]
pub(crate) struct PendingOpens {
    /// By the id of the request: for the next agent, to which the kernel's id means the same call.
    requests: HashMap<u64, Key>,
    /// By the interrupted thread: the repeated call has another id.
    threads: HashMap<i32, Key>,
}

impl PendingOpens {
    /// This request has created this region.
    pub(crate) fn begin(&mut self, id: u64, key: Key) {
        self.requests.insert(id, key);
    }

    /// The caller was gone before it got the number.
    pub(crate) fn leave(&mut self, tid: i32, key: Key) {
        if self.threads.len() >= THREADS {
            self.threads.clear();
        }
        self.threads.insert(tid, key);
    }

    /// Takes the region that this call has created already.
    pub(crate) fn take(&mut self, id: u64, tid: i32) -> Option<Key> {
        self.requests.remove(&id).or_else(|| self.threads.remove(&tid))
    }

    /// Keeps only these requests.
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
