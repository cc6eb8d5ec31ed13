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
/// Threads at once that were left behind by joins ([`super::errand`]), of one container, of one
/// account that is not trusted, and of all such accounts, or of the trusted ones, until none begins
/// that has one already. Joins that have begun may go beyond.
const LEFT_BEHIND: usize = 2;
const LEFT_BEHIND_OF_ONE: usize = 8;
const LEFT_BEHIND_OF_ALL: usize = 64;
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
    /// Too many threads that wait for it.
    #[error(
        "file servers hold up joins of its container or its user that have begun, for they answer \
         nothing about their memory, their /dev or what they sent: stop these servers"
    )]
    LeftBehind,
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

/// How many of something each container has.
#[derive(Clone, Default)]
struct Tally(Arc<Mutex<HashMap<Identity, usize>>>);

impl Tally {
    /// Counts one more, until the result is dropped, if this may be.
    fn count_if(
        &self,
        identity: &Identity,
        may: impl FnOnce(&TallySums) -> bool,
    ) -> Option<TallyMark> {
        let mut counts = lock(&self.0);
        may(&TallySums::of(&counts, identity)).then(|| {
            *counts.entry(identity.clone()).or_default() += 1;
            TallyMark { all: self.clone(), identity: identity.clone() }
        })
    }
}

/// How many there are of a container, of its account, and of all accounts that are trusted, or not,
/// as that one is.
struct TallySums {
    of_container: usize,
    of_account: usize,
    of_all: usize,
}

impl TallySums {
    fn of(counts: &HashMap<Identity, usize>, identity: &Identity) -> Self {
        let sum = |counts_for: &dyn Fn(&Identity) -> bool| -> usize {
            counts.iter().filter(|(other, _)| counts_for(other)).map(|(_, count)| count).sum()
        };
        Self {
            of_container: sum(&|other| other == identity),
            of_account: sum(&|other| other.user == identity.user),
            of_all: sum(&|other| is_trusted(other.user) == is_trusted(identity.user)),
        }
    }
}

/// One that is counted.
pub(crate) struct TallyMark {
    all: Tally,
    identity: Identity,
}

impl Drop for TallyMark {
    fn drop(&mut self) {
        let mut counts = lock(&self.all.0);
        if let Some(count) = counts.get_mut(&self.identity) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.identity);
            }
        }
    }
}

/// The connections that have not brought their listener yet.
#[derive(Default)]
pub(crate) struct PendingJoins(Tally);

impl PendingJoins {
    /// Counts one more, until the result is dropped.
    ///
    /// # Errors
    /// [`Limit::Pending`].
    pub(crate) fn begin(&self, identity: &Identity) -> Result<TallyMark, Limit> {
        let trusted = is_trusted(identity.user);
        let most = if trusted { PENDING_OF_TRUSTED } else { PENDING_OF_STRANGERS };
        let of_one = if trusted { PENDING_OF_TRUSTED } else { PENDING_OF_ONE };
        // The host's trusted users start containers of their own, many at once.
        let of_container = if trusted && identity.is_host() { most } else { PENDING };
        let has_room = |sums: &TallySums| {
            sums.of_container < of_container && sums.of_account < of_one && sums.of_all < most
        };
        self.0.count_if(identity, has_room).ok_or(Limit::Pending)
    }
}

/// The threads that wait for what a process that joined makes last, and for which nobody waits any
/// more.
#[derive(Default)]
pub(crate) struct LeftBehind(Tally);

impl LeftBehind {
    /// Whether this container may have threads wait for it. Whoever has none yet may, so that
    /// nobody is kept out by what others do: a container of a trusted account, another account.
    ///
    /// # Errors
    /// [`Limit::LeftBehind`].
    pub(crate) fn check(&self, identity: &Identity) -> Result<(), Limit> {
        let sums = TallySums::of(&lock(&self.0.0), identity);
        let (own, of_one) = match is_trusted(identity.user) {
            true => (sums.of_container, usize::MAX),
            false => (sums.of_account, LEFT_BEHIND_OF_ONE),
        };
        let is_full = sums.of_container >= LEFT_BEHIND
            || own >= of_one
            || own > 0 && sums.of_all >= LEFT_BEHIND_OF_ALL;
        if is_full { Err(Limit::LeftBehind) } else { Ok(()) }
    }

    /// Counts one more, until the result is dropped.
    pub(crate) fn count(&self, identity: &Identity) -> Option<TallyMark> {
        self.0.count_if(identity, |_| true)
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        lock(&self.0.0).values().sum()
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
    fn threads_that_are_left_behind_keep_nobody_else_out() {
        let all = LeftBehind::default();
        let mut left = Vec::new();
        let mut leave = |user, number| {
            let may = all.check(&container(user, number));
            left.extend(may.is_ok().then(|| all.count(&container(user, number))));
            may
        };
        assert_eq!((0..9).filter(|_| leave(1000, 1).is_ok()).count(), LEFT_BEHIND);
        assert_eq!(leave(1000, 2), Ok(()), "another container");
        assert!((0..90).filter(|n| leave(1000, *n).is_ok()).count() < LEFT_BEHIND_OF_ONE);
        assert_eq!(leave(1000, 99), Err(Limit::LeftBehind), "however many containers it makes");
        for user in 1001..1100 {
            let _ = (0..90).filter(|number| leave(user, *number).is_ok()).count();
            assert_eq!(leave(user + 1, 0), Ok(()), "another account");
        }
        for number in 0..100 {
            let _ = (0..3).filter(|_| leave(0, number).is_ok()).count();
            assert_eq!(leave(0, number + 1), Ok(()), "another container of root's");
        }
        // A hundred of each that have one, and 64 that have more.
        assert!(
            all.len() < 2 * (100 + LEFT_BEHIND_OF_ALL) + 2 * LEFT_BEHIND_OF_ONE,
            "{}",
            all.len()
        );
        left.clear();
        assert_eq!(all.len(), 0);
        assert_eq!(all.check(&container(1000, 1)), Ok(()));
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
