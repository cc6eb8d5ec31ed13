// SPDX-License-Identifier: MIT OR Apache-2.0
//! Purging by the kernel's device: all of its regions, or one.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Context, Result, bail};
use ashmem_core::abi;
use ashmem_inspect::descriptor;
use ashmem_inspect::region::CensusRegion;

/// The node that every Android knows.
const NODE: &str = "/dev/ashmem";

/// Purges what is unpinned in all regions of the device; returns how many pages the driver says
/// that were.
pub(super) fn purge_all() -> Result<u64> {
    let device = File::options()
        .read(true)
        .write(true)
        .open(NODE)
        .with_context(|| format!("opening {NODE}, for PURGE_ALL_CACHES"))?;
    match pages(&device, abi::PURGE_ALL_CACHES) {
        Ok(pages) => Ok(pages),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            bail!("PURGE_ALL_CACHES: {error}: only root of this host may (CAP_SYS_ADMIN)")
        }
        Err(error) => Err(error).context("PURGE_ALL_CACHES"),
    }
}

/// Purges what is unpinned in one region of the device; returns how many pages that were.
///
/// # Errors
/// Why not, and what to do, a sentence without the region's name.
pub(super) fn purge_one(region: &CensusRegion) -> Result<u64, String> {
    let file = descriptor::copy(region)?;
    pages(&file, abi::PURGE_REGION).map_err(|error| match error.raw_os_error() {
        // To others it is no request of the device.
        Some(libc::ENOTTY) if rustix::process::geteuid().is_root() => {
            "this driver purges all of its regions or none (`ashmem purge --all`): it is not this \
             project's, is an older version of it, or root is not that of this host \
             (CAP_SYS_ADMIN)"
                .to_owned()
        }
        Some(libc::ENOTTY) => "only root may have a region of the kernel purged (sudo)".to_owned(),
        _ => format!("purging it: {error}"),
    })
}

/// A request without an argument, which answers a number of pages.
fn pages(device: impl AsFd, request: u32) -> io::Result<u64> {
    // SAFETY: neither request takes an argument.
    let pages = unsafe { libc::ioctl(device.as_fd().as_raw_fd(), request.into(), 0) };
    u64::try_from(pages).map_err(|_| io::Error::last_os_error())
}
