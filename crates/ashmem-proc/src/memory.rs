// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's own file systems that hold memfds and the device's regions: nobody can put a file
//! there, and no server answers for one.

use std::sync::OnceLock;

use rustix::fs::{MemfdFlags, Statx, makedev};

/// The one of memfds and regions, as `st_dev`; 0 where no memfd can be made.
pub fn shared() -> u64 {
    static DEVICE: OnceLock<u64> = OnceLock::new();
    *DEVICE.get_or_init(|| of_memfd(MemfdFlags::empty()).unwrap_or(0))
}

/// Whether a file is a memfd or a region, with small pages or huge ones of the usual size.
pub fn holds(status: &Statx) -> bool {
    static HUGE: OnceLock<Option<u64>> = OnceLock::new();
    let device = makedev(status.stx_dev_major, status.stx_dev_minor);
    device == shared() || Some(device) == *HUGE.get_or_init(|| of_memfd(MemfdFlags::HUGETLB))
}

fn of_memfd(flags: MemfdFlags) -> Option<u64> {
    let memfd = rustix::fs::memfd_create("ashmem-census", MemfdFlags::CLOEXEC | flags).ok()?;
    Some(rustix::fs::fstat(memfd).ok()?.st_dev)
}
