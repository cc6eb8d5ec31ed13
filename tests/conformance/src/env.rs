// SPDX-License-Identifier: MIT OR Apache-2.0
//! The device that a case is given, opened as clients do.

use std::os::unix::ffi::OsStrExt;

use ashmem_test_client::errno::Answer;
use ashmem_test_client::map::Map;
use ashmem_test_client::region::{Region, open_path};

use crate::case::{Env, Stop, skip};
use crate::process;

impl Env {
    /// Opens the device as a client does.
    pub(crate) fn open(&self) -> Answer<Region> {
        self.open_with(libc::O_RDWR | libc::O_CLOEXEC)
    }

    /// Opens the device with these flags.
    pub(crate) fn open_with(&self, flags: i32) -> Answer<Region> {
        open_path(self.device.as_os_str().as_bytes(), flags)
    }

    /// A region of this size in bytes.
    pub(crate) fn region(&self, size: u64) -> Answer<Region> {
        let region = self.open()?;
        region.set_size(size)?;
        Ok(region)
    }

    /// A region of this size in bytes with a shared mapping, read and write, over all of it.
    pub(crate) fn mapped(&self, size: u64) -> Answer<(Region, Map)> {
        let region = self.region(size)?;
        let map = region.share(size as usize)?;
        Ok((region, map))
    }

    /// PURGE_ALL_CACHES on a descriptor of its own; ends the case as skipped where this process may
    /// not.
    ///
    /// Whether it may is asked of the kernel, not read from the answer: a device that refuses root,
    /// or whose count has gone to -1, answers EPERM as well, and has failed.
    pub(crate) fn purge(&self) -> Result<i64, Stop> {
        if !process::may_purge()? {
            return skip("PURGE_ALL_CACHES needs CAP_SYS_ADMIN in the initial user namespace");
        }
        Ok(self.open()?.purge()?)
    }
}
