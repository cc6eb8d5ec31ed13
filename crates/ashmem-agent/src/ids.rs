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
    /// The runtime's id of it; of an LXC container, its cookie; of one that joined, its pid
    /// namespace.
    pub id: String,
    /// Whether it joined by itself.
    #[serde(default)]
    pub joined: bool,
}

impl Identity {
    /// What is not in a container, but joined all the same.
    pub(crate) const HOST: &str = "the host";

    /// A container that its runtime brought.
    pub(crate) fn brought(user: u32, id: String) -> Self {
        Self { user, id, joined: false }
    }

    /// Whether it is no container but the host.
    pub(crate) fn is_host(&self) -> bool {
        self.joined && self.id == Self::HOST
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (of user {})", self.id, self.user)
    }
}
