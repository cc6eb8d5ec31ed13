// SPDX-License-Identifier: GPL-2.0
//! The purge order over all regions, the lock around it, and, with the kernel's memory for ranges,
//! both as the core's [`Store`].

use core::cell::Cell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};

use ashmem_core::lru::Lru;
use ashmem_core::pins;
use ashmem_core::range::{Range, Span};
use ashmem_core::store::{PageSize, Store};

use crate::glue::{self, Account};
use crate::region::{Id, OpenRegion};

/// What became of a try to purge.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum PurgeOutcome {
    /// A range lost its pages.
    Purged,
    /// There is no range, or none but of regions that others are at work on.
    Nothing,
    /// None of the ranges that were looked at may be taken; there are more.
    Busy,
}

/// What removes pages.
#[derive(Clone, Copy)]
pub(crate) enum Purger {
    /// One of the C half's workers, by its number.
    Worker(usize),
    /// The caller of PURGE_ALL_CACHES; there is one at a time.
    Caller,
}

impl Purger {
    /// As `ASHMEM_WORKERS` in `glue/glue.h`.
    const WORKERS: usize = 4;

    /// Every one.
    pub(crate) const ALL: [Self; Self::WORKERS + 1] =
        [Self::Worker(0), Self::Worker(1), Self::Worker(2), Self::Worker(3), Self::Caller];

    fn work(self) -> &'static Work {
        let [workers @ .., caller] = &ORDER.work;
        match self {
            // The C half has no others.
            Self::Worker(number) => workers.get(number).unwrap_or(caller),
            Self::Caller => caller,
        }
    }
}

/// What a purger has taken out of the order and not finished yet. Guarded by the order's lock, but
/// for the count.
struct Work {
    taken: Cell<Option<(NonNull<OpenRegion>, Span)>>,
    /// How many purges it has finished.
    ended: AtomicU32,
}

/// The order over all regions, and what has been taken out of it. The lock is `order_lock` in
/// `glue/lock.c`.
struct GlobalOrder {
    lru: Lru<Id>,
    work: [Work; Purger::ALL.len()],
    /// How many purgers are at work. Changes under the lock only.
    busy: AtomicU32,
}

// SAFETY: all but what is atomic is reached through `with_lru` and `PurgeOrder` alone, under the
// lock.
unsafe impl Sync for GlobalOrder {}

static ORDER: GlobalOrder = GlobalOrder {
    lru: Lru::new(),
    work: [const { Work { taken: Cell::new(None), ended: AtomicU32::new(0) } }; Purger::ALL.len()],
    busy: AtomicU32::new(0),
};

/// How many pages a purge could free now. Takes no lock (SHR-01).
pub(crate) fn purgeable_pages() -> u64 {
    ORDER.lru.pages()
}

/// How many ranges are looked at with the order's lock held.
const LOOKS: usize = 64;

/// The purge order, locked while this lives.
pub(crate) struct PurgeOrder(());

impl PurgeOrder {
    #[inline(always)]
    pub(crate) fn lock() -> Self {
        // SAFETY: the lock is a leaf, and no one asks for it twice.
        unsafe { glue::ashmem_order_lock() };
        Self(())
    }

    pub(crate) fn lru(&self) -> &Lru<Id> {
        &ORDER.lru
    }

    /// Takes the oldest range out of the order (SHR-05). The purger becomes a user of the region.
    ///
    /// A worker takes none of a region that another purger works on, so that a task which holds up
    /// the purge of one region holds up one worker. Where the oldest ranges are all of such
    /// regions, they go to the young end, and the next try finds others.
    ///
    /// # Errors
    /// [`PurgeOutcome::Nothing`], [`PurgeOutcome::Busy`].
    pub(crate) fn take_oldest(
        &self,
        purger: Purger,
    ) -> Result<(NonNull<OpenRegion>, Span), PurgeOutcome> {
        let busy = ORDER.busy.load(Ordering::Relaxed);
        let mut at = self.lru().oldest().ok_or(PurgeOutcome::Nothing)?;
        if busy != 0 && matches!(purger, Purger::Worker(_)) {
            let mut looks = LOOKS;
            while self.is_worked_on(at.region()) {
                looks -= 1;
                if looks == 0 {
                    self.move_to_young_end(LOOKS);
                    return Err(PurgeOutcome::Busy);
                }
                at = self.lru().after(&KernelRanges, at).ok_or(PurgeOutcome::Nothing)?;
            }
        }
        Ok(self.take(purger, at))
    }

    /// Takes the next range of a memory cgroup that is waited for, as [`PurgeOrder::take_oldest`]
    /// does, from where the last such look ended. So each range comes by in turn, whatever else
    /// waits, and those of one cgroup oldest first.
    ///
    /// # Errors
    /// [`PurgeOutcome::Nothing`]: there is none before the order's end; the next look begins anew.
    /// [`PurgeOutcome::Busy`].
    pub(crate) fn take_awaited(
        &self,
        purger: Purger,
    ) -> Result<(NonNull<OpenRegion>, Span), PurgeOutcome> {
        let mut at = self.lru().cursor();
        for _ in 0..LOOKS {
            self.lru().set_cursor(at);
            let id = at.ok_or(PurgeOutcome::Nothing)?;
            // SAFETY: the range is in the order, whose lock is held, so its region has not been
            // released.
            let cgroup = unsafe { id.region().as_ref() }.cgroup();
            if cgroup.is_some_and(Account::is_awaited) && !self.is_worked_on(id.region()) {
                return Ok(self.take(purger, id));
            }
            at = self.lru().after(&KernelRanges, id);
        }
        Err(PurgeOutcome::Busy)
    }

    /// Takes a range out of the order.
    fn take(&self, purger: Purger, id: Id) -> (NonNull<OpenRegion>, Span) {
        let region = id.region();
        // SAFETY: the range is in the order, whose lock is held, so its region has not been
        // released.
        let this = unsafe { region.as_ref() };
        this.hold();
        let span = pins::purge(&KernelRanges, self.lru(), this.facts().share(), id);
        purger.work().taken.set(Some((region, span)));
        ORDER.busy.store(ORDER.busy.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        (region, span)
    }

    fn is_worked_on(&self, region: NonNull<OpenRegion>) -> bool {
        ORDER.work.iter().any(|work| work.taken.get().is_some_and(|(taken, _)| taken == region))
    }

    fn move_to_young_end(&self, ranges: usize) {
        for _ in 0..ranges {
            if let Some(id) = self.lru().oldest() {
                self.lru().renew(&KernelRanges, id);
            }
        }
    }

    /// The pages are removed. Answers the word on which tasks wait for that.
    pub(crate) fn finish(&self, purger: Purger) -> &'static AtomicU32 {
        let work = purger.work();
        work.taken.set(None);
        work.ended.fetch_add(1, Ordering::Release);
        ORDER.busy.fetch_sub(1, Ordering::Release);
        &work.ended
    }

    /// How many purges the purger has finished, if it is at one that `matters`.
    pub(crate) fn at_work(
        &self,
        purger: Purger,
        matters: impl Fn(*const OpenRegion, Span) -> bool,
    ) -> Option<(&'static AtomicU32, u32)> {
        let work = purger.work();
        let (region, span) = work.taken.get()?;
        matters(region.as_ptr(), span).then(|| (&work.ended, work.ended.load(Ordering::Relaxed)))
    }

    /// Whether no purger is at work. A task that saw a range taken, under a lock that came after,
    /// is not told so in error.
    #[inline(always)]
    pub(crate) fn is_idle() -> bool {
        ORDER.busy.load(Ordering::Acquire) == 0
    }
}

impl Drop for PurgeOrder {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: locked by `lock`.
        unsafe { glue::ashmem_order_unlock() }
    }
}

/// The kernel's memory for ranges.
pub(crate) struct KernelRanges;

impl ashmem_core::range::Ranges for KernelRanges {
    type Id = Id;

    fn range(&self, id: Id) -> &Range<Id> {
        // SAFETY: the core never uses an id it has given to `free`, and ids come from `allocate`
        // alone. The result is not kept beyond the operation at hand. A range's links are cells
        // that no two CPUs touch without a common lock (the region's for the tree, the order's for
        // the place in it); its bounds and marks are atomic.
        unsafe { id.range() }
    }
}

impl Store for KernelRanges {
    fn page_size(&self) -> PageSize {
        // SAFETY: a constant of the kernel at hand, which has no other pages.
        let shift = unsafe {
            core::hint::assert_unchecked(matches!(glue::ashmem_page_shift, 12..=16));
            glue::ashmem_page_shift
        };
        PageSize::from_shift(shift)
    }

    fn free(&self, id: Id) {
        // SAFETY: the core frees a range with its region locked, or as the last to use it.
        let kept = unsafe { id.region().as_ref().keep(id) };
        if !kept {
            // SAFETY: allocated by `allocate`, and the core frees each id once, when nothing refers
            // to it any more.
            unsafe { id.give_back() }
        }
    }

    fn pause(&self) {
        // SAFETY: no lock is held.
        unsafe { glue::ashmem_pause() };
    }

    #[inline(always)]
    fn with_lru<R>(&self, work: impl FnOnce(&Lru<Id>) -> R) -> R {
        let order = PurgeOrder::lock();
        work(order.lru())
    }
}
