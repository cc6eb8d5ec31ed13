// SPDX-License-Identifier: MIT OR Apache-2.0
//! The descriptors of a container that a successor needs, by the names that they are stored under.

/// A descriptor in the service manager's store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoredFd {
    Journal,
    InodeEvents,
    Listener(u64),
    Monitor,
}

impl StoredFd {
    /// Its name there.
    pub(super) fn name(self, container: u64) -> String {
        match self {
            Self::Journal => format!("container-{container}-state"),
            Self::InodeEvents => format!("container-{container}-deaths"),
            Self::Listener(number) => format!("container-{container}-listener-{number}"),
            Self::Monitor => format!("container-{container}-monitor"),
        }
    }

    /// What has this name, and of which container.
    pub(super) fn parse(name: &str) -> Option<(u64, Self)> {
        let (container, what) = name.strip_prefix("container-")?.split_once('-')?;
        let what = match what {
            "state" => Self::Journal,
            "deaths" => Self::InodeEvents,
            "monitor" => Self::Monitor,
            listener => Self::Listener(listener.strip_prefix("listener-")?.parse().ok()?),
        };
        Some((container.parse().ok()?, what))
    }

    /// Whether it hangs up when its container ends; until then nothing is to be heard of it.
    pub(super) fn hangs_up(self) -> bool {
        matches!(self, Self::Listener(_) | Self::Monitor)
    }
}

#[cfg(test)]
mod tests {
    use super::StoredFd;

    #[test]
    fn what_ends_with_its_container_is_watched_and_nothing_else() {
        assert!(StoredFd::Listener(3).hangs_up() && StoredFd::Monitor.hangs_up());
        // inotify wakes whoever watches it at each region's death.
        assert!(!StoredFd::InodeEvents.hangs_up() && !StoredFd::Journal.hangs_up());
    }

    #[test]
    fn kept_descriptors_are_known_by_their_names() {
        for what in [
            StoredFd::Journal,
            StoredFd::InodeEvents,
            StoredFd::Monitor,
            StoredFd::Listener(0),
            StoredFd::Listener(17),
        ] {
            assert_eq!(StoredFd::parse(&what.name(42)), Some((42, what)));
        }
        for name in [
            "",
            "ashmem-agent.socket",
            "container-",
            "container-x-state",
            "container-1-listener-",
            "container-1-x",
        ] {
            assert_eq!(StoredFd::parse(name), None, "{name}");
        }
    }
}
