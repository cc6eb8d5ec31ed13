// SPDX-License-Identifier: MIT OR Apache-2.0
//! A descriptor of somebody's region, to ask the device by.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, StatxFlags};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

use crate::region::CensusRegion;
use ashmem_proc::fdinfo;

/// A copy of a holder's descriptor (`pidfd_getfd(2)`), which leads to the region still.
///
/// # Errors
/// Why there is none, a sentence: nobody holds one any more, or the caller may not trace a holder.
pub fn copy(region: &CensusRegion) -> Result<OwnedFd, String> {
    let mut last = "no descriptor of it is left".to_owned();
    for holder in &region.holders {
        let Some((number, pid)) = holder.descriptors.first().zip(Pid::from_raw(holder.process.pid))
        else {
            continue;
        };
        let copied = rustix::process::pidfd_open(pid, PidfdFlags::empty()).and_then(|process| {
            rustix::process::pidfd_getfd(process, *number, PidfdGetfdFlags::empty())
        });
        match copied {
            Ok(file) if is_of(&file, region) => return Ok(file),
            Ok(_) => last = "its descriptor became another file's meanwhile".to_owned(),
            Err(error) => {
                last = format!(
                    "copying descriptor {number} of process {}: {error}",
                    holder.process.pid
                );
            }
        }
    }
    Err(last)
}

/// Whether this is a descriptor of the region still: another device would take the question for
/// something else. A server of the file is not asked, which might never answer.
fn is_of(file: impl AsFd, region: &CensusRegion) -> bool {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let is_device = rustix::fs::statx(&file, "", flags, StatxFlags::TYPE).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.stx_mode.into()) == FileType::CharacterDevice
    });
    let info = std::fs::read(format!("/proc/self/fdinfo/{}", file.as_fd().as_raw_fd()));
    is_device
        && info.is_ok_and(|text| {
            fdinfo::of_device(&text).inode.is_some_and(|inode| Some(inode) == region.id)
        })
}
