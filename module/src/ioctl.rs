// SPDX-License-Identifier: GPL-2.0
//! The requests. Each reads from the caller, asks the core under the region's lock, and writes
//! back, in this order.

use core::ffi::{c_long, c_uint};
use core::mem::MaybeUninit;

use ashmem_core::Errno;
use ashmem_core::abi::{self, Pin, Request};
use ashmem_core::pins::{NeedSpare, Pinned, Pins, Progress, RangePages};
use ashmem_core::range::Span;
use ashmem_core::store::Store as _;

use crate::name::Name;
use crate::order::KernelRanges;
use crate::range::Spare;
use crate::region::{Id, Locked, OpenRegion, STRIDE};
use crate::{purge, trace, user};

/// Answers one ioctl: a value, or an errno, negative.
///
/// `TRACED`: whether it records the request's own event; the other instance has no code for that.
///
/// Inlined into its callers, so that decoding and choosing become one; what it chooses is not, so
/// that GET_SIZE saves no register for the others' sake.
#[inline(always)]
pub(crate) fn answer<const TRACED: bool>(region: &OpenRegion, request: Request) -> c_long {
    match request {
        // Neither takes a lock; a size that looks like an errno is returned as it is (SIZE-05).
        Request::GetSize => region.facts().size() as c_long,
        Request::GetProtMask => region.facts().prot_mask().bits().into(),
        Request::Pin(address) => pin::<TRACED>(region, address),
        Request::Unpin(address) => unpin::<TRACED>(region, address),
        Request::GetPinStatus(address) => result(pin_status(region, address)),
        Request::SetName(address) => result(set_name::<TRACED>(region, address)),
        Request::GetName(address) => result(get_name(region, address)),
        Request::SetSize(size) => set_size::<TRACED>(region, size),
        Request::SetProtMask(mask) => set_prot_mask::<TRACED>(region, mask),
        Request::PurgeAllCaches => result(purge_all_caches()),
        Request::GetFileId { address, bytes } => result(get_file_id(region, address, bytes)),
    }
}

/// What is no request of the device: ENOTTY (NUM-14), but for root's to purge one region.
#[cold]
#[inline(never)]
pub(crate) fn other(region: &OpenRegion, cmd: c_uint) -> c_long {
    if cmd == abi::PURGE_REGION && user::may_purge() {
        result(purge::purge_region(region).map(as_int))
    } else {
        Errno::NoTty.as_return()
    }
}

/// A number of pages as the `int` that ioctl answers with. What does not fit is its greatest: cut,
/// it could be taken for an error (BUG-23).
fn as_int(pages: u64) -> i64 {
    pages.min(i32::MAX as u64) as i64
}

/// The request with its addresses as a 32-bit caller means them.
pub(crate) fn with_compat_pointers(request: Request) -> Request {
    use user::compat_pointer as pointer;
    match request {
        Request::SetName(address) => Request::SetName(pointer(address)),
        Request::GetName(address) => Request::GetName(pointer(address)),
        Request::Pin(address) => Request::Pin(pointer(address)),
        Request::Unpin(address) => Request::Unpin(pointer(address)),
        Request::GetPinStatus(address) => Request::GetPinStatus(pointer(address)),
        Request::GetFileId { address, bytes } => {
            Request::GetFileId { address: pointer(address), bytes }
        }
        by_value => by_value,
    }
}

fn result(result: Result<i64, Errno>) -> c_long {
    match result {
        Ok(value) => value,
        Err(errno) => errno.as_return(),
    }
}

/// The string is read before the check, so that a bad address wins over a mapped region (NAME-08).
#[inline(never)]
fn set_name<const TRACED: bool>(region: &OpenRegion, address: u64) -> Result<i64, Errno> {
    let mut name = Name::read(address)?;
    let outcome = region.lock().set_name(region.facts(), &mut name);
    if TRACED {
        let answer = result(outcome.map(|()| 0));
        let asked = |record: &mut dyn FnMut(&core::ffi::CStr)| match outcome {
            Ok(()) => record_name(region, record),
            Err(_) => record(name.as_ref().map_or(c"", Name::as_c_str)),
        };
        trace::set_name(region, asked, answer);
    }
    outcome.map(|()| 0)
    // `name` now holds what is to be freed, outside the lock.
}

/// For the trace of a call that went well: the name that the region has after it.
fn record_name(region: &OpenRegion, record: &mut dyn FnMut(&core::ffi::CStr)) {
    let locked = region.lock();
    record(locked.given().map_or(c"", Name::as_c_str));
}

/// Writes the name and its NUL, nothing after it (NAME-02), when the lock is no longer held
/// (NAME-14).
#[inline(never)]
fn get_name(region: &OpenRegion, address: u64) -> Result<i64, Errno> {
    let mut buffer = [const { MaybeUninit::<u8>::uninit() }; abi::NAME_LEN];
    let locked = region.lock();
    // One place stays for the NUL.
    let name = locked.name();
    let mut len = 0;
    for (to, &from) in buffer.iter_mut().zip(name.iter().chain(&[0])) {
        to.write(from);
        len += 1;
    }
    drop(locked);
    // SAFETY: the loop wrote the first `len` bytes, and `len` is at most the buffer's length.
    let bytes = unsafe { core::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), len) };
    user::write(address, bytes).map(|()| 0)
}

#[inline(never)]
fn set_size<const TRACED: bool>(region: &OpenRegion, size: u64) -> c_long {
    let outcome = region.lock().set_size(region.facts(), size);
    let answer = result(outcome.map(|()| 0));
    if TRACED {
        trace::set_size(region, size, answer);
    }
    answer
}

#[inline(never)]
fn set_prot_mask<const TRACED: bool>(region: &OpenRegion, mask: u64) -> c_long {
    let read_implies_exec = user::read_implies_exec();
    let mut locked = region.lock();
    let outcome = locked.set_prot_mask(region.facts(), mask, read_implies_exec);
    if let (Ok(mask), Some(backing)) = (outcome, region.backing()) {
        backing.set_mask(mask);
    }
    drop(locked);
    let answer = result(outcome.map(|_| 0));
    if TRACED {
        trace::set_prot_mask(region, mask, answer);
    }
    answer
}

#[inline(never)]
fn pin<const TRACED: bool>(region: &OpenRegion, address: u64) -> c_long {
    let pin = match user::read_pin(address) {
        Ok(pin) => pin,
        Err(errno) => return errno.as_return(),
    };
    let answer = result(
        region
            .facts()
            .interval(KernelRanges.page_size(), Pin::from_bytes(pin.to_ne_bytes()))
            .and_then(|span| match span {
                Some(span) => pin_pages::<TRACED>(region, span),
                None => Ok(abi::NOT_PURGED),
            }),
    );
    if TRACED {
        trace::pin(region, pin, answer);
    }
    answer
}

/// `TRACED` makes two of it, of one caller each, so that all of it becomes part of that.
#[inline(always)]
fn pin_pages<const TRACED: bool>(region: &OpenRegion, span: Span) -> Result<i64, Errno> {
    let (mut rest, mut pinned) = (span, Pinned::Intact);
    // A range more is needed only where one falls in two.
    change_pins::<false>(region, |pins, spare| {
        let step = pins.pin(&KernelRanges, region.facts().share(), rest, spare, STRIDE)?;
        if step.pinned == Pinned::Purged {
            pinned = Pinned::Purged;
        }
        Ok(match step.rest {
            Some(left) => {
                rest = left;
                Progress::More
            }
            None => Progress::Done,
        })
    })?
    .finish();
    // No purge of these pages can begin any more; those that have begun must end before they are
    // written to.
    purge::wait_for_purges(region, span)?;
    Ok(pinned.answer())
}

#[inline(never)]
fn unpin<const TRACED: bool>(region: &OpenRegion, address: u64) -> c_long {
    let pin = match user::read_pin(address) {
        Ok(pin) => pin,
        Err(errno) => return errno.as_return(),
    };
    let answer = result(
        region
            .facts()
            .interval(KernelRanges.page_size(), Pin::from_bytes(pin.to_ne_bytes()))
            .and_then(|span| match span {
                Some(span) => unpin_pages::<TRACED>(region, span),
                None => Ok(0),
            }),
    );
    if TRACED {
        trace::unpin(region, pin, answer);
    }
    answer
}

#[inline(always)]
fn unpin_pages<const TRACED: bool>(region: &OpenRegion, span: Span) -> Result<i64, Errno> {
    let mut locked = change_pins::<true>(region, |pins, spare| {
        pins.unpin(&KernelRanges, region.facts().share(), span, spare, STRIDE)
    })?;
    if purge::is_wanted_at_once() {
        locked = purge::purge_unpinned(region, locked, span);
    }
    locked.finish();
    Ok(0)
}

/// Runs `work` under the region's lock until it is done, stride by stride, or anew with a spare
/// range if it asks for one. The caller has to finish the lock that it answers.
///
/// `LIKELY`: whether it nearly always needs one. The region's own spare is tried first.
#[inline(always)]
fn change_pins<const LIKELY: bool>(
    region: &OpenRegion,
    mut work: impl FnMut(&mut Pins<Id>, &mut Option<Id>) -> Result<Progress, NeedSpare>,
) -> Result<Locked<'_>, Errno> {
    let mut spare = Spare(None);
    let mut locked = region.lock_pins()?;
    if LIKELY {
        spare.0 = locked.take_spare();
    }
    loop {
        match work(locked.pins(), &mut spare.0) {
            Ok(Progress::Done) => {
                // What it did not need is the region's again.
                if let Some(id) = spare.0.take() {
                    KernelRanges.free(id);
                }
                return Ok(locked);
            }
            Ok(Progress::More) => locked = locked.pause(),
            Err(NeedSpare) => {
                spare.0 = locked.take_spare();
                if spare.0.is_none() {
                    locked.finish();
                    spare.0 = Some(Id::allocate(region)?);
                    locked = region.lock_pins()?;
                }
            }
        }
    }
}

#[inline(never)]
fn pin_status(region: &OpenRegion, address: u64) -> Result<i64, Errno> {
    let pin = Pin::from_bytes(user::read_pin(address)?.to_ne_bytes());
    region.lock_pins()?.pin_status(region.facts(), &KernelRanges, pin)
}

/// Answers the number of pages that stood in the order, and purges them all (PURGE-02).
#[inline(never)]
fn purge_all_caches() -> Result<i64, Errno> {
    if !user::may_purge() {
        return Err(Errno::Perm);
    }
    purge::purge_all().map(as_int)
}

#[inline(never)]
fn get_file_id(region: &OpenRegion, address: u64, bytes: usize) -> Result<i64, Errno> {
    region.facts().file_id()?;
    let id = region.inode().to_ne_bytes();
    // A 32-bit caller gets the low half; x86 has it first.
    user::write(address, id.get(..bytes).unwrap_or(&id)).map(|()| 0)
}

/// The pages a region holds, by state.
pub(crate) struct RegionPages {
    pub(crate) pinned: u64,
    pub(crate) unpinned: u64,
    pub(crate) purged: u64,
}

/// For fdinfo.
pub(crate) fn pages(region: &OpenRegion, locked: &mut Locked<'_>) -> RegionPages {
    let page = KernelRanges.page_size();
    let all = page.number(page.align(region.facts().size()));
    let RangePages { unpinned, purged } = locked.pins().range_pages(region.facts().share());
    RegionPages { pinned: all.saturating_sub(unpinned).saturating_sub(purged), unpinned, purged }
}
