// SPDX-License-Identifier: MIT OR Apache-2.0
//! What became of memory that was allowed to go.

/// What became of memory while it was unpinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "what was purged reads as zeros and has to be made again"]
pub enum Purge {
    /// Everything still holds what was written.
    Kept,
    /// Some or all of it was taken: its pages read as zeros.
    Purged,
}
