// SPDX-License-Identifier: GPL-2.0
//! One region in the kernel: the core's state, its lock, its backing file and its lifetime.
//!
//! Lock order, outermost first:
//!
//! 1. the caller's address space (mmap comes with it held);
//! 2. a region's mutex ([`OpenRegion::lock`]); never two regions' at once;
//! 3. the purge order's spinlock ([`crate::order::PurgeOrder`]), a leaf.
//!
//! A purge takes the third alone, and never runs inside reclaim (see [`crate::purge`]). No lock is
//! held for longer than [`STRIDE`] ranges take: a request over more unlocks its region between
//! strides, which keeps other requests for its ranges out by a mark ([`OpenRegion::lock_pins`]) and
//! lets mmap and the rest in.
//!
//! What needs no lock: size, mask and the share of the purge order ([`Facts`]); the backing file,
//! which is set once, before [`Facts::is_mapped`].

use core::cell::{Cell, UnsafeCell};
use core::ffi::c_ulong;
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use ashmem_core::Errno;
use ashmem_core::range::Span;
use ashmem_core::region::{Facts, Prot, State};
use ashmem_core::store::Store;

use crate::glue::{self, Account, File};
use crate::name::Name;
use crate::range::{self, Owner};

/// The id of a region's range.
pub(crate) type Id = range::RangeId<OpenRegion>;

/// How many ranges a request changes before it lets others have the region: well below a
/// millisecond's work.
pub(crate) const STRIDE: usize = 256;

/// A region. Lives as long as its open file, and for a purge in flight a moment longer.
pub(crate) struct OpenRegion {
    facts: Facts,
    state: UnsafeCell<State<Name, Id>>,
    backing: AtomicPtr<File>,
    /// The user for whom its memory counts.
    account: NonNull<Account>,
    /// The memory cgroup whose limit its pages are thought to count against; `None` for the
    /// machine's own.
    cgroup: Option<NonNull<Account>>,
    /// The open file, and each purge at work on the region.
    users: AtomicU32,
    /// 1 while a request changes ranges in strides. Changes under the region's lock only.
    striding: AtomicU32,
    /// The range that was freed first: kept for the next UNPIN, since the two mostly alternate.
    /// Guarded by the region's lock.
    spare: Cell<Option<Id>>,
}

const _: () = assert!(size_of::<OpenRegion>() <= glue::REGION_BYTES);

// SAFETY: `state` is reached through `Locked` alone, or by the last user; all else is atomic or
// never changes.
unsafe impl Sync for OpenRegion {}

impl OpenRegion {
    /// Allocates a region with one user: the open file.
    ///
    /// # Errors
    /// ENOMEM, also where the caller has as many regions as a user may.
    pub(crate) fn allocate() -> Result<NonNull<Self>, Errno> {
        // SAFETY: finds or makes the caller's account; null is looked at.
        let account = NonNull::new(unsafe { glue::ashmem_account_get() }).ok_or(Errno::NoMem)?;
        // SAFETY: allocates; null is looked at below. The C half has made its mutex, which stays as
        // it is.
        let memory = unsafe { glue::ashmem_region_alloc() };
        let Some(region) = NonNull::new(memory.cast::<Self>()) else {
            // SAFETY: got above, and kept nowhere.
            unsafe { glue::ashmem_account_put(account.as_ptr()) };
            return Err(Errno::NoMem);
        };
        // SAFETY: fresh memory with REGION_BYTES for this half, in which the type fits, aligned to
        // 8 bytes. Finds or makes the cgroup's account; null is none.
        unsafe {
            region.write(Self {
                facts: Facts::new(),
                state: UnsafeCell::new(State::new()),
                backing: AtomicPtr::new(ptr::null_mut()),
                account,
                cgroup: NonNull::new(glue::ashmem_cgroup_get()),
                users: AtomicU32::new(1),
                striding: AtomicU32::new(0),
                spare: Cell::new(None),
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
        // SAFETY: the C half laid the mutex behind this region. No caller holds a region's lock
        // already.
        unsafe { glue::ashmem_region_lock(ptr::from_ref(self).cast_mut().cast()) };
        Locked { region: self }
    }

    /// As [`OpenRegion::lock`], with no other request in the middle of its ranges.
    ///
    /// # Errors
    /// EINTR: the caller has been killed.
    pub(crate) fn lock_pins(&self) -> Result<Locked<'_>, Errno> {
        loop {
            let locked = self.lock();
            if self.striding.load(Ordering::Relaxed) == 0 {
                return Ok(locked);
            }
            drop(locked);
            wait_while(&self.striding, 1)?;
        }
    }

    /// The memory cgroup of the process that opened it.
    pub(crate) fn cgroup(&self) -> Option<&Account> {
        // SAFETY: the region keeps this account for as long as it lives.
        self.cgroup.map(|cgroup| unsafe { cgroup.as_ref() })
    }

    /// Keeps a freed range for later, if there is none yet.
    ///
    /// # Safety
    /// The caller has the region's lock or is its last user; nothing refers to the range.
    #[inline(always)]
    pub(crate) unsafe fn keep(&self, id: Id) -> bool {
        let is_free = self.spare.get().is_none();
        if is_free {
            self.spare.set(Some(id));
        }
        is_free
    }

    /// The backing file, once there is one. It stays until the region goes.
    pub(crate) fn backing(&self) -> Option<Backing> {
        NonNull::new(self.backing.load(Ordering::Acquire)).map(Backing)
    }

    /// The backing file's inode number, 0 while there is none.
    pub(crate) fn inode(&self) -> c_ulong {
        self.backing().map_or(0, Backing::inode)
    }

    /// One user more: a purge, which found a range of the region in the order, whose lock it holds.
    pub(crate) fn hold(&self) {
        self.users.fetch_add(1, Ordering::Relaxed);
    }

    /// One user less; the last one frees the region.
    ///
    /// # Safety
    /// The caller was a user and does not touch the region afterwards.
    pub(crate) unsafe fn put(region: NonNull<Self>) {
        // SAFETY: the caller is a user still.
        if unsafe { region.as_ref() }.users.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        // SAFETY: the last user has the region to itself; its memory came from `allocate`.
        unsafe {
            let Self { account, cgroup, .. } = *region.as_ref();
            let backing = region.as_ref().backing();
            region.drop_in_place();
            glue::ashmem_region_free(region.as_ptr().cast());
            glue::ashmem_account_put(account.as_ptr());
            if let Some(cgroup) = cgroup {
                glue::ashmem_account_put(cgroup.as_ptr());
            }
            if let Some(Backing(file)) = backing {
                glue::ashmem_backing_put(file.as_ptr());
            }
        }
    }

    /// The last descriptor was closed: no purge can begin any more (OPEN-08; one under way goes on,
    /// OPEN-09). `ranges` is where the region's ranges lie.
    ///
    /// # Safety
    /// Called once, by the open file's release, which was a user.
    pub(crate) unsafe fn release(region: NonNull<Self>, ranges: &impl Store<Id = Id>) {
        // SAFETY: the open file is a user, so the region lives.
        let this = unsafe { region.as_ref() };
        // A region that was never mapped never had a range.
        if this.facts.is_mapped() {
            // SAFETY: no request is left, none can come, and a purge never looks at the state.
            unsafe { &mut *this.state.get() }.pins().clear(ranges, this.facts.share());
            if let Some(spare) = this.spare.take() {
                // SAFETY: nothing refers to a spare, and the region lives.
                unsafe { spare.give_back() }
            }
        }
        // SAFETY: the open file's use ends here.
        unsafe { Self::put(region) }
    }
}

impl Owner for OpenRegion {
    #[inline(always)]
    fn account(&self) -> &Account {
        // SAFETY: the region keeps its account for as long as it lives.
        unsafe { self.account.as_ref() }
    }
}

/// Waits until `word` is no longer `seen`.
///
/// # Errors
/// EINTR: the caller has been killed.
pub(crate) fn wait_while(word: &AtomicU32, seen: u32) -> Result<(), Errno> {
    // SAFETY: the word lives as long as the borrow; no lock is held.
    if unsafe { glue::ashmem_wait_while(word.as_ptr(), seen) } { Ok(()) } else { Err(Errno::Intr) }
}

/// The right to a region's state: its lock, held while this lives.
pub(crate) struct Locked<'a> {
    region: &'a OpenRegion,
}

impl Locked<'_> {
    /// Between two strides over the region's ranges: lets others have the region, but not its
    /// ranges.
    pub(crate) fn pause(self) -> Self {
        // SAFETY: no lock is held.
        self.aside(|| unsafe {
            glue::ashmem_pause();
        })
    }

    /// The same while `work` runs, which holds no lock and so may sleep.
    pub(crate) fn aside(self, work: impl FnOnce()) -> Self {
        let region = self.region;
        region.striding.store(1, Ordering::Relaxed);
        drop(self);
        work();
        region.lock()
    }

    /// The last stride is done.
    pub(crate) fn finish(self) {
        if self.region.striding.load(Ordering::Relaxed) != 0 {
            self.region.striding.store(0, Ordering::Release);
            // SAFETY: wakes the tasks that wait in `lock_pins`.
            unsafe { glue::ashmem_wake(self.region.striding.as_ptr()) }
        }
    }

    /// The range that was kept, if there is one.
    #[inline(always)]
    pub(crate) fn take_spare(&mut self) -> Option<Id> {
        let spare = self.region.spare.take()?;
        // SAFETY: nothing refers to a spare, and the region is locked.
        unsafe { spare.renew() };
        Some(spare)
    }

    /// Stores the backing file; `state` and `facts` learn of it by [`State::set_mapped`] after
    /// this.
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

    /// Tells the inode the region's mask, for those who open it through /proc/PID/map_files
    /// (MMAP-22).
    pub(crate) fn set_mask(self, mask: Prot) {
        // SAFETY: as above.
        unsafe { glue::ashmem_backing_set_mask(self.0.as_ptr(), mask.bits()) }
    }

    /// Takes the pages out of the file; sleeps, and must not be called in reclaim.
    pub(crate) fn punch(self, span: Span, cgroup: Option<&Account>) {
        let cgroup = cgroup.map_or(ptr::null(), ptr::from_ref);
        // SAFETY: as above; the region holds its cgroup's account as well.
        unsafe { glue::ashmem_backing_punch(self.0.as_ptr(), span.first(), span.last(), cgroup) }
    }
}
