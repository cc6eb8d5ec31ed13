// SPDX-License-Identifier: MIT OR Apache-2.0
//! What names a region and a container inside the agent.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A region's key inside the agent; it is never used again for another region.
pub type Key = u64;

/// A container's identity: listeners of one identity share their regions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The user whose runtime brought it: the runtimes of two users may give two containers the
    /// same id.
    pub user: u32,
    /// The runtime's id of it; of an LXC container, its cookie.
    pub id: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (of user {})", self.id, self.user)
    }
}
