// SPDX-License-Identifier: GPL-2.0
//! mmap: the backing file is made at the first one, and the mapping gets it instead of the device.

use core::ffi::c_int;
use core::ptr::NonNull;

use ashmem_core::Errno;
use ashmem_core::region::Prot;
use ashmem_core::store::Store as _;

use crate::glue::{self, File, Vma};
use crate::name::FullName;
use crate::order::KernelRanges;
use crate::region::{Backing, Locked, OpenRegion};

/// The most an errno can be, as a pointer: the kernel's `ERR_PTR`.
const MAX_ERRNO: usize = 4095;

/// Maps `len` bytes of `region` into `vma`. Answers 0 or an errno, negative.
pub(crate) fn mmap(region: &OpenRegion, vma: *mut Vma, len: u64, prot: Prot) -> c_int {
    match map(region, vma, len, prot) {
        Ok(()) => 0,
        Err(error) => error,
    }
}

fn map(region: &OpenRegion, vma: *mut Vma, len: u64, prot: Prot) -> Result<(), c_int> {
    let mut locked = region.lock();
    let mapping =
        locked.map(region.facts(), KernelRanges.page_size(), len, prot).map_err(negative)?;
    let backing = match region.backing() {
        Some(backing) => backing,
        None => create(&mut locked, region, vma)?,
    };
    // SAFETY: the kernel is setting up `vma` for this call; the region holds the file.
    match unsafe { glue::ashmem_backing_map(backing.0.as_ptr(), vma, mapping.withheld.bits()) } {
        0 => Ok(()),
        error => Err(error),
    }
}

/// Makes the backing file, which freezes name and size (MMAP-10).
fn create(locked: &mut Locked<'_>, region: &OpenRegion, vma: *const Vma) -> Result<Backing, c_int> {
    let mut name = FullName::room();
    let name = name.write(locked.given());
    let (size, mask) = (region.facts().size(), region.facts().prot_mask());
    // SAFETY: the name is NUL-terminated; `vma` is the kernel's for this call.
    let file: *mut File = unsafe { glue::ashmem_backing_create(name, size, vma, mask.bits()) };
    if file.addr() >= MAX_ERRNO.wrapping_neg() {
        return Err(file.addr() as c_int);
    }
    let backing = Backing(NonNull::new(file).ok_or(negative(Errno::NoMem))?);
    locked.set_backing(backing);
    locked.set_mapped(region.facts());
    Ok(backing)
}

fn negative(errno: Errno) -> c_int {
    errno.as_return() as c_int
}
