// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a call asks of the tenant: each call of the filter's with the part of the tenant that
//! decides it, and what it points to in the caller's memory.

use rustix::fs::OFlags;
use rustix::io::Errno;

use ashmem_core::abi::{self, Caller};

use crate::emulation::argument::Argument;
use crate::emulation::decision::Decision;
use crate::emulation::outcome::Outcome;
use crate::seccomp::syscalls::{Call, Mmap};
use crate::supervisor::Supervisor;
use crate::target_thread::Target;

/// Longest path that is read. The device's own is less than a quarter of it.
const PATH_LIMIT: usize = 256;
const F_ADD_SEALS: u32 = libc::F_ADD_SEALS as u32;
const F_GET_SEALS: u32 = libc::F_GET_SEALS as u32;

impl Supervisor {
    /// Decides a request.
    pub(super) fn decide(&self, target: &Target<'_>, call: Call, caller: Caller) -> Decision {
        let tenant = &self.tenant;
        let outcome = match call {
            Call::Open { dir, path, flags } => {
                self.open(target, dir, path, OFlags::from_bits_retain(flags))
            }
            Call::OpenAt2 { dir, path, how, size } => {
                self.open_by_structure(target, dir, path, how, size)
            }
            Call::Ioctl { fd, cmd, arg } => {
                let request = abi::Request::decode(caller, cmd, arg);
                let argument = Argument::of(request, target);
                return tenant.ioctl(target, call, fd, request, argument);
            }
            Call::Mmap(call) => return tenant.mmap(target, call),
            Call::OldMmap(address) => {
                let mut bytes = [0; 24];
                if target.read(address, &mut bytes).is_err() {
                    return Decision::of(call, Outcome::CONTINUE);
                }
                let mut words = [0; 6];
                for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
                    *word = u32::from_ne_bytes(*bytes);
                }
                return tenant.mmap(target, Mmap::from_words(words));
            }
            Call::Fstat { fd, buffer, layout } => match tenant.is_region(target, fd) {
                true => tenant.stat(buffer, layout),
                false => Outcome::CONTINUE,
            },
            Call::Stat { dir, path, buffer, flags, layout } => {
                match self.names_device(target, dir, path, flags) {
                    true => tenant.stat(buffer, layout),
                    false => Outcome::CONTINUE,
                }
            }
            Call::Statx { dir, path, buffer, flags } => {
                match self.names_device(target, dir, path, flags) {
                    true => tenant.statx(buffer),
                    false => Outcome::CONTINUE,
                }
            }
            Call::Access { dir, path, mode, flags } => {
                match self.names_device(target, dir, path, flags) {
                    true => tenant.access(mode),
                    false => Outcome::CONTINUE,
                }
            }
            Call::Truncate(fd) | Call::Sync(fd) => tenant.refuse(target, &[fd], Errno::INVAL),
            Call::Allocate(fd) => tenant.refuse(target, &[fd], Errno::NODEV),
            Call::Fcntl { fd, cmd: F_ADD_SEALS | F_GET_SEALS } => {
                tenant.refuse(target, &[fd], Errno::INVAL)
            }
            Call::Fcntl { .. } => Outcome::CONTINUE,
            Call::Transfer { from, to } => tenant.refuse(target, &[from, to], Errno::INVAL),
            Call::Remap { address, len } => tenant.remap(target, address, len),
            Call::Protect { address, len, .. } => tenant.protect(target, address, len),
        };
        Decision::of(call, outcome)
    }

    /// Whether a call with a path means the device: by the path where no node lies there, or by the
    /// descriptor where the path is empty.
    fn names_device(&self, target: &Target<'_>, dir: i32, path: u64, flags: u32) -> bool {
        let by_descriptor =
            flags & libc::AT_EMPTY_PATH as u32 != 0 && self.tenant.is_region(target, dir);
        let device = self.tenant.device();
        let by_path = !device.has_node();
        if !by_descriptor && !by_path {
            return false;
        }
        // With AT_EMPTY_PATH kernels from 6.11 on take no path at all for an empty one.
        let read = if path == 0 { Ok(Vec::new()) } else { target.peek_string(path, PATH_LIMIT) };
        match read {
            Ok(path) if path.is_empty() => by_descriptor,
            Ok(path) => {
                by_path && path.len() < PATH_LIMIT && device.is_at(target.tid(), dir, &path)
            }
            Err(_) => false,
        }
    }

    fn open(&self, target: &Target<'_>, dir: i32, path: u64, flags: OFlags) -> Outcome {
        // A descriptor that the caller does not take is closed, and the region ends with it.
        match target.peek_string(path, PATH_LIMIT) {
            Ok(path) if path.len() < PATH_LIMIT => self.tenant.open(target, dir, &path, flags),
            _ => Outcome::CONTINUE,
        }
    }

    fn open_by_structure(
        &self,
        target: &Target<'_>,
        dir: i32,
        path: u64,
        how: u64,
        size: u64,
    ) -> Outcome {
        /// `struct open_how`: flags, mode, resolve.
        const SIZE: usize = 24;
        let mut bytes = [0; SIZE];
        // A structure of another size, or one with RESOLVE_*, is left to the kernel: its open ends
        // at the node.
        if size != SIZE as u64 || target.read(how, &mut bytes).is_err() || bytes[8..] != [0; 16] {
            return Outcome::CONTINUE;
        }
        let flags = bytes.first_chunk().map_or(0, |flags| u64::from_ne_bytes(*flags));
        match u32::try_from(flags) {
            Ok(flags) => self.open(target, dir, path, OFlags::from_bits_retain(flags)),
            Err(_) => Outcome::CONTINUE,
        }
    }
}
