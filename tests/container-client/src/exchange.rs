// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is passed between processes, and what each finds in it.

use anyhow::{Context, Result, ensure};
use ashmem_core::abi;
use ashmem_test_client::errno::Answer;
use ashmem_test_client::map::PAGE;
use ashmem_test_client::region::{Region, open_path};
use std::ffi::CStr;
use std::os::fd::AsFd;

/// The device's short name.
pub(crate) const DEVICE: &str = "/dev/ashmem";
pub(crate) const NAME: &CStr = c"client";
pub(crate) const SIZE: usize = 4 * PAGE;
pub(crate) const WORDS: &[u8] = b"what one process wrote";
pub(crate) const REPLY: &[u8] = b"what the other answered";

/// Opens the device by one of its names.
pub(crate) fn open(path: &str) -> Result<Region> {
    open_path(path.as_bytes(), libc::O_RDWR | libc::O_CLOEXEC)
        .with_context(|| format!("opening {path}"))
}

/// Names and sizes a region.
pub(crate) fn prepare(region: Region) -> Result<Region> {
    region.set_name(NAME)?;
    region.set_size(SIZE as u64)?;
    ensure!(region.size()? == SIZE as i64, "GET_SIZE answers {}", region.size()?);
    Ok(region)
}

/// Whether the page at an offset is pinned.
pub(crate) fn is_pinned(region: &Region, offset: u32) -> Answer<bool> {
    Ok(region.status(offset, PAGE as u32)? == abi::IS_PINNED)
}

/// Whether a descriptor looks like the node at the device's path, as libcutils demands.
pub(crate) fn check_looks(region: &Region) -> Result<()> {
    let node = rustix::fs::stat(DEVICE).context("stat of /dev/ashmem")?;
    // As bionic does; glibc's fstat calls newfstatat(2), which profiles for LXC cannot notify.
    let own = rustix::fs::fstat(region.as_fd()).context("fstat")?;
    ensure!(own.st_mode & libc::S_IFMT == libc::S_IFCHR, "fstat shows mode {:o}", own.st_mode);
    ensure!(
        own.st_rdev == node.st_rdev,
        "fstat shows device {:x}, the path {:x}",
        own.st_rdev,
        node.st_rdev
    );
    Ok(())
}
