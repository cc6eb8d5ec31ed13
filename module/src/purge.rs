//! The purge: unpinned ranges lose their pages, oldest first, for the shrinker and for PURGE_ALL_CACHES.
//!
//! Called out of reclaim, by a task that may hold any lock in the kernel: everything here only tries (see the lock order
//! in `region`). Several purges may be at work at once, on one region too. A PIN that comes while a range's pages go waits
//! for the end of it, and then says that they were purged (SHR-12).

use crate::range::{Id, Order, Ranges};
use crate::region::{Backing, Locked};
use crate::trace;

/// How many ranges whose region is in use a purge passes over. It does so holding a spinlock.
const PATIENCE: usize = 32;

/// Purges up to `ranges` ranges (SHR-06: the kernel's wish is counted in ranges, the answer in pages). Answers the number
/// of pages freed; `None` if there is no range, or not one in reach could be had.
pub(crate) fn purge(ranges: u64) -> Option<u64> {
    let mut freed = None;
    for _ in 0..ranges {
        match purge_one() {
            Step::Purged(pages) => freed = Some(freed.unwrap_or(0_u64).saturating_add(pages)),
            // With nothing freed the kernel has to be told to stop, or it asks again for as long as it once counted.
            Step::Empty | Step::Busy => return freed,
        }
    }
    Some(freed.unwrap_or(0))
}

enum Step {
    Purged(u64),
    /// Nothing is left in the order.
    Empty,
    /// All ranges in reach belong to regions in use.
    Busy,
}

fn purge_one() -> Step {
    let order = Order::lock();
    let mut at = order.lru().oldest();
    if at.is_none() {
        return Step::Empty;
    }
    for _ in 0..PATIENCE {
        let Some(id) = at else { break };
        let region = id.region();
        // SAFETY: the range is in the order, whose lock is held, so its region has not been released.
        let this = unsafe { region.as_ref() };
        if let Some(locked) = this.try_lock()
            && let Some(backing) = this.backing()
        {
            return Step::Purged(take(order, id, locked, backing));
        }
        at = order.lru().after(&Ranges, id);
    }
    Step::Busy
}

/// Purges one range, whose region is locked; answers its pages.
fn take(order: Order, id: Id, mut locked: Locked<'_>, backing: Backing) -> u64 {
    let span = locked.pins().purge(&Ranges, order.lru(), id);
    let punch = locked.punch();
    drop(order);
    drop(locked);
    backing.punch(span);
    trace::purge(punch.region(), span);
    span.pages()
}
