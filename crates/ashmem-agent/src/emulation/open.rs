// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opens of the device.

use std::os::fd::RawFd;

use ashmem_proc::process::descriptors;
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::emulation::Tenant;
use crate::emulation::outcome::Outcome;
use crate::regions::node::{Device, NamedFd};
use crate::regions::region::LastCaller;
use crate::seccomp::filter::Fidelity;
use crate::target_thread::{FileStatus, Target, closes_on_exec};

impl Tenant {
    /// open(2), openat(2), openat2(2).
    pub(crate) fn open(
        &self,
        target: &Target<'_>,
        dir: i32,
        path: &[u8],
        flags: OFlags,
    ) -> Outcome {
        if flags.contains(OFlags::PATH) {
            return Outcome::CONTINUE;
        }
        if !self.device.is_at(target.tid(), dir, path) && !self.is_region_again(target, path) {
            return Outcome::CONTINUE;
        }
        if flags.contains(OFlags::DIRECTORY) {
            return Outcome::errno(Errno::NOTDIR);
        }
        if flags.contains(OFlags::CREATE | OFlags::EXCL) {
            return Outcome::errno(Errno::EXIST);
        }
        if let Some(number) = self.opened_already(target, flags) {
            return Outcome::value(Ok(number.into()));
        }
        // The number in the caller is not known yet; the first request brings it.
        let last_caller = LastCaller { tid: target.tid(), fd: -1 };
        match self.create(Some(target.id()), last_caller, flags, b"") {
            Ok((fd, key)) => {
                // A program that only opens and closes makes the journal grow as well.
                self.table().compact_if_due(target.id());
                Outcome::Open { fd, close_on_exec: flags.contains(OFlags::CLOEXEC), key }
            }
            // The limits of the agent are not the caller's, so it is not the caller's table that is
            // full.
            Err(Errno::MFILE) => Outcome::errno(Errno::NFILE),
            Err(error) => Outcome::errno(error),
        }
    }

    /// The descriptor that this open has put into the caller already, if only its number did not
    /// arrive: the previous agent died in between, or a signal interrupted the call, which the
    /// caller makes again.
    fn opened_already(&self, target: &Target<'_>, flags: OFlags) -> Option<RawFd> {
        let inode = {
            let mut table = self.table();
            let key = table.pending_opens.take(target.id(), target.tid())?;
            table.region(key)?.0.inode
        };
        let wanted = flags & OFlags::RWMODE;
        descriptors(target.tid()).into_iter().find(|number| {
            FileStatus::of_descriptor(target.tid(), *number)
                .is_ok_and(|file| file.device == self.memfds && file.inode == inode)
                && closes_on_exec(target.tid(), *number) == Ok(flags.contains(OFlags::CLOEXEC))
                && self
                    .threads
                    .descriptor(target.tid(), *number, || target.is_waiting())
                    .and_then(rustix::fs::fcntl_getfl)
                    .is_ok_and(|flags| flags & OFlags::RWMODE == wanted)
        })
    }

    /// Whether a path names a descriptor of a region, the caller's own or another process's:
    /// opening it creates a new one (OPEN-05).
    fn is_region_again(&self, target: &Target<'_>, path: &[u8]) -> bool {
        if self.fidelity != Fidelity::Full {
            return false;
        }
        match Device::descriptor_named(path) {
            None => false,
            Some(NamedFd::Own(number)) => self.is_region(target, number),
            // A process's number means what it does in the `/proc` that the caller sees.
            Some(NamedFd::OfProcess) => {
                let root = format!("/proc/{}/root", target.tid());
                let file = FileStatus::behind([root.as_bytes(), path].concat());
                file.is_ok_and(|file| {
                    file.device == self.memfds && self.table().find(file.inode).is_some()
                })
            }
        }
    }
}
