// SPDX-License-Identifier: MIT OR Apache-2.0
//! The device's ioctls: on regions as ashmem-core has them, on other memfds as Google's
//! memfd-ashmem-shim has them.

use std::os::fd::AsFd;

use ashmem_core::abi::{self, NAME_LEN, Request};
use ashmem_core::region::Prot;
use rustix::io::{Errno, Result};

use crate::emulation::Tenant;
use crate::emulation::argument::Argument;
use crate::emulation::decision::Decision;
use crate::emulation::descriptor::FdKind;
use crate::emulation::descriptor::InspectedFd;
use crate::emulation::outcome::Outcome;
use crate::ids::Key;
use crate::journal::Entry;
use crate::notification::Answer;
use crate::regions::arena::Arena;
use crate::regions::memfd;
use crate::regions::region::{EmulatedRegion, host, stored_name};
use crate::seccomp::syscalls::Call;
use crate::target_thread::{Target, is_host_administrator, read_implies_exec};

impl Tenant {
    /// ioctl(2) with the device's type byte.
    pub(crate) fn ioctl(
        &self,
        target: &Target<'_>,
        call: Call,
        fd: i32,
        request: Option<Request>,
        argument: Argument,
    ) -> Decision {
        let name = argument.name().unwrap_or_default();
        let mut descriptor = self.inspect_naming(target, fd, name);
        if descriptor.as_ref().is_some_and(|found| matches!(found.kind, FdKind::Region(_))) {
            self.threads.saw_region_at(target.tid(), fd);
        }
        let outcome = match (&mut descriptor, request) {
            (Some(inspected), request) => match (inspected.kind, request) {
                (FdKind::Region(key), Some(request)) => {
                    self.region_ioctl(target, inspected, key, request, &argument)
                }
                (FdKind::Region(_) | FdKind::Unlisted, None) => Outcome::errno(Errno::NOTTY),
                (FdKind::Unlisted, Some(_)) => Outcome::errno(Errno::NOMEM),
                (FdKind::Memfd, Some(request)) => {
                    memfd_ioctl(target, inspected, request).unwrap_or_else(Outcome::errno)
                }
                _ => Outcome::CONTINUE,
            },
            (None, _) => Outcome::CONTINUE,
        };
        Decision { call, descriptor, argument, outcome }
    }

    fn region_ioctl(
        &self,
        target: &Target<'_>,
        inspected: &mut InspectedFd,
        key: Key,
        request: Request,
        argument: &Argument,
    ) -> Outcome {
        match request {
            Request::PurgeAllCaches => return self.purge_all(target),
            Request::SetProtMask(mask) => return self.set_prot_mask(target, inspected, key, mask),
            _ => {}
        }
        let mut table = self.table();
        if matches!(request, Request::Pin(_) | Request::Unpin(_)) {
            table = self.settled(table, key);
        }
        if let Some(answer) = table.recovered(target.id()) {
            return answer.outcome();
        }
        let Some((region, arena)) = table.region(key) else { return Outcome::CONTINUE };
        let outcome = decide(region, arena, key, request, argument);
        let pin = argument.pin().ok();
        table.note_ioctl(key, request, pin, target.id(), &outcome);
        drop(table);
        if matches!(outcome, Outcome::Answer(Answer::Value(0))) {
            match request {
                Request::SetName(_) => self.show_name(target, inspected, key),
                Request::SetSize(_) => {
                    if let Err(error) = self.show_size(target, inspected, key) {
                        return Outcome::errno(error);
                    }
                }
                Request::Unpin(_) => self.has_unpinned(key),
                _ => {}
            }
        }
        outcome
    }

    fn set_prot_mask(
        &self,
        target: &Target<'_>,
        inspected: &mut InspectedFd,
        key: Key,
        mask: u64,
    ) -> Outcome {
        // The personality gives EXEC back to every mask with READ, also to one that drops it now.
        let reads = Prot::from_bits(mask as u32).contains(Prot::READ);
        let executes = Prot::from_bits(mask as u32).contains(Prot::EXEC);
        let implied = reads && !executes && read_implies_exec(target.tid());
        {
            let mut table = self.table();
            if let Some(answer) = table.recovered(target.id()) {
                return answer.outcome();
            }
            let Some((region, _)) = table.region(key) else { return Outcome::CONTINUE };
            let now = match region.state.set_prot_mask(&region.facts, mask, implied) {
                Ok(now) => now,
                Err(error) => return Outcome::errno(host(error)),
            };
            self.note_mask(now);
            if now.contains(Prot::WRITE) {
                let request = Request::SetProtMask(mask);
                table.note_ioctl(key, request, None, target.id(), &Outcome::ZERO);
                drop(table);
                self.show_state(inspected, key);
                return Outcome::ZERO;
            }
            // Without its answer, which is not known yet: made again it changes nothing more.
            table.note(|| Entry::Mask { key, mask: now.bits() });
            table.publish();
        }
        // It is the memory that mappings show which loses the right, whatever the caller's is.
        let shown = self.table().region(key).map(|(region, _)| region.inode);
        if let Some(shown) = shown.filter(|shown| *shown != inspected.file.inode) {
            self.bring_newer(target, inspected, key, shown);
        }
        let forbidden = inspected.copy().and_then(memfd::forbid_writing);
        self.show_state(inspected, key);
        Outcome::value(forbidden.map(|()| 0))
    }
}

/// What a request does to a region's state, and its answer. Under the table's lock.
fn decide(
    region: &mut EmulatedRegion,
    arena: &mut Arena,
    key: Key,
    request: Request,
    argument: &Argument,
) -> Outcome {
    match request {
        Request::SetName(_) => Outcome::value(argument.name().and_then(|name| {
            let mut stored = stored_name(name.to_vec());
            region.state.set_name(&region.facts, &mut stored).map(|()| 0).map_err(host)
        })),
        Request::GetName(address) => {
            let mut bytes = region.state.name().to_vec();
            bytes.push(0);
            Outcome::Write { address, bytes }
        }
        Request::SetSize(size) => {
            Outcome::value(region.state.set_size(&region.facts, size).map(|()| 0).map_err(host))
        }
        Request::GetSize => Outcome::value(Ok(as_int(region.facts.size()))),
        Request::GetProtMask => Outcome::value(Ok(region.facts.prot_mask().bits().into())),
        Request::Pin(_) | Request::Unpin(_) => Outcome::value(argument.pin().and_then(|pin| {
            region.with_spare(arena, key, |region, arena, spare| match request {
                Request::Pin(_) => region.state.pin(&region.facts, arena, pin, spare),
                _ => region.state.unpin(&region.facts, arena, pin, spare),
            })
        })),
        Request::GetPinStatus(_) => Outcome::value(
            argument
                .pin()
                .and_then(|pin| region.state.pin_status(&region.facts, arena, pin).map_err(host)),
        ),
        Request::GetFileId { address, bytes } => match region.facts.file_id() {
            Ok(()) => file_id(address, bytes, region.inode),
            Err(error) => Outcome::errno(host(error)),
        },
        // Handled before: they take more than the state.
        Request::SetProtMask(_) | Request::PurgeAllCaches => Outcome::CONTINUE,
    }
}

/// A memfd that the program made itself (SH-01 to SH-09): what Android 16's libcutils asks to see
/// whether it may use one.
fn memfd_ioctl(target: &Target<'_>, inspected: &InspectedFd, request: Request) -> Result<Outcome> {
    let memory = inspected.copy()?;
    Ok(match request {
        Request::SetName(_) | Request::SetSize(_) => Outcome::errno(Errno::INVAL),
        Request::GetName(address) => match memfd::name(memory) {
            Some(mut bytes) => {
                bytes.truncate(NAME_LEN - 1);
                bytes.push(0);
                Outcome::Write { address, bytes }
            }
            None => Outcome::errno(Errno::INVAL),
        },
        Request::GetSize => Outcome::value(Ok(as_int(inspected.file.size))),
        Request::GetProtMask => Outcome::value(Ok(memfd_mask(memory).bits().into())),
        Request::SetProtMask(mask) => {
            let now = memfd_mask(memory);
            Outcome::value(if mask & !u64::from(now.bits()) != 0 {
                Err(Errno::INVAL)
            } else if now.contains(Prot::WRITE) && mask & u64::from(Prot::WRITE.bits()) == 0 {
                memfd::forbid_writing_by(memory).map(|()| 0)
            } else {
                Ok(0)
            })
        }
        Request::Pin(_) | Request::Unpin(_) => Outcome::ZERO,
        Request::GetPinStatus(_) => Outcome::value(Ok(abi::IS_PINNED)),
        Request::PurgeAllCaches if is_host_administrator(target.tid()) => Outcome::ZERO,
        Request::PurgeAllCaches => Outcome::errno(Errno::PERM),
        Request::GetFileId { address, bytes } => file_id(address, bytes, inspected.file.inode),
    })
}

/// What Google's shim takes for a memfd's mask: a memfd can lose WRITE, and nothing else.
fn memfd_mask(memory: impl AsFd) -> Prot {
    if memfd::is_writable(memory) { Prot::ALL } else { Prot::ALL.without(Prot::WRITE) }
}

/// The kernel cuts every ioctl's answer to an `int` (SIZE-05, SIZE-06).
pub(crate) fn as_int(value: u64) -> i64 {
    i64::from(value as i32)
}

fn file_id(address: u64, bytes: usize, inode: u64) -> Outcome {
    let bytes = if bytes == 4 {
        (inode as u32).to_ne_bytes().to_vec()
    } else {
        inode.to_ne_bytes().to_vec()
    };
    Outcome::Write { address, bytes }
}
