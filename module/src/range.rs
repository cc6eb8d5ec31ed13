// SPDX-License-Identifier: GPL-2.0
//! Unpinned ranges in kernel memory.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use ashmem_core::Errno;
use ashmem_core::range::Range;

use crate::glue::{self, Account};

/// What a range belongs to: a region, of which a range needs to know no more than this.
pub(crate) trait Owner {
    /// The account that its memory counts for.
    fn account(&self) -> &Account;
}

/// A range's id: its address.
pub(crate) struct RangeId<O>(NonNull<UnpinnedRange<O>>);

/// A range, and the region it belongs to: a purge finds ranges first.
pub(crate) struct UnpinnedRange<O> {
    range: Range<RangeId<O>>,
    region: NonNull<O>,
}

impl<O> Clone for RangeId<O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<O> Copy for RangeId<O> {}

impl<O> PartialEq for RangeId<O> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<O> Eq for RangeId<O> {}

impl<O: Owner> RangeId<O> {
    /// Allocates a spare range for `region`. May reclaim memory: no lock may be held.
    ///
    /// # Errors
    /// ENOMEM, also where the region's user has as many ranges as a user may.
    pub(crate) fn allocate(region: &O) -> Result<Self, Errno> {
        const { assert!(size_of::<UnpinnedRange<O>>() <= glue::RANGE_BYTES) }
        let ranges = &region.account().ranges;
        // SAFETY: the kernel changes the parameter as one word.
        let most = unsafe { glue::ashmem_max_ranges.load(Ordering::Relaxed) };
        // SAFETY: looks at the caller.
        if ranges.fetch_add(1, Ordering::Relaxed) >= most && !unsafe { glue::ashmem_may_exceed() } {
            ranges.fetch_sub(1, Ordering::Relaxed);
            return Err(Errno::NoMem);
        }
        // SAFETY: allocates; null is looked at below.
        let memory = unsafe { glue::ashmem_range_alloc() };
        let Some(memory) = NonNull::new(memory.cast::<UnpinnedRange<O>>()) else {
            ranges.fetch_sub(1, Ordering::Relaxed);
            return Err(Errno::NoMem);
        };
        // SAFETY: fresh memory of RANGE_BYTES, in which the type fits; slab objects are aligned to
        // 8 bytes.
        unsafe {
            memory.write(UnpinnedRange { range: Range::spare(), region: NonNull::from(region) })
        };
        Ok(Self(memory))
    }

    /// Gives the range back to the kernel.
    ///
    /// # Safety
    /// It came from `allocate`, nothing refers to it, and its region lives.
    pub(crate) unsafe fn give_back(self) {
        // SAFETY: as the caller says.
        unsafe {
            self.region().as_ref().account().ranges.fetch_sub(1, Ordering::Relaxed);
            glue::ashmem_range_free(self.0.as_ptr().cast());
        }
    }

    /// Makes a spare of a range that nothing refers to.
    ///
    /// # Safety
    /// As for [`RangeId::give_back`].
    pub(crate) unsafe fn renew(self) {
        // SAFETY: as the caller says.
        unsafe { (*self.0.as_ptr()).range = Range::spare() }
    }

    /// The range itself.
    ///
    /// # Safety
    /// The range is in use, and stays so for as long as the result is kept.
    pub(crate) unsafe fn range<'a>(self) -> &'a Range<Self> {
        // SAFETY: as the caller says.
        unsafe { &(*self.0.as_ptr()).range }
    }

    /// The region it belongs to. The caller holds the purge order's lock or the region's, or is the
    /// last to use the region, and the range is in use, so that neither can go.
    pub(crate) fn region(self) -> NonNull<O> {
        // SAFETY: the range is in use, as the caller knows; the field never changes.
        unsafe { self.0.as_ref() }.region
    }
}

/// A spare range that is given back if nobody took it.
pub(crate) struct Spare<O: Owner>(pub(crate) Option<RangeId<O>>);

impl<O: Owner> Drop for Spare<O> {
    fn drop(&mut self) {
        if let Some(id) = self.0.take() {
            // SAFETY: a spare has one owner, which keeps its region alive.
            unsafe { id.give_back() }
        }
    }
}
