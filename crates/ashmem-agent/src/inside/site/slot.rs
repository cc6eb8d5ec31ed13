// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a page of jumps has each of them.

/// Bytes of one jump, and of what stands before the first.
pub(crate) const SLOT: usize = 32;
/// Where the head counts the page's slots in use, itself among them.
pub(crate) const COUNT: u64 = 24;

/// The address of a page's slot.
pub(crate) fn slot(page: u64, index: u64) -> u64 {
    page + index * SLOT as u64
}
