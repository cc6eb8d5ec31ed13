//! Unpinned ranges in kernel memory, the lock around their purge order, and both as the core's [`Store`].

use core::ptr::NonNull;

use ashmem_core::Errno;
use ashmem_core::lru::Lru;
use ashmem_core::pins::Range;
use ashmem_core::store::{PageSize, Store};

use crate::glue;
use crate::region::Region;

/// A range's id: its address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id(NonNull<UnpinnedRange>);

/// A range, and the region it belongs to: the shrinker finds ranges first.
pub(crate) struct UnpinnedRange {
    range: Range<Id>,
    region: NonNull<Region>,
}

const _: () = assert!(size_of::<UnpinnedRange>() <= glue::RANGE_BYTES);

impl Id {
    /// Allocates a spare range for `region`. May reclaim memory: no lock may be held.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn allocate(region: &Region) -> Result<Self, Errno> {
        // SAFETY: allocates; null is looked at below.
        let memory = unsafe { glue::ashmem_range_alloc() };
        let memory = NonNull::new(memory.cast::<UnpinnedRange>()).ok_or(Errno::NoMem)?;
        // SAFETY: fresh memory of RANGE_BYTES, in which the type fits; slab objects are aligned to 8 bytes.
        unsafe { memory.write(UnpinnedRange { range: Range::spare(), region: NonNull::from(region) }) };
        Ok(Self(memory))
    }

    /// The region it belongs to. The caller holds the purge order's lock or the region's, and the range is in use, so
    /// that neither can go.
    pub(crate) fn region(self) -> NonNull<Region> {
        // SAFETY: the range is in use, as the caller knows; the field never changes.
        unsafe { self.0.as_ref() }.region
    }
}

/// The order over all regions. Its lock is `lru_lock` in `glue/lock.c`.
struct GlobalLru(Lru<Id>);

// SAFETY: all but its page count, which is atomic, is reached through `with_lru` and `Order` alone, under the lock.
unsafe impl Sync for GlobalLru {}

static LRU: GlobalLru = GlobalLru(Lru::new());

/// How many pages a purge could free now. Takes no lock (SHR-01).
pub(crate) fn purgeable_pages() -> u64 {
    LRU.0.pages()
}

/// The purge order, locked while this lives. For the purge, which takes a region's lock inside; all others use
/// [`Store::with_lru`].
pub(crate) struct Order(());

impl Order {
    pub(crate) fn lock() -> Self {
        // SAFETY: the lock is a leaf but for the trylock of a region, and no one asks for it twice.
        unsafe { glue::ashmem_lru_lock() };
        Self(())
    }

    pub(crate) fn lru(&self) -> &Lru<Id> {
        &LRU.0
    }
}

impl Drop for Order {
    fn drop(&mut self) {
        // SAFETY: locked by `lock`.
        unsafe { glue::ashmem_lru_unlock() }
    }
}

/// The kernel's memory for ranges.
pub(crate) struct Ranges;

impl Store for Ranges {
    type Id = Id;

    fn page_size(&self) -> PageSize {
        // x86 has no other.
        const { PageSize::from_shift(12) }
    }

    fn range(&self, id: Id) -> &Range<Id> {
        // SAFETY: the core never uses an id it has given to `free`, and ids come from `allocate` alone. The result is
        // not kept beyond the operation at hand. All of a range's fields are cells: no two CPUs touch the same one
        // without a common lock (the region's for the tree and the bounds, the order's for the place in it).
        unsafe { &(*id.0.as_ptr()).range }
    }

    fn free(&self, id: Id) {
        // SAFETY: allocated by `allocate`; the core gives each id back once, when nothing refers to it any more.
        unsafe { glue::ashmem_range_free(id.0.as_ptr().cast()) }
    }

    fn with_lru<R>(&self, work: impl FnOnce(&Lru<Id>) -> R) -> R {
        let order = Order::lock();
        work(order.lru())
    }
}

/// A spare range that is given back if nobody took it.
pub(crate) struct Spare(pub(crate) Option<Id>);

impl Drop for Spare {
    fn drop(&mut self) {
        if let Some(id) = self.0.take() {
            Ranges.free(id);
        }
    }
}
