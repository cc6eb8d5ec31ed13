// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory pressure: when unpinned pages go.
//!
//! The kernel's own driver purges when the kernel reclaims memory. A supervisor reads MemAvailable
//! instead while pages can be purged, and the more often the less there is. Pressure stall
//! information (`/proc/pressure/memory`), where the kernel has it and allows this user to ask, also
//! tells it of programs that wait for memory although the system has some, as behind a cgroup's
//! limit. Stall information alone is not enough: where nothing else can be reclaimed, as without
//! swap, no program waits long before the OOM killer acts.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ashmem_proc::system;
use rustix::fs::{Mode, OFlags};

/// Tasks stalled for 150 ms within 2 s. Users without CAP_SYS_RESOURCE may only ask for whole
/// multiples of 2 s.
const TRIGGER: &[u8] = b"some 150000 2000000\0";
/// Memory is short when less than this part of it is available: the kernel's own watermarks are not
/// far then.
const SHORT: u64 = 16;
/// Memory is scarce when less than this part of it is available.
const SCARCE: u64 = 4;
/// The part of the purgeable pages that each purge takes.
const PART: u64 = 4;
/// The fewest pages that a purge takes.
const LEAST: u64 = 4096;

/// The source of memory pressure events.
pub(crate) struct Pressure {
    trigger: Option<OwnedFd>,
}

impl Pressure {
    /// Asks the kernel for pressure events.
    pub(crate) fn watch() -> Self {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let trigger = rustix::fs::open("/proc/pressure/memory", flags, Mode::empty())
            .and_then(|file| rustix::io::write(&file, TRIGGER).map(|_| file));
        if let Err(error) = &trigger {
            tracing::debug!(%error, "no pressure stall information: only MemAvailable is read");
        }
        Self { trigger: trigger.ok() }
    }

    /// Shows an exceptional condition (POLLPRI) under pressure, at most once in 2 s.
    pub(crate) fn trigger(&self) -> Option<BorrowedFd<'_>> {
        self.trigger.as_ref().map(AsFd::as_fd)
    }
}

/// How much memory there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Supply {
    /// Enough.
    Plenty,
    /// A greedy program could take the rest within a second.
    Scarce,
    /// It is time to purge.
    Short,
}

impl Supply {
    /// What the system has now.
    pub(crate) fn now() -> Self {
        std::fs::read("/proc/meminfo").map_or(Self::Plenty, |text| Self::of(&text))
    }

    fn of(meminfo: &[u8]) -> Self {
        match (system::memory(meminfo, "MemAvailable"), system::memory(meminfo, "MemTotal")) {
            (Some(available), Some(total)) if available < total / SHORT => Self::Short,
            (Some(available), Some(total)) if available < total / SCARCE => Self::Scarce,
            _ => Self::Plenty,
        }
    }
}

/// How many of the purgeable pages to purge now.
pub(crate) fn share_of(purgeable: u64) -> u64 {
    (purgeable / PART).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_scarce_below_a_quarter_and_short_below_a_sixteenth() {
        let of = |available| {
            let text = format!("MemTotal: 16000 kB\nMemFree: 1 kB\nMemAvailable: {available} kB\n");
            Supply::of(text.as_bytes())
        };
        let supplies = [4000, 3999, 1000, 999].map(of);
        assert_eq!(supplies, [Supply::Plenty, Supply::Scarce, Supply::Scarce, Supply::Short]);
        assert_eq!(Supply::of(b""), Supply::Plenty);
    }

    #[test]
    fn a_quarter_goes_and_never_next_to_nothing() {
        assert_eq!(share_of(100_000), 25_000);
        assert_eq!(share_of(3), LEAST);
    }

    #[test]
    fn the_kernel_takes_the_trigger_where_it_has_one() {
        match std::fs::read_to_string("/proc/pressure/memory") {
            Err(error) => {
                eprintln!("skipped: this kernel has no pressure stall information ({error})")
            }
            // Root may always ask; others from 6.4 on.
            Ok(_) if !rustix::process::geteuid().is_root() => {
                eprintln!("skipped: only root may ask on every kernel")
            }
            Ok(_) => assert!(Pressure::watch().trigger().is_some()),
        }
    }
}
