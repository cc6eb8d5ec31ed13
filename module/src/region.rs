//! One region in the kernel: the core's state, its lock, its backing file and its lifetime.
//!
//! Lock order, outermost first:
//!
//! 1. the caller's address space (mmap comes with it held);
//! 2. a region's mutex ([`Region::lock`]); never two regions' at once;
//! 3. the purge order's spinlock ([`crate::range::Order`]).
//!
//! The purge comes the other way, from the order to a region, and comes out of reclaim, which may run inside the first
//! two: so it only ever *tries* a region's mutex, and goes on to the next range if it does not get it. It lets go of both
//! before it removes pages, under the backing file's own locks, and counts itself in [`Region`] meanwhile. Who changes
//! ranges waits, holding nothing, until nobody removes its pages ([`Region::lock_pins`]).
//!
//! What needs no lock: size and mask ([`Facts`]); the backing file, which is set once, before [`Facts::is_mapped`].

use core::cell::UnsafeCell;
use core::ffi::c_ulong;
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use ashmem_core::Errno;
use ashmem_core::pins::Span;
use ashmem_core::region::{Facts, Prot, State};

use crate::glue::{self, File};
use crate::name::Name;
use crate::range::{Id, Ranges};

/// A region. Lives as long as its open file, and for a purge in flight a moment longer.
pub(crate) struct Region {
    facts: Facts,
    state: UnsafeCell<State<Name, Id>>,
    backing: AtomicPtr<File>,
    /// The open file, and each purge at work on the region.
    users: AtomicU32,
    /// Purges that are removing pages now. Grows under the region's lock only.
    punches: AtomicU32,
}

const _: () = assert!(size_of::<Region>() <= glue::REGION_BYTES);

// SAFETY: `state` is reached through `Locked` alone, or by the last user; all else is atomic.
unsafe impl Sync for Region {}

impl Region {
    /// Allocates a region with one user: the open file.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn allocate() -> Result<NonNull<Self>, Errno> {
        // SAFETY: allocates; null is looked at below. The C half has made its mutex, which stays as it is.
        let memory = unsafe { glue::ashmem_region_alloc() };
        let region = NonNull::new(memory.cast::<Self>()).ok_or(Errno::NoMem)?;
        // SAFETY: fresh memory with REGION_BYTES for this half, in which the type fits, aligned to 8 bytes.
        unsafe {
            region.write(Self {
                facts: Facts::new(),
                state: UnsafeCell::new(State::new()),
                backing: AtomicPtr::new(ptr::null_mut()),
                users: AtomicU32::new(1),
                punches: AtomicU32::new(0),
            });
        }
        Ok(region)
    }

    /// What needs no lock.
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Locks the region's state; sleeps until it may.
    pub(crate) fn lock(&self) -> Locked<'_> {
        // SAFETY: the C half laid the mutex behind this region. No caller holds a region's lock already.
        unsafe { glue::ashmem_region_lock(ptr::from_ref(self).cast_mut().cast()) };
        Locked { region: self }
    }

    /// As [`Region::lock`], with no purge removing pages: what PIN says of them afterwards stays true (SHR-12).
    ///
    /// Waits with the lock let go: a purge waits for the backing file's lock, whose holder (in a write by way of
    /// /proc/PID/map_files) may wait for the caller's address space, which mmap holds while it waits for this region.
    pub(crate) fn lock_pins(&self) -> Locked<'_> {
        loop {
            let locked = self.lock();
            if self.punches.load(Ordering::Acquire) == 0 {
                return locked;
            }
            drop(locked);
            // SAFETY: the count lives as long as the region.
            unsafe { glue::ashmem_punches_wait(self.punches.as_ptr()) }
        }
    }

    /// Locks the region's state unless somebody has it, this task included.
    pub(crate) fn try_lock(&self) -> Option<Locked<'_>> {
        // SAFETY: as above; never sleeps.
        let got = unsafe { glue::ashmem_region_trylock(ptr::from_ref(self).cast_mut().cast()) };
        // Made only once the lock is held: its Drop unlocks.
        got.then(|| Locked { region: self })
    }

    /// The backing file, once there is one. It stays until the region goes.
    pub(crate) fn backing(&self) -> Option<Backing> {
        NonNull::new(self.backing.load(Ordering::Acquire)).map(Backing)
    }

    /// The backing file's inode number, 0 while there is none.
    pub(crate) fn inode(&self) -> c_ulong {
        self.backing().map_or(0, Backing::inode)
    }

    /// One user less; the last one frees the region.
    ///
    /// # Safety
    /// The caller was a user and does not touch the region afterwards.
    unsafe fn put(region: NonNull<Self>) {
        // SAFETY: the caller is a user still.
        let users = unsafe { &region.as_ref().users };
        // A lone user needs no atomic subtraction: nobody can become one any more (see `release`).
        if users.load(Ordering::Acquire) != 1 && users.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        // SAFETY: the last user has the region to itself; its memory came from `allocate`.
        unsafe {
            let backing = region.as_ref().backing();
            region.drop_in_place();
            glue::ashmem_region_free(region.as_ptr().cast());
            if let Some(Backing(file)) = backing {
                glue::ashmem_backing_put(file.as_ptr());
            }
        }
    }

    /// The last descriptor was closed: no purge can begin any more (OPEN-08; one under way goes on, OPEN-09), and no new
    /// user can come.
    ///
    /// # Safety
    /// Called once, by the open file's release, which was a user.
    pub(crate) unsafe fn release(region: NonNull<Self>) {
        // SAFETY: the open file is a user, so the region lives.
        let this = unsafe { region.as_ref() };
        // A region that was never mapped never had a range.
        if this.facts.is_mapped() {
            this.lock().pins().clear(&Ranges);
        }
        // SAFETY: the open file's use ends here.
        unsafe { Self::put(region) }
    }
}

/// A purge that is removing pages of a region. The region stays while this lives, were its file closed.
pub(crate) struct Punch(NonNull<Region>);

impl Punch {
    /// The region.
    pub(crate) fn region(&self) -> &Region {
        // SAFETY: this is one of the region's users.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Punch {
    fn drop(&mut self) {
        if self.region().punches.fetch_sub(1, Ordering::Release) == 1 {
            // SAFETY: wakes whoever waits.
            unsafe { glue::ashmem_punches_ended() }
        }
        // SAFETY: `Locked::punch` made this a user, and nothing touches the region through it after this.
        unsafe { Region::put(self.0) }
    }
}

/// The right to a region's state: its lock, held while this lives.
pub(crate) struct Locked<'a> {
    region: &'a Region,
}

impl Locked<'_> {
    /// Begins to remove pages, which goes on when the lock is no longer held.
    pub(crate) fn punch(&mut self) -> Punch {
        self.region.users.fetch_add(1, Ordering::Relaxed);
        self.region.punches.fetch_add(1, Ordering::Relaxed);
        Punch(NonNull::from(self.region))
    }

    /// Stores the backing file; `state` and `facts` learn of it by [`State::set_mapped`] after this.
    pub(crate) fn set_backing(&mut self, backing: Backing) {
        self.region.backing.store(backing.0.as_ptr(), Ordering::Release);
    }
}

impl Deref for Locked<'_> {
    type Target = State<Name, Id>;

    fn deref(&self) -> &Self::Target {
        // SAFETY: the lock is held.
        unsafe { &*self.region.state.get() }
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        // SAFETY: the lock is held, and this guard is borrowed for itself alone.
        unsafe { &mut *self.region.state.get() }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY: locked when this was made.
        unsafe { glue::ashmem_region_unlock(ptr::from_ref(self.region).cast_mut().cast()) }
    }
}

/// A backing file, held by its region.
#[derive(Clone, Copy)]
pub(crate) struct Backing(pub(crate) NonNull<File>);

impl Backing {
    /// Its inode number: what maps and fdinfo show.
    pub(crate) fn inode(self) -> c_ulong {
        // SAFETY: the region holds the file, and the caller the region.
        unsafe { glue::ashmem_backing_inode(self.0.as_ptr()) }
    }

    /// Pages it has, in memory or swapped out.
    pub(crate) fn pages(self) -> u64 {
        // SAFETY: as above.
        unsafe { glue::ashmem_backing_pages(self.0.as_ptr()) }
    }

    /// Tells the inode the region's mask, for those who open it through /proc/PID/map_files (MMAP-22).
    pub(crate) fn set_mask(self, mask: Prot) {
        // SAFETY: as above.
        unsafe { glue::ashmem_backing_set_mask(self.0.as_ptr(), mask.bits()) }
    }

    /// Takes the pages out of the file; sleeps.
    pub(crate) fn punch(self, span: Span) {
        // SAFETY: as above.
        unsafe { glue::ashmem_backing_punch(self.0.as_ptr(), span.first(), span.last()) }
    }
}
