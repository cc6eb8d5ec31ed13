// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory pressure: when unpinned pages go.
//!
//! The kernel's own driver purges when the kernel reclaims memory. A supervisor reads MemAvailable
//! instead while pages can be purged, and the more often the less there is. Pressure stall
//! information (`/proc/pressure/memory`), where the kernel has it and allows this user to ask, also
//! tells it of programs that wait for memory. Stall information alone is not enough: where nothing
//! else can be reclaimed, as without swap, no program waits long before the OOM killer acts. Nor is
//! it a reason by itself: programs wait for memory, too, where a full page cache has to make room.
//! So stalls count only where memory is scarce: the system's, or that of a cgroup, within its
//! limit, in which a client is that has unpinned pages.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use ashmem_proc::{process, system};
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
/// Where control groups are mounted.
const GROUPS: &str = "/sys/fs/cgroup";

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
        ashmem_proc::read("/proc/meminfo").map_or(Self::Plenty, |text| Self::of(&text))
    }

    fn of(meminfo: &[u8]) -> Self {
        match (system::memory(meminfo, "MemAvailable"), system::memory(meminfo, "MemTotal")) {
            (Some(available), Some(total)) if available < total / SHORT => Self::Short,
            (Some(available), Some(total)) if available < total / SCARCE => Self::Scarce,
            _ => Self::Plenty,
        }
    }
}

/// Whether to purge now: the kernel has `told` of stalls or not, the system has this supply, and
/// memory may be scarce within a cgroup.
pub(crate) fn is_reason(told: bool, supply: Supply, is_scarce: impl FnOnce() -> bool) -> bool {
    match supply {
        Supply::Short => true,
        Supply::Scarce => told,
        Supply::Plenty => told && is_scarce(),
    }
}

/// Whether memory is scarce within the limit of a thread's cgroup, or of one above it. Version 2 of
/// control groups only: version 1 has no limit of this kind that stall information knows.
pub(crate) fn is_group_scarce(tid: i32) -> bool {
    let Some(groups) = process::control_groups(tid) else { return false };
    let group = groups.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"0::/"));
    let Some(group) = group.and_then(|group| std::str::from_utf8(group).ok()) else { return false };
    // The path of a group outside the control group namespace leads nowhere.
    if group.starts_with("..") {
        return false;
    }
    Path::new(group).ancestors().filter(|group| *group != Path::new("")).any(|group| {
        let read = |file| std::fs::read_to_string(Path::new(GROUPS).join(group).join(file));
        let read = |file| read(file).unwrap_or_default();
        let (max, high) = (read("memory.max"), read("memory.high"));
        is_scarce_within(&[&max, &high], &read("memory.current"), &read("memory.stat"))
    })
}

/// Whether less than the scarce part of the lower limit can still be had: what is not used, and the
/// files that can be dropped. A limit that is no number is none.
fn is_scarce_within(limits: &[&str], current: &str, stat: &str) -> bool {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let Some(limit) = limits.iter().filter_map(|limit| number(limit)).min() else { return false };
    let Some(current) = number(current) else { return false };
    let value = |key: &str| {
        let mut lines = stat.lines();
        lines.find_map(|line| number(line.strip_prefix(key)?.strip_prefix(' ')?)).unwrap_or(0)
    };
    let files = value("inactive_file") + value("active_file");
    limit.saturating_sub(current.saturating_sub(files)) < limit / SCARCE
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
    fn files_of_a_cgroup_are_room_and_its_limit_is_the_lower_one() {
        let stat = "anon 5\ninactive_file 500\nactive_file 100\nshmem 300\n";
        for (limits, current, scarce) in [
            (["max", "max"], "1000000", false),
            (["1000", "max"], "1000", false),
            (["1000", "max"], "1350", false),
            (["1000", "max"], "1351", true),
            (["10000", "1000"], "1400", true),
            (["", ""], "", false),
        ] {
            let limits = limits.map(|limit| format!("{limit}\n"));
            let limits = [limits[0].as_str(), limits[1].as_str()];
            assert_eq!(is_scarce_within(&limits, current, stat), scarce, "{limits:?}, {current}");
        }
        assert!(!is_group_scarce(i32::MAX), "a thread that is not there");
    }

    #[test]
    fn a_stall_is_no_reason_where_memory_is_not_scarce() {
        let nowhere = || false;
        for (told, supply, purges) in [
            (false, Supply::Plenty, false),
            (true, Supply::Plenty, false),
            (false, Supply::Scarce, false),
            (true, Supply::Scarce, true),
            (false, Supply::Short, true),
        ] {
            assert_eq!(is_reason(told, supply, nowhere), purges, "{told}, {supply:?}");
        }
        assert!(is_reason(true, Supply::Plenty, || true), "a cgroup's own memory");
        assert!(!is_reason(false, Supply::Plenty, || true), "that nobody waits for");
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
