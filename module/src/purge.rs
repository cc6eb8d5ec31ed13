// SPDX-License-Identifier: GPL-2.0
//! The purge: unpinned ranges lose their pages, oldest first.
//!
//! Removing pages waits for the locks of the backing file and of its pages, and a task that holds
//! those may be waiting for memory. So it never happens inside reclaim: the C half's workers do it
//! (`glue/shrinker.c`), a [`Purger`] each, and tasks that ask for it themselves: PURGE_ALL_CACHES,
//! a [`Purger`] too, and what purges one region, whose ranges are then kept from others. The
//! shrinker only asks the workers, and waits for a bounded moment.
//!
//! A purge takes its range out of the order under the order's lock and removes the pages under
//! none. A PIN that comes meanwhile waits for the end of it, and says that the pages were purged
//! (SHR-12).

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use ashmem_core::Errno;
use ashmem_core::pins::PurgeStep;
use ashmem_core::range::Span;

use crate::glue;
use crate::order::{KernelRanges, PurgeOrder, PurgeOutcome, Purger};
use crate::region::{Locked, OpenRegion, STRIDE, wait_while};
use crate::trace;

/// Purges the oldest range.
pub(crate) fn purge_oldest(purger: Purger) -> PurgeOutcome {
    let taken = PurgeOrder::lock().take_oldest(purger);
    taken.map_or_else(|outcome| outcome, |(region, span)| remove_pages(purger, region, span))
}

/// Purges the next range of a memory cgroup that is waited for.
pub(crate) fn purge_awaited(purger: Purger) -> PurgeOutcome {
    let taken = PurgeOrder::lock().take_awaited(purger);
    taken.map_or_else(|outcome| outcome, |(region, span)| remove_pages(purger, region, span))
}

/// The rest of a purge, once its range was taken.
fn remove_pages(purger: Purger, region: NonNull<OpenRegion>, span: Span) -> PurgeOutcome {
    // SAFETY: taking the range made this purger a user of the region.
    let this = unsafe { region.as_ref() };
    punch(this, span);
    let ended = PurgeOrder::lock().finish(purger);
    // SAFETY: wakes the tasks that wait for this purge; ends this purger's use of the region,
    // which nothing touches after it.
    unsafe {
        glue::ashmem_wake(ended.as_ptr());
        OpenRegion::put(region);
    }
    PurgeOutcome::Purged
}

/// PURGE_ALL_CACHES: purges as many ranges as were in the order when it began, oldest first, so
/// that what was unpinned then and still is has lost its pages when it ends, whatever others unpin
/// meanwhile. Answers how many pages were in the order (PURGE-02).
///
/// # Errors
/// EINTR: the caller has been killed.
pub(crate) fn purge_all() -> Result<u64, Errno> {
    // SAFETY: waits for another such request to end; `false` if the caller was killed meanwhile.
    if !unsafe { glue::ashmem_purge_all_lock() } {
        return Err(Errno::Intr);
    }
    let outcome = purge_all_locked();
    // SAFETY: locked above.
    unsafe { glue::ashmem_purge_all_unlock() };
    outcome
}

fn purge_all_locked() -> Result<u64, Errno> {
    let (pages, ranges) = {
        let order = PurgeOrder::lock();
        (order.lru().pages(), order.lru().ranges())
    };
    for _ in 0..ranges {
        // SAFETY: looks at the caller; no lock is held.
        if unsafe { glue::ashmem_pause() } {
            return Err(Errno::Intr);
        }
        if purge_oldest(Purger::Caller) != PurgeOutcome::Purged {
            break;
        }
    }
    wait_for_purgers(|_, _| true)?;
    Ok(pages)
}

/// Whether UNPIN is to purge at once; asked once for each, since root may change it at any time.
#[inline(always)]
pub(crate) fn is_wanted_at_once() -> bool {
    // SAFETY: one reads a parameter of the module, the other calls for it.
    unsafe {
        glue::ashmem_unpinning_at_once.load(Ordering::Relaxed) != 0 && glue::ashmem_may_reclaim()
    }
}

/// Purges what an UNPIN of `span` left unpinned, before it returns: while a test of programs asks
/// for it. Pages that were written to within a purged range go as well, so that whoever pins them
/// finds zeros. Others have the region meanwhile, but not its ranges.
#[cold]
#[inline(never)]
pub(crate) fn purge_unpinned<'a>(
    region: &OpenRegion,
    mut locked: Locked<'a>,
    span: Span,
) -> Locked<'a> {
    // One range holds all of them now.
    let purged = locked.pins().purge_lowest(&KernelRanges, region.facts().share(), span, 1);
    let taken = if let PurgeStep::Purged(range) = purged { range } else { span };
    locked.aside(|| {
        punch(region, taken);
        // A worker may have taken the range just before. Who is killed sees no pages any more.
        let _killed = wait_for_purges(region, span);
    })
}

/// Purges what was unpinned in the region as this began and still is, from the lowest page up.
/// Answers how many pages that were. Others have the region meanwhile, and between two ranges its
/// ranges too.
///
/// # Errors
/// EINTR: the caller has been killed.
pub(crate) fn purge_region(region: &OpenRegion) -> Result<u64, Errno> {
    let (mut from, mut pages) = (0, 0_u64);
    while let Some(rest) = Span::onwards(from) {
        let mut locked = region.lock_pins()?;
        let share = region.facts().share();
        from = match locked.pins().purge_lowest(&KernelRanges, share, rest, STRIDE) {
            PurgeStep::Purged(span) => {
                locked.aside(|| punch(region, span)).finish();
                pages = pages.saturating_add(span.pages());
                span.last().saturating_add(1)
            }
            PurgeStep::Passed(page) => {
                drop(locked);
                page
            }
            PurgeStep::End => break,
        };
        // SAFETY: looks at the caller; no lock is held.
        if unsafe { glue::ashmem_pause() } {
            return Err(Errno::Intr);
        }
    }
    // What others took out of the order just before has lost its pages too as this ends.
    wait_for_purgers(|of, _| core::ptr::eq(of, region))?;
    Ok(pages)
}

fn punch(region: &OpenRegion, span: Span) {
    // A region with ranges has a backing file.
    if let Some(backing) = region.backing() {
        backing.punch(span, region.cgroup());
    }
    trace::purge(region, span);
}

/// Waits until no purge that has begun by now removes pages of `span` of the region any more
/// (SHR-12).
///
/// # Errors
/// EINTR: the caller has been killed.
#[inline(always)]
pub(crate) fn wait_for_purges(region: &OpenRegion, span: Span) -> Result<(), Errno> {
    if PurgeOrder::is_idle() {
        return Ok(());
    }
    wait_for_purgers(|of, pages| {
        core::ptr::eq(of, region) && pages.first() <= span.last() && span.first() <= pages.last()
    })
}

/// Waits for each purge under way that `matters` to end.
#[cold]
#[inline(never)]
fn wait_for_purgers(matters: impl Fn(*const OpenRegion, Span) -> bool) -> Result<(), Errno> {
    for purger in Purger::ALL {
        let at_work = PurgeOrder::lock().at_work(purger, &matters);
        if let Some((ended, seen)) = at_work {
            wait_while(ended, seen)?;
        }
    }
    Ok(())
}
