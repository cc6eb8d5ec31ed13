// SPDX-License-Identifier: GPL-2.0
//! The C half's functions, as `glue/glue.h` declares them. Nothing outside this module's own kind
//! of file calls them: each is wrapped once, where its noun is.

use core::ffi::{c_char, c_int, c_long, c_ulong, c_void};
use core::sync::atomic::{AtomicIsize, AtomicU8, AtomicU32, Ordering};

/// A kernel structure that Rust only carries by address.
macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[repr(C)]
        pub(crate) struct $name {
            _unknown: [u8; 0],
        }
    )*};
}

opaque! {
    /// `struct file`.
    File;
    /// `struct vm_area_struct`.
    Vma;
    /// `struct seq_file`.
    SeqFile;
}

/// `struct ashmem_account`: what is kept of one user or memory cgroup, as far as this half looks at
/// it.
#[repr(C)]
pub(crate) struct Account {
    /// Unpinned ranges, in use or spare.
    pub(crate) ranges: AtomicU32,
    /// How many tasks wait for pages, and for how many.
    waiters: AtomicU32,
    wanted: AtomicIsize,
}

impl Account {
    /// Whether somebody waits for pages.
    pub(crate) fn is_awaited(&self) -> bool {
        self.waiters.load(Ordering::Relaxed) != 0 && self.wanted.load(Ordering::Relaxed) > 0
    }
}

/// Memory for [`crate::region::OpenRegion`], as `ASHMEM_REGION_BYTES` in `glue/glue.h`.
pub(crate) const REGION_BYTES: usize = 112;
/// Memory for [`crate::range::UnpinnedRange`], as `ASHMEM_RANGE_BYTES` in `glue/glue.h`.
pub(crate) const RANGE_BYTES: usize = 64;

unsafe extern "C" {
    pub(crate) fn ashmem_region_alloc() -> *mut c_void;
    pub(crate) fn ashmem_region_free(region: *mut c_void);
    pub(crate) fn ashmem_range_alloc() -> *mut c_void;
    pub(crate) fn ashmem_range_free(range: *mut c_void);
    pub(crate) static ashmem_max_ranges: AtomicU32;
    pub(crate) fn ashmem_may_exceed() -> bool;
    pub(crate) fn ashmem_account_get() -> *mut Account;
    pub(crate) fn ashmem_account_put(account: *mut Account);
    pub(crate) fn ashmem_cgroup_get() -> *mut Account;
    pub(crate) fn ashmem_name_alloc(bytes: usize) -> *mut c_void;
    pub(crate) fn ashmem_name_free(name: *mut c_void);

    pub(crate) fn ashmem_region_lock(region: *mut c_void);
    pub(crate) fn ashmem_region_unlock(region: *mut c_void);
    pub(crate) fn ashmem_order_lock();
    pub(crate) fn ashmem_order_unlock();
    pub(crate) fn ashmem_purge_all_lock() -> bool;
    pub(crate) fn ashmem_purge_all_unlock();
    pub(crate) fn ashmem_wait_while(word: *const u32, seen: u32) -> bool;
    pub(crate) fn ashmem_wake(word: *const u32);
    pub(crate) fn ashmem_pause() -> bool;

    pub(crate) static ashmem_page_shift: u32;
    pub(crate) fn ashmem_read_pin(address: u64, pin: *mut u64) -> c_int;
    pub(crate) fn ashmem_read_string(to: *mut c_char, address: u64, room: c_long) -> c_long;
    pub(crate) fn ashmem_write(address: u64, from: *const c_void, bytes: c_ulong) -> c_int;
    pub(crate) fn ashmem_compat_pointer(address: u64) -> u64;
    pub(crate) fn ashmem_may_purge() -> bool;
    pub(crate) fn ashmem_may_reclaim() -> bool;
    /// A C `bool`, which root may change at any time.
    pub(crate) static ashmem_unpinning_at_once: AtomicU8;
    pub(crate) fn ashmem_read_implies_exec() -> bool;

    pub(crate) fn ashmem_backing_create(
        name: *const c_char,
        size: u64,
        vma: *const Vma,
        mask: u32,
    ) -> *mut File;
    pub(crate) fn ashmem_backing_put(backing: *mut File);
    pub(crate) fn ashmem_backing_set_mask(backing: *mut File, mask: u32);
    pub(crate) fn ashmem_backing_inode(backing: *const File) -> c_ulong;
    pub(crate) fn ashmem_backing_pages(backing: *const File) -> u64;
    pub(crate) fn ashmem_backing_map(backing: *mut File, vma: *mut Vma, withheld: u32) -> c_int;
    pub(crate) fn ashmem_backing_punch(
        backing: *mut File,
        first: u64,
        last: u64,
        cgroup: *const Account,
    );

    pub(crate) fn ashmem_file_set_region(file: *mut File, region: *mut c_void);
    pub(crate) fn ashmem_fdinfo_file(seq: *mut SeqFile, inode: c_ulong);
    pub(crate) fn ashmem_fdinfo_name(seq: *mut SeqFile, name: *const c_char);
    pub(crate) fn ashmem_fdinfo_more(
        seq: *mut SeqFile,
        size: u64,
        mask: u32,
        pinned: u64,
        unpinned: u64,
        purged: u64,
        resident: u64,
    );

    pub(crate) static ashmem_trace_listeners: [*const c_int; 2];
    pub(crate) fn ashmem_trace_release(region: *const c_void, inode: c_ulong);
    pub(crate) fn ashmem_trace_set_name(region: *const c_void, name: *const c_char, result: c_long);
    pub(crate) fn ashmem_trace_set_size(region: *const c_void, size: u64, result: c_long);
    pub(crate) fn ashmem_trace_set_prot_mask(
        region: *const c_void,
        inode: c_ulong,
        mask: u64,
        result: c_long,
    );
    pub(crate) fn ashmem_trace_pin(region: *const c_void, inode: c_ulong, pin: u64, result: c_long);
    pub(crate) fn ashmem_trace_unpin(
        region: *const c_void,
        inode: c_ulong,
        pin: u64,
        result: c_long,
    );
    pub(crate) fn ashmem_trace_purge(region: *const c_void, inode: c_ulong, first: u64, last: u64);
}
