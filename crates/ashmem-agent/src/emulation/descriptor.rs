// SPDX-License-Identifier: MIT OR Apache-2.0
//! One of a caller's descriptors, inspected.

use std::os::fd::{OwnedFd, RawFd};

use rustix::fs::OFlags;
use rustix::io::{Errno, Result};

use crate::ids::Key;
use crate::regions::busy::BusyRegion;
use crate::target_thread::{FileStatus, close_elsewhere};

/// What a caller's descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FdKind {
    /// A region of this tenant.
    Region(Key),
    /// A region that the table has no room for: what its mask is cannot be held.
    Unlisted,
    /// A memfd that is no region.
    Memfd,
    /// An open of the node that has not become a region yet.
    Node,
    /// Any other file.
    Foreign,
}

/// A copy of a caller's descriptor, for as long as its request takes.
pub(crate) struct InspectedFd {
    /// The copy; `None` once it was closed early.
    fd: Option<OwnedFd>,
    pub(crate) number: RawFd,
    pub(crate) file: FileStatus,
    pub(crate) flags: OFlags,
    pub(crate) kind: FdKind,
    /// Whether its memory was just created under the name that is being set.
    pub(crate) is_named: bool,
    /// No other request works at this region. It is the last field, so that this ends when the copy
    /// is closed.
    pub(super) busy: Option<BusyRegion>,
}

impl InspectedFd {
    pub(crate) fn new(
        fd: OwnedFd,
        number: RawFd,
        file: FileStatus,
        flags: OFlags,
        kind: FdKind,
    ) -> Self {
        Self { fd: Some(fd), number, file, flags, kind, is_named: false, busy: None }
    }

    /// The copy.
    ///
    /// # Errors
    /// EBADF: it was closed already.
    pub(crate) fn copy(&self) -> Result<&OwnedFd> {
        self.fd.as_ref().ok_or(Errno::BADF)
    }

    /// Lets other requests work at its region.
    pub(crate) fn leave_region(&mut self) {
        self.busy = None;
    }

    /// Closes the copy of a region's descriptor before the request is answered.
    pub(crate) fn close(&mut self) {
        self.fd = None;
    }
}

impl Drop for InspectedFd {
    fn drop(&mut self) {
        if let Some(fd) = self.fd.take()
            && self.kind == FdKind::Foreign
        {
            close_elsewhere(fd);
        }
    }
}
