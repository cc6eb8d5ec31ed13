//! What names a region and a container inside the agent.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A region's name inside the agent; never given to another one.
pub type Key = u64;

/// What names a container: regions are shared among the listeners of one name alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The user whose runtime brought it. Two users' runtimes may give two containers one id.
    pub user: u32,
    /// The runtime's id of it; of an LXC container, its cookie.
    pub id: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (of user {})", self.id, self.user)
    }
}
