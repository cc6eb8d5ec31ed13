// SPDX-License-Identifier: GPL-2.0
//! What the C half calls: the file operations, and the shrinker's two.

use core::ffi::{c_int, c_long, c_uint, c_ulong};
use core::ptr;

use ashmem_core::Errno;
use ashmem_core::abi::{Caller, Request};
use ashmem_core::region::{Prot, Read};

use crate::glue::{self, File, SeqFile, Vma};
use crate::name::Name;
use crate::order::{self, KernelRanges, PurgeOrder, PurgeOutcome, Purger};
use crate::range::UnpinnedRange;
use crate::region::{Backing, OpenRegion};
use crate::{ioctl, mapping, purge, trace};

/// For the C half to compare with what it allocates.
#[unsafe(no_mangle)]
static ashmem_rs_region_bytes: usize = size_of::<OpenRegion>();
/// For the C half to compare with what it allocates.
#[unsafe(no_mangle)]
static ashmem_rs_range_bytes: usize = size_of::<UnpinnedRange<OpenRegion>>();

/// open(2): a new region for the file. 0 or an errno, negative.
#[unsafe(no_mangle)]
extern "C" fn ashmem_rs_open(file: *mut File) -> c_int {
    match OpenRegion::allocate() {
        Ok(region) => {
            // SAFETY: the kernel is opening `file` for this call.
            unsafe { glue::ashmem_file_set_region(file, region.as_ptr().cast()) }
            0
        }
        Err(errno) => errno.as_return() as c_int,
    }
}

/// The last close.
///
/// # Safety
/// `region` is the file's, and the file is going.
#[unsafe(no_mangle)]
unsafe extern "C" fn ashmem_rs_release(region: *mut OpenRegion) {
    let Some(region) = ptr::NonNull::new(region) else { return };
    // SAFETY: the file's region lives until this call.
    trace::release(unsafe { region.as_ref() });
    // SAFETY: the kernel calls this once for a file.
    unsafe { OpenRegion::release(region, &KernelRanges) }
}

/// ioctl(2) of a 64-bit caller.
///
/// # Safety
/// `region` is the file's, and the file is open.
#[unsafe(no_mangle)]
unsafe extern "C" fn ashmem_rs_ioctl(
    region: *const OpenRegion,
    cmd: c_uint,
    arg: c_ulong,
) -> c_long {
    // SAFETY: an open file's region lives.
    answer::<false>(unsafe { &*region }, cmd, arg)
}

/// ioctl(2) of a 32-bit caller.
///
/// # Safety
/// As [`ashmem_rs_ioctl`].
#[unsafe(no_mangle)]
unsafe extern "C" fn ashmem_rs_compat_ioctl(
    region: *const OpenRegion,
    cmd: c_uint,
    arg: c_ulong,
) -> c_long {
    // SAFETY: an open file's region lives.
    compat_answer::<false>(unsafe { &*region }, cmd, arg)
}

/// As [`ashmem_rs_ioctl`], while a request's events are listened to.
///
/// # Safety
/// As [`ashmem_rs_ioctl`].
#[unsafe(no_mangle)]
unsafe extern "C" fn ashmem_rs_traced_ioctl(
    region: *const OpenRegion,
    cmd: c_uint,
    arg: c_ulong,
) -> c_long {
    // SAFETY: an open file's region lives.
    answer::<true>(unsafe { &*region }, cmd, arg)
}

/// As [`ashmem_rs_compat_ioctl`], while a request's events are listened to.
///
/// # Safety
/// As [`ashmem_rs_ioctl`].
#[unsafe(no_mangle)]
unsafe extern "C" fn ashmem_rs_traced_compat_ioctl(
    region: *const OpenRegion,
    cmd: c_uint,
    arg: c_ulong,
) -> c_long {
    // SAFETY: an open file's region lives.
    compat_answer::<true>(unsafe { &*region }, cmd, arg)
}

#[inline(always)]
fn answer<const TRACED: bool>(region: &OpenRegion, cmd: c_uint, arg: c_ulong) -> c_long {
    match Request::decode(Caller::Bits64, cmd, arg) {
        Some(request) => ioctl::answer::<TRACED>(region, request),
        None => ioctl::other(region, cmd),
    }
}

#[inline(always)]
fn compat_answer<const TRACED: bool>(region: &OpenRegion, cmd: c_uint, arg: c_ulong) -> c_long {
    match Request::decode(Caller::Bits32, cmd, arg) {
        Some(request) => ioctl::answer::<TRACED>(region, ioctl::with_compat_pointers(request)),
        None => ioctl::other(region, cmd),
    }
}

/// mmap(2). 0 or an errno, negative.
///
/// # Safety
/// `region` is the file's, the file is open, and `vma` is being set up for it.
#[unsafe(no_mangle)]
unsafe extern "C" fn ashmem_rs_mmap(
    region: *const OpenRegion,
    vma: *mut Vma,
    len: u64,
    prot: u32,
) -> c_int {
    // SAFETY: an open file's region lives.
    mapping::mmap(unsafe { &*region }, vma, len, Prot::from_bits(prot))
}

/// read(2): the file to read, null for end of file, or an `ERR_PTR`.
///
/// # Safety
/// `region` is the file's, and the file is open.
#[unsafe(no_mangle)]
unsafe extern "C" fn ashmem_rs_read_from(region: *const OpenRegion) -> *mut File {
    // SAFETY: an open file's region lives.
    let region = unsafe { &*region };
    match region.facts().read() {
        Ok(Read::EndOfFile) => ptr::null_mut(),
        Ok(Read::Backing) => backing(region),
        Err(errno) => err_ptr(errno),
    }
}

/// lseek(2): the file to seek in, or an `ERR_PTR`.
///
/// # Safety
/// `region` is the file's, and the file is open.
#[unsafe(no_mangle)]
unsafe extern "C" fn ashmem_rs_seek_in(region: *const OpenRegion) -> *mut File {
    // SAFETY: an open file's region lives.
    let region = unsafe { &*region };
    match region.facts().seek() {
        Ok(()) => backing(region),
        Err(errno) => err_ptr(errno),
    }
}

fn backing(region: &OpenRegion) -> *mut File {
    region.backing().map_or(err_ptr(Errno::BadF), |backing| backing.0.as_ptr())
}

fn err_ptr(errno: Errno) -> *mut File {
    ptr::without_provenance_mut(errno.as_return() as usize)
}

/// fdinfo: the reference's two lines first (FDI-02, FDI-03), then ours.
///
/// # Safety
/// `region` is the file's, the file is open, and `seq` is being shown.
#[unsafe(no_mangle)]
unsafe extern "C" fn ashmem_rs_show_fdinfo(region: *const OpenRegion, seq: *mut SeqFile) {
    // SAFETY: an open file's region lives.
    let region = unsafe { &*region };
    let mut locked = region.lock();
    let pages = ioctl::pages(region, &mut locked);
    let (size, mask) = (region.facts().size(), region.facts().prot_mask().bits());
    // SAFETY: these append to `seq`, which the kernel made for this call, in kernel memory; the
    // name is NUL-terminated and stays while the region is locked.
    unsafe {
        if let Some(backing) = region.backing() {
            glue::ashmem_fdinfo_file(seq, backing.inode());
        }
        if let Some(name) = locked.given().map(Name::as_c_str) {
            glue::ashmem_fdinfo_name(seq, name.as_ptr());
        }
        let resident = region.backing().map_or(0, Backing::pages);
        glue::ashmem_fdinfo_more(
            seq,
            size,
            mask,
            pages.pinned,
            pages.unpinned,
            pages.purged,
            resident,
        );
    }
}

/// For the tracepoints: the backing file's inode number, 0 while there is none.
///
/// # Safety
/// `region` is a file's, and the file is open.
#[unsafe(no_mangle)]
unsafe extern "C" fn ashmem_rs_inode(region: *const OpenRegion) -> c_ulong {
    // SAFETY: an open file's region lives.
    unsafe { &*region }.inode()
}

/// The shrinker's count, in pages (SHR-01).
#[unsafe(no_mangle)]
extern "C" fn ashmem_rs_purgeable() -> c_ulong {
    order::purgeable_pages().min(c_long::MAX as u64)
}

/// One of the workers purges the oldest range: 1; 0 if there is none for it; -EBUSY if it has to
/// look anew.
#[unsafe(no_mangle)]
extern "C" fn ashmem_rs_purge_oldest(worker: c_uint) -> c_int {
    as_int(purge::purge_oldest(Purger::Worker(worker as usize)))
}

/// The same for the next range of a memory cgroup that is waited for; 0 at the order's end.
#[unsafe(no_mangle)]
extern "C" fn ashmem_rs_purge_awaited(worker: c_uint) -> c_int {
    as_int(purge::purge_awaited(Purger::Worker(worker as usize)))
}

fn as_int(outcome: PurgeOutcome) -> c_int {
    const BUSY: c_int = 16;
    match outcome {
        PurgeOutcome::Purged => 1,
        PurgeOutcome::Nothing => 0,
        PurgeOutcome::Busy => -BUSY,
    }
}

/// Whether somebody is at work on a range.
#[unsafe(no_mangle)]
extern "C" fn ashmem_rs_is_at_work() -> bool {
    !PurgeOrder::is_idle()
}

/// Whether there is a range to purge, or somebody at work on one.
#[unsafe(no_mangle)]
extern "C" fn ashmem_rs_may_purge() -> bool {
    order::purgeable_pages() != 0 || !PurgeOrder::is_idle()
}
