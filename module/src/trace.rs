// SPDX-License-Identifier: GPL-2.0
//! The tracepoints `ashmem:*` of what only this half knows; those of open, ioctl and mmap are the C
//! half's.
//!
//! A request's are recorded by the traced instance of its code alone, which the C half calls while
//! anyone listens (`ashmem_traced` in `glue/trace.h`): the other has nothing of them. With nobody
//! listening, release and purge cost two loads and a branch.

use core::ffi::{CStr, c_long};
use core::ptr;
use core::sync::atomic::{AtomicI32, Ordering};

use ashmem_core::range::Span;

use crate::glue;
use crate::region::OpenRegion;

/// As `enum ashmem_event` in `glue/glue.h`.
#[derive(Clone, Copy)]
enum AshmemEvent {
    Release,
    Purge,
}

impl AshmemEvent {
    #[inline(always)]
    fn wanted(self) -> bool {
        if cfg!(ashmem_untraced) {
            return false;
        }
        // SAFETY: the C half's table has an entry for each event, which points at an integer that
        // lives as long as the module; tracing changes it as one word.
        let listeners = unsafe {
            let entry = (&raw const glue::ashmem_trace_listeners)
                .cast::<*const AtomicI32>()
                .add(self as usize);
            &**entry
        };
        listeners.load(Ordering::Relaxed) != 0
    }
}

/// The last descriptor's close.
#[inline(always)]
pub(crate) fn release(region: &OpenRegion) {
    if AshmemEvent::Release.wanted() {
        // SAFETY: records its arguments.
        unsafe { glue::ashmem_trace_release(ptr::from_ref(region).cast(), region.inode()) }
    }
}

/// SET_NAME.
#[inline(always)]
pub(crate) fn set_name(
    region: &OpenRegion,
    name: impl FnOnce(&mut dyn FnMut(&CStr)),
    result: c_long,
) {
    // SAFETY: copies the name, which is NUL-terminated, and records its arguments.
    name(&mut |name| unsafe {
        glue::ashmem_trace_set_name(ptr::from_ref(region).cast(), name.as_ptr(), result);
    });
}

/// SET_SIZE.
#[inline(always)]
pub(crate) fn set_size(region: &OpenRegion, size: u64, result: c_long) {
    // SAFETY: records its arguments.
    unsafe { glue::ashmem_trace_set_size(ptr::from_ref(region).cast(), size, result) }
}

/// SET_PROT_MASK.
#[inline(always)]
pub(crate) fn set_prot_mask(region: &OpenRegion, mask: u64, result: c_long) {
    // SAFETY: records its arguments.
    unsafe {
        glue::ashmem_trace_set_prot_mask(ptr::from_ref(region).cast(), region.inode(), mask, result)
    }
}

/// PIN; `pin` is the caller's structure as one word.
#[inline(always)]
pub(crate) fn pin(region: &OpenRegion, pin: u64, result: c_long) {
    // SAFETY: records its arguments.
    unsafe { glue::ashmem_trace_pin(ptr::from_ref(region).cast(), region.inode(), pin, result) }
}

/// UNPIN; `pin` is the caller's structure as one word.
#[inline(always)]
pub(crate) fn unpin(region: &OpenRegion, pin: u64, result: c_long) {
    // SAFETY: records its arguments.
    unsafe { glue::ashmem_trace_unpin(ptr::from_ref(region).cast(), region.inode(), pin, result) }
}

/// One range purged.
#[inline(always)]
pub(crate) fn purge(region: &OpenRegion, span: Span) {
    if AshmemEvent::Purge.wanted() {
        let at = ptr::from_ref(region).cast();
        // SAFETY: records its arguments.
        unsafe { glue::ashmem_trace_purge(at, region.inode(), span.first(), span.last()) }
    }
}
