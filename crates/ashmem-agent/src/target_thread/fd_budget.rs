// SPDX-License-Identifier: MIT OR Apache-2.0
//! The descriptors that this process may hold as caches.
//!
//! All tenants share one limit (RLIMIT_NOFILE). Without a free descriptor no caller's descriptor
//! can be inspected, and its ioctl would continue to the kernel, which does not know it. So all
//! caches together stay well below the limit, and a cache that gets no budget does without.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use ashmem_proc::system;

/// Descriptors that one tenant needs besides: its own, and those of the current request.
const NEEDED: usize = 16;
/// The limit where it cannot be read: the usual one.
const USUAL: usize = 1024;

/// How many caches hold.
static KEPT: AtomicUsize = AtomicUsize::new(0);
/// How many they may hold. Read from `/proc`, as the sandboxed agent may.
static MOST: LazyLock<usize> = LazyLock::new(|| {
    let limits = std::fs::read("/proc/self/limits").unwrap_or_default();
    most(limit_in(&limits))
});

/// The right to hold some descriptors, for as long as this lives.
pub(crate) struct FdBudget(usize);

impl FdBudget {
    /// Takes a budget of one descriptor, if any is left.
    pub(crate) fn take() -> Option<Self> {
        Self::take_some(1)
    }

    /// Takes a budget of so many descriptors, if they are left.
    pub(crate) fn take_some(count: usize) -> Option<Self> {
        let more = |kept: usize| Some(kept + count).filter(|kept| *kept <= *MOST);
        let taken = KEPT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        // Constructed only if they were taken: dropping it gives them back.
        taken.ok().map(|_| Self(count))
    }
}

impl Drop for FdBudget {
    fn drop(&mut self) {
        KEPT.fetch_sub(self.0, Ordering::Relaxed);
    }
}

fn most(limit: usize) -> usize {
    limit.saturating_sub(NEEDED) / 2
}

/// The soft limit of open files.
fn limit_in(limits: &[u8]) -> usize {
    system::open_files(limits).map_or(USUAL, |soft| usize::try_from(soft).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::{limit_in, most};

    #[test]
    fn half_of_what_is_not_needed_may_be_kept() {
        let limits = |soft| {
            format!(
                "Max processes  96365  96365  processes\n\
                 Max open files            {soft}   4096   files\n"
            )
        };
        for (soft, want) in
            [("16", 0), ("24", 4), ("1024", 504), ("unlimited", (usize::MAX - 16) / 2)]
        {
            assert_eq!(most(limit_in(limits(soft).as_bytes())), want, "{soft}");
        }
        assert_eq!(most(limit_in(b"")), 504, "unreadable");
    }
}
