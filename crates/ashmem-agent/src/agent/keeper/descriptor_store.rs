// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the agent has stored, by its names.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, Result};
use rustix::process::Resource;

use crate::agent::stored_fd::StoredFd;

/// The most descriptors that are stored, as in systemd's unit. Fewer where this process may have
/// few open: starting an agent takes three times as many for a moment.
const MOST: usize = 4096;
/// The most bytes that their names take; an agent gets them as one variable, for which the kernel's
/// limit is 128 KiB.
const MOST_NAMES: usize = 120_000;

/// The descriptors.
#[derive(Debug)]
pub(super) struct DescriptorStore {
    fds: BTreeMap<String, OwnedFd>,
    most: usize,
}

impl DescriptorStore {
    /// An empty one, with room for what this process may have open. Raises its limit as far as it
    /// goes.
    pub(super) fn new() -> Self {
        let mut limit = rustix::process::getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // Whether or not it may be raised, what counts is the limit that there is then.
        let _ = rustix::process::setrlimit(Resource::Nofile, limit);
        let limit = rustix::process::getrlimit(Resource::Nofile).current;
        Self { fds: BTreeMap::new(), most: room(limit) }
    }

    /// How many are stored.
    pub(super) fn len(&self) -> usize {
        self.fds.len()
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, BorrowedFd<'_>)> {
        self.fds.iter().map(|(name, fd)| (name.as_str(), fd.as_fd()))
    }

    /// poll(2): waits until one of the others can be read, the time is over, or a listener or a
    /// monitor's connection hangs up: the last process under its filter is gone. That one is
    /// dropped. Nothing else is watched, for inotify would wake this at each region's death.
    ///
    /// # Errors
    /// Those of poll(2), ENOMEM for example.
    pub(super) fn wait(&mut self, others: &[&OwnedFd], time: Option<Duration>) -> Result<()> {
        let hangs_up = |name: &str| StoredFd::parse(name).is_some_and(|(_, what)| what.hangs_up());
        let watched: Vec<_> = self.fds.iter().filter(|(name, _)| hangs_up(name)).collect();
        let mut fds: Vec<_> = others.iter().map(|fd| PollFd::new(*fd, PollFlags::IN)).collect();
        fds.extend(watched.iter().map(|(_, fd)| PollFd::new(*fd, PollFlags::empty())));
        let time = time.and_then(|time| Timespec::try_from(time).ok());
        match poll(&mut fds, time.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        let seen = watched.iter().zip(fds.iter().skip(others.len()));
        let ended: Vec<String> = seen
            .filter(|(_, polled)| !polled.revents().is_empty())
            .map(|((name, _), _)| (*name).clone())
            .collect();
        ended.iter().for_each(|name| drop(self.fds.remove(name)));
        Ok(())
    }

    /// Does what a message of sd_notify(3) asks for. The descriptor of a message that asks nothing
    /// of it is closed, which is the answer to BARRIER=1.
    pub(super) fn hear(&mut self, text: &str, fd: Option<OwnedFd>) {
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
        let Some(name) = value("FDNAME=") else { return };
        // It stands between colons in the next agent's environment.
        let is_plain = |sign: char| sign.is_ascii_alphanumeric() || sign == '-';
        if name.is_empty() || !name.chars().all(is_plain) {
            tracing::warn!("ignored a descriptor of a name that cannot be passed on");
        } else if value("FDSTOREREMOVE=") == Some("1") {
            self.fds.remove(name);
        } else if let Some(fd) = fd.filter(|_| value("FDSTORE=") == Some("1")) {
            let names: usize = self.fds.keys().map(|name| name.len() + 1).sum();
            let has_room = self.fds.len() < self.most && names + name.len() < MOST_NAMES;
            if has_room || self.fds.contains_key(name) {
                self.fds.insert(name.to_owned(), fd);
            } else {
                tracing::error!(
                    stored = self.fds.len(),
                    "no more descriptors are stored: a container is lost with this agent (the \
                     limit is a quarter of the open files that it may have, and 4096)"
                );
            }
        }
    }
}

/// How many descriptors can be stored by a process that may have so many open.
fn room(limit: Option<u64>) -> usize {
    limit.and_then(|limit| usize::try_from(limit / 4).ok()).map_or(MOST, |room| room.min(MOST))
}

#[cfg(test)]
mod tests {
    use super::{DescriptorStore, room};
    use std::collections::BTreeMap;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    fn store(most: usize) -> DescriptorStore {
        DescriptorStore { fds: BTreeMap::new(), most }
    }

    fn some_fd() -> OwnedFd {
        OwnedFd::from(std::fs::File::open("/dev/null").expect("the null device"))
    }

    fn names(store: &DescriptorStore) -> Vec<&str> {
        store.all().map(|(name, _)| name).collect()
    }

    #[test]
    fn what_is_stored_has_a_name_that_can_be_passed_on_and_a_bound() {
        let mut stored = store(2);
        let mut store =
            |name: &str| stored.hear(&format!("FDSTORE=1\nFDNAME={name}"), Some(some_fd()));
        let _ = ["", "a:b", "a b", "a\u{e9}", "one", "one", "two", "three"].map(&mut store);
        assert_eq!(names(&stored), ["one", "two"]);
        stored.hear("FDSTORE=1\nFDNAME=four", None);
        stored.hear("BARRIER=1", Some(some_fd()));
        stored.hear("FDSTOREREMOVE=1\nFDNAME=one", None);
        assert_eq!(names(&stored), ["two"]);
    }

    #[test]
    fn the_names_together_fit_into_one_variable() {
        let mut stored = store(usize::MAX);
        for number in 0..3 {
            let name = format!("{number}{}", "a".repeat(50_000));
            stored.hear(&format!("FDSTORE=1\nFDNAME={name}"), Some(some_fd()));
        }
        assert_eq!(stored.len(), 2);
    }

    #[test]
    fn a_quarter_of_the_open_files_is_for_the_store() {
        assert_eq!([Some(1024), Some(65_536), Some(3), None].map(room), [256, 4096, 0, 4096]);
    }

    #[test]
    fn what_hangs_up_is_dropped_and_what_is_only_readable_wakes_nobody() {
        let mut stored = store(8);
        let pairs = ["container-0-monitor", "container-1-monitor", "container-0-deaths"].map(
            |name| -> UnixStream {
                let (ours, theirs) = UnixStream::pair().expect("a pair");
                stored.hear(&format!("FDSTORE=1\nFDNAME={name}"), Some(theirs.into()));
                ours
            },
        );
        let now = Some(Duration::ZERO);
        stored.wait(&[], now).expect("a look");
        assert_eq!(stored.len(), 3, "all are connected");
        let [gone, _there, deaths] = pairs;
        // As a monitor that ends, and an inotify descriptor that has events.
        drop((gone, deaths));
        stored.wait(&[], now).expect("a look");
        assert_eq!(names(&stored), ["container-0-deaths", "container-1-monitor"]);
    }
}
