// SPDX-License-Identifier: MIT OR Apache-2.0
//! One of a caller's descriptors, inspected.

use std::os::fd::{OwnedFd, RawFd};

use rustix::fs::OFlags;

use crate::ids::Key;

/// What a caller's descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FdKind {
    /// A region of this tenant.
    Region(Key),
    /// A memfd that is no region.
    Memfd,
    /// Any other file.
    Foreign,
}

/// A copy of a caller's descriptor, for as long as its request takes.
pub(crate) struct InspectedFd {
    pub(crate) fd: OwnedFd,
    pub(crate) number: RawFd,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) flags: OFlags,
    pub(crate) kind: FdKind,
    /// Whether its memory was just created under the name that is being set.
    pub(crate) is_named: bool,
}
