//! The descriptors that this process may keep only to save work.
//!
//! They run out for all tenants at once, and without one no caller's descriptor can be looked at: its ioctl would go on to
//! the kernel, which does not know it. So what all tenants keep together stays well below the limit (RLIMIT_NOFILE), and
//! who gets no allowance works without.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use ashmem_proc::system;

/// What one tenant's work takes beside: its own descriptors, and those of the request in hand.
const NEEDED: usize = 16;
/// The limit where it cannot be read: the usual one.
const USUAL: usize = 1024;

/// How many are kept.
static KEPT: AtomicUsize = AtomicUsize::new(0);
/// How many may be. Read from `/proc`, as a confined agent may.
static MOST: LazyLock<usize> = LazyLock::new(|| {
    let limits = std::fs::read("/proc/self/limits").unwrap_or_default();
    most(limit_in(&limits))
});

/// The right to keep one descriptor, for as long as this lives.
pub(crate) struct FdBudget(());

impl FdBudget {
    /// One, if there is any left.
    pub(crate) fn take() -> Option<Self> {
        let one_more = |kept: usize| (kept < *MOST).then_some(kept + 1);
        let taken = KEPT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        // Made only where one was taken, for what is dropped gives one back.
        taken.ok().map(|_| Self(()))
    }
}

impl Drop for FdBudget {
    fn drop(&mut self) {
        KEPT.fetch_sub(1, Ordering::Relaxed);
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
        let limits =
            |soft| format!("Max processes  96365  96365  processes\nMax open files            {soft}   4096   files\n");
        for (soft, want) in [("16", 0), ("24", 4), ("1024", 504), ("unlimited", (usize::MAX - 16) / 2)] {
            assert_eq!(most(limit_in(limits(soft).as_bytes())), want, "{soft}");
        }
        assert_eq!(most(limit_in(b"")), 504, "unreadable");
    }
}
