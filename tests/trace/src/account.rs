// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the small program did, as it writes it down.

use ashmem_trace::event::CallOutcome;
use ashmem_trace::operation::Operation;
use ashmem_trace::text::Text;
use serde::{Deserialize, Serialize};

/// One call as the caller knows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    /// What.
    pub(crate) operation: Operation,
    /// What came back.
    pub(crate) outcome: CallOutcome,
    /// The region's name after it.
    pub(crate) name: Option<Text>,
    /// Its size after it.
    pub(crate) size: Option<u64>,
    /// Its inode after it, where the caller knows it.
    pub(crate) inode: Option<u64>,
}

/// What the program did, and as whom.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    /// Its number, as it sees it itself.
    pub(crate) pid: i32,
    /// The calls in order.
    pub(crate) done: Vec<Done>,
}

/// A name with what a terminal would act on, and with bytes that are no text.
pub(crate) const HOSTILE: &[u8] = b"cache\x1b[31m\n\xff\xfe \\ \xe2\x80\xae";

/// Follows one region, and writes down each call.
#[derive(Default)]
pub(crate) struct Recorder {
    done: Vec<Done>,
    pub(crate) name: Option<Text>,
    pub(crate) size: Option<u64>,
    pub(crate) inode: Option<u64>,
}

impl Recorder {
    pub(crate) fn note(&mut self, operation: Operation, result: i64) {
        let outcome = CallOutcome::of_return(result);
        if outcome.errno().is_none() {
            match &operation {
                Operation::SetName { name } | Operation::MemfdCreate { name } => {
                    self.name = name.clone().filter(|name| !name.is_empty());
                }
                Operation::SetSize { bytes } | Operation::Ftruncate { bytes } => {
                    self.size = Some(*bytes)
                }
                _ => {}
            }
        }
        let (name, size, inode) = (self.name.clone(), self.size, self.inode);
        self.done.push(Done { operation, outcome, name, size, inode });
    }

    pub(crate) fn account(self) -> Account {
        Account { pid: std::process::id() as i32, done: self.done }
    }
}
