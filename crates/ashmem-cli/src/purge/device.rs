// SPDX-License-Identifier: MIT OR Apache-2.0
//! PURGE_ALL_CACHES of the kernel's device.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail};
use ashmem_core::abi;

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
    // SAFETY: the request takes no argument.
    let pages = unsafe { libc::ioctl(device.as_raw_fd(), abi::PURGE_ALL_CACHES.into(), 0) };
    match u64::try_from(pages) {
        Ok(pages) => Ok(pages),
        Err(_) => {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::PermissionDenied {
                bail!("PURGE_ALL_CACHES: {error}: only root of this host may (CAP_SYS_ADMIN)");
            }
            Err(error).context("PURGE_ALL_CACHES")
        }
    }
}
