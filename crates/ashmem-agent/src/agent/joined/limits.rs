// SPDX-License-Identifier: MIT OR Apache-2.0
//! What those who join may use of the agent, which others need too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::ids::Identity;
use crate::regions::table::RegionTable;
use crate::sys::lock;

/// Connections at once that have not brought their listener yet: of one container, of all of one
/// account, of all accounts but the trusted ones, and of these.
const PENDING: usize = 4;
const PENDING_OF_ONE: usize = 8;
const PENDING_OF_STRANGERS: usize = 16;
const PENDING_OF_TRUSTED: usize = 64;
/// Listeners of one container: its first process, and as many that were started in it later, and
/// run still.
const LISTENERS: usize = 64;
/// Containers of one account that is not trusted, and of all of these.
const CONTAINERS_OF_ONE: usize = 4;
const CONTAINERS_OF_STRANGERS: usize = 16;
/// Regions and unpinned ranges of one container of such an account: some MiB of the agent's memory.
const REGIONS: usize = 1 << 14;
const RANGES: usize = 1 << 16;
/// All of them together leave three quarters of the inotify watches to others.
const PART_OF_WATCHES: u64 = 4 * CONTAINERS_OF_STRANGERS as u64;

/// A limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// Too many connections.
    #[error("too many of its processes are joining at this moment")]
    Pending,
    /// Too many listeners.
    #[error(
        "{LISTENERS} processes of its container have joined and run still, which is the limit: \
         what they start needs not to join again"
    )]
    Listeners,
    /// Too many containers of this account.
    #[error(
        "{CONTAINERS_OF_ONE} containers of its user have joined, which is the limit for others \
         than root and the agent's own user: run an agent as that user"
    )]
    Containers,
    /// Too many containers.
    #[error(
        "{CONTAINERS_OF_STRANGERS} containers of other users than root and the agent's own have \
         joined, which is the limit for all of them: run an agent as that user"
    )]
    Strangers,
}

/// Whether an account may use what there is: root, and the user whose agent this is.
pub(crate) fn is_trusted(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

/// Bounds what a container that has joined may keep in the agent's memory.
pub(crate) fn bound(table: &mut RegionTable, identity: &Identity) {
    if identity.joined && !is_trusted(identity.user) {
        table.bound(REGIONS, RANGES, PART_OF_WATCHES);
    }
}

/// Whether this container may have one more listener, given how many each has that has joined.
pub(crate) fn check_listeners<'a>(
    identity: &Identity,
    joined: impl Iterator<Item = (&'a Identity, usize)>,
) -> Result<(), Limit> {
    let (mut own, mut of_one, mut strangers) = (0, 0, 0);
    for (other, listeners) in joined.filter(|(other, _)| other.joined) {
        if other == identity {
            own = listeners.max(1);
        }
        of_one += usize::from(other.user == identity.user);
        strangers += usize::from(!is_trusted(other.user));
    }
    match own {
        0 if is_trusted(identity.user) => Ok(()),
        0 if of_one >= CONTAINERS_OF_ONE => Err(Limit::Containers),
        0 if strangers >= CONTAINERS_OF_STRANGERS => Err(Limit::Strangers),
        own if own >= LISTENERS => Err(Limit::Listeners),
        _ => Ok(()),
    }
}

/// The connections that have not brought their listener yet.
#[derive(Clone, Default)]
pub(crate) struct PendingJoins(Arc<Mutex<HashMap<Identity, usize>>>);

impl PendingJoins {
    /// Counts one more, until the result is dropped.
    ///
    /// # Errors
    /// [`Limit::Pending`].
    pub(crate) fn begin(&self, identity: &Identity) -> Result<PendingJoin, Limit> {
        let mut pending = lock(&self.0);
        let trusted = is_trusted(identity.user);
        let sum = |counts: &dyn Fn(&Identity) -> bool| -> usize {
            pending.iter().filter(|(other, _)| counts(other)).map(|(_, count)| count).sum()
        };
        let most = if trusted { PENDING_OF_TRUSTED } else { PENDING_OF_STRANGERS };
        let of_one = if trusted { PENDING_OF_TRUSTED } else { PENDING_OF_ONE };
        // The host's trusted users start containers of their own, many at once.
        let of_container = if trusted && identity.is_host() { most } else { PENDING };
        if sum(&|other| other == identity) >= of_container
            || sum(&|other| other.user == identity.user) >= of_one
            || sum(&|other| is_trusted(other.user) == trusted) >= most
        {
            return Err(Limit::Pending);
        }
        *pending.entry(identity.clone()).or_default() += 1;
        Ok(PendingJoin { all: self.clone(), identity: identity.clone() })
    }
}

/// One of them.
pub(crate) struct PendingJoin {
    all: PendingJoins,
    identity: Identity,
}

impl Drop for PendingJoin {
    fn drop(&mut self) {
        let mut pending = lock(&self.all.0);
        if let Some(count) = pending.get_mut(&self.identity) {
            *count -= 1;
            if *count == 0 {
                pending.remove(&self.identity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(user: u32, number: usize) -> Identity {
        Identity { user, id: format!("pid:[{number}]"), joined: true }
    }

    #[test]
    fn strangers_use_up_their_own_part_of_the_connections() {
        let all = PendingJoins::default();
        let mut held = Vec::new();
        for user in 1000..1100 {
            for number in 0..10 {
                for _ in 0..10 {
                    held.extend(all.begin(&container(user, number)));
                }
            }
        }
        assert_eq!(held.len(), PENDING_OF_STRANGERS);
        let of_first = held.iter().filter(|one| one.identity.user == 1000).count();
        assert_eq!(of_first, PENDING_OF_ONE);
        let mut of_root = Vec::new();
        for _ in 0..10 {
            of_root.extend(all.begin(&container(0, 1)));
        }
        assert_eq!(of_root.len(), PENDING, "one container of root's");
        assert!(all.begin(&container(0, 2)).is_ok(), "another one");
        held.clear();
        assert!(all.begin(&container(1099, 0)).is_ok(), "what ended counts no more");
    }

    #[test]
    fn containers_and_listeners_are_bounded_by_account() {
        let check = |of: Identity, joined: &[(Identity, usize)]| {
            check_listeners(&of, joined.iter().map(|(identity, count)| (identity, *count)))
        };
        let mut joined: Vec<_> = (0..CONTAINERS_OF_ONE).map(|n| (container(1000, n), 1)).collect();
        assert_eq!(check(container(1000, 99), &joined), Err(Limit::Containers));
        assert_eq!(check(container(1000, 0), &joined), Ok(()), "one more process of one of them");
        assert_eq!(check(container(1001, 99), &joined), Ok(()));
        joined[0].1 = LISTENERS;
        assert_eq!(check(container(1000, 0), &joined), Err(Limit::Listeners));
        joined.extend((0..CONTAINERS_OF_STRANGERS).map(|n| (container(2000 + n as u32, n), 1)));
        assert_eq!(check(container(1001, 99), &joined), Err(Limit::Strangers));
        assert_eq!(check(container(0, 99), &joined), Ok(()), "root");
        let full = [(container(0, 1), LISTENERS)];
        assert_eq!(check(container(0, 1), &full), Err(Limit::Listeners), "root's as well");
        // What runtimes bring counts for nobody who joins.
        let brought: Vec<_> =
            (0..100).map(|n| (Identity { joined: false, ..container(1000, n) }, 1)).collect();
        assert_eq!(check(container(1000, 99), &brought), Ok(()));
    }
}
