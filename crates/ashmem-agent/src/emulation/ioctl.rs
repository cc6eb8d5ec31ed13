// SPDX-License-Identifier: MIT OR Apache-2.0
//! The device's ioctls: on regions as ashmem-core has them, on other memfds as Google's
//! memfd-ashmem-shim has them.

use ashmem_core::abi::{self, NAME_LEN, Request};
use ashmem_core::region::Prot;
use rustix::io::Errno;

use crate::emulation::Tenant;
use crate::emulation::argument::Argument;
use crate::emulation::descriptor::FdKind;
use crate::emulation::descriptor::InspectedFd;
use crate::emulation::outcome::Outcome;
use crate::ids::Key;
use crate::regions::memfd;
use crate::regions::region::{host, stored_name};
use crate::target_thread::{Target, is_host_administrator, read_implies_exec};

impl Tenant {
    /// ioctl(2) with the device's type byte.
    pub(crate) fn ioctl(
        &mut self,
        target: &Target<'_>,
        fd: i32,
        request: Option<Request>,
        arg: Argument,
    ) -> Outcome {
        let name = if let Argument::Name(Ok(name)) = &arg { name.as_slice() } else { b"" };
        let Some(inspected) = self.inspect_naming(target, fd, name) else {
            return Outcome::CONTINUE;
        };
        match (inspected.kind, request) {
            (FdKind::Region(key), Some(request)) => {
                if let Some(answer) = self.table.recovered(target.id()) {
                    return answer.outcome();
                }
                let pin = arg.known_pin();
                let outcome = self.region_ioctl(target, inspected, key, request, arg);
                self.table.note_ioctl(key, request, pin, target.id(), &outcome);
                outcome
            }
            (FdKind::Region(_), None) => Outcome::errno(Errno::NOTTY),
            (FdKind::Memfd, Some(request)) => memfd_ioctl(target, &inspected, request),
            _ => Outcome::CONTINUE,
        }
    }

    fn region_ioctl(
        &mut self,
        target: &Target<'_>,
        inspected: InspectedFd,
        key: Key,
        request: Request,
        arg: Argument,
    ) -> Outcome {
        if request == Request::PurgeAllCaches {
            return self.purge_all(target);
        }
        let Some((region, arena)) = self.table.region(key) else { return Outcome::CONTINUE };
        match request {
            Request::SetName(_) => {
                let name = match arg.name() {
                    Ok(name) => name,
                    Err(error) => return Outcome::errno(error),
                };
                let mut stored = stored_name(name.clone());
                match region.state.set_name(&region.facts, &mut stored) {
                    Ok(()) => self.show_name(target, inspected, key, &name),
                    Err(error) => return Outcome::errno(host(error)),
                }
                Outcome::ZERO
            }
            Request::GetName(address) => {
                let mut bytes = region.state.name().to_vec();
                bytes.push(0);
                Outcome::Write { address, bytes }
            }
            Request::SetSize(size) => {
                Outcome::value(region.state.set_size(&region.facts, size).map(|()| 0).map_err(host))
            }
            Request::GetSize => Outcome::value(Ok(as_int(region.facts.size()))),
            Request::SetProtMask(mask) => {
                let before = region.facts.prot_mask();
                // Only a mask that has lost EXEC can get it back.
                let implied = !before.contains(Prot::EXEC) && read_implies_exec(target.tid());
                let now = region.state.set_prot_mask(&region.facts, mask, implied);
                self.exec_withheld |= now.is_ok_and(|now| !now.contains(Prot::EXEC));
                match now {
                    Ok(now) if now.contains(Prot::WRITE) => Outcome::ZERO,
                    Ok(_) => Outcome::value(memfd::forbid_writing(&inspected.fd).map(|()| 0)),
                    Err(error) => Outcome::errno(host(error)),
                }
            }
            Request::GetProtMask => Outcome::value(Ok(region.facts.prot_mask().bits().into())),
            Request::Pin(_) | Request::Unpin(_) => Outcome::value(arg.pin().and_then(|pin| {
                region.with_spare(arena, key, |region, arena, spare| match request {
                    Request::Pin(_) => region.state.pin(&region.facts, arena, pin, spare),
                    _ => region.state.unpin(&region.facts, arena, pin, spare),
                })
            })),
            Request::GetPinStatus(_) => {
                Outcome::value(arg.pin().and_then(|pin| {
                    region.state.pin_status(&region.facts, arena, pin).map_err(host)
                }))
            }
            Request::GetFileId { address, bytes } => match region.facts.file_id() {
                Ok(()) => file_id(address, bytes, region.inode),
                Err(error) => Outcome::errno(host(error)),
            },
            Request::PurgeAllCaches => Outcome::CONTINUE,
        }
    }
}

/// A memfd that the program made itself (SH-01 to SH-09): what Android 16's libcutils asks to see
/// whether it may use one.
fn memfd_ioctl(target: &Target<'_>, inspected: &InspectedFd, request: Request) -> Outcome {
    match request {
        Request::SetName(_) | Request::SetSize(_) => Outcome::errno(Errno::INVAL),
        Request::GetName(address) => match memfd::name(&inspected.fd) {
            Some(mut bytes) => {
                bytes.truncate(NAME_LEN - 1);
                bytes.push(0);
                Outcome::Write { address, bytes }
            }
            None => Outcome::errno(Errno::INVAL),
        },
        Request::GetSize => Outcome::value(Ok(as_int(inspected.size))),
        Request::GetProtMask => {
            let write = if memfd::is_writable(&inspected.fd) { libc::PROT_WRITE } else { 0 };
            Outcome::value(Ok((libc::PROT_READ | libc::PROT_EXEC | write).into()))
        }
        Request::SetProtMask(mask) => {
            let (write, writable) =
                (mask & libc::PROT_WRITE as u64 != 0, memfd::is_writable(&inspected.fd));
            Outcome::value(match (write, writable) {
                (true, false) => Err(Errno::INVAL),
                (false, true) => memfd::forbid_writing_by(&inspected.fd).map(|()| 0),
                _ => Ok(0),
            })
        }
        Request::Pin(_) | Request::Unpin(_) => Outcome::ZERO,
        Request::GetPinStatus(_) => Outcome::value(Ok(abi::IS_PINNED)),
        Request::PurgeAllCaches if is_host_administrator(target.tid()) => Outcome::ZERO,
        Request::PurgeAllCaches => Outcome::errno(Errno::PERM),
        Request::GetFileId { address, bytes } => file_id(address, bytes, inspected.inode),
    }
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
