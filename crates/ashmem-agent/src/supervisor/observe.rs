// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a tracer is told of a request.

use ashmem_core::abi::Request as Ioctl;

use crate::emulation::Tenant;
use crate::emulation::argument::Argument;
use crate::emulation::descriptor::FdKind;
use crate::emulation::outcome::Outcome;
use crate::notification::{Answer, Request};
use crate::regions::memfd;
use crate::seccomp::syscalls::Call;
use crate::target_thread::Target;
use ashmem_trace_wire::record::{EventKind, Record, RegionInfo};

use crate::trace::TraceSink;

/// The record of a request that was decided and not yet answered; `began` is when it arrived.
pub(crate) fn observe(
    sink: &TraceSink,
    tenant: &mut Tenant,
    target: &Target<'_>,
    request: &Request,
    outcome: &Outcome,
    began: u64,
) -> Option<Record> {
    let (call, caller) = Call::decode(request.arch, request.nr, &request.args)?;
    let (kind, region) = match call {
        Call::Open { .. } | Call::OpenAt2 { .. } => {
            let Outcome::Open { fd, .. } = outcome else { return None };
            let inode = rustix::fs::fstat(fd).ok()?.st_ino;
            (EventKind::Open, region_of(tenant, inode)?)
        }
        Call::Ioctl { fd, cmd, arg } => {
            let inspected = tenant.inspect(target, fd)?;
            let region = match inspected.kind {
                FdKind::Region(_) => region_of(tenant, inspected.inode)?,
                FdKind::Memfd => {
                    let name = memfd::name(&inspected.fd).unwrap_or_default();
                    RegionInfo { key: None, inode: inspected.inode, name, size: inspected.size }
                }
                FdKind::Foreign => return None,
            };
            let request = Ioctl::decode(caller, cmd, arg);
            let (name, pin) = match Argument::of(request, target) {
                Argument::Name(name) => (name.ok(), None),
                Argument::Pin(pin) => (None, pin.ok().map(|pin| (pin.offset, pin.len))),
                Argument::None => (None, None),
            };
            (EventKind::Ioctl { command: cmd, argument: arg, name, pin }, region)
        }
        Call::Mmap(call) => {
            let inspected = tenant.inspect(target, call.fd)?;
            let FdKind::Region(_) = inspected.kind else { return None };
            let kind = EventKind::Mmap {
                len: call.len,
                prot: call.prot,
                flags: call.flags,
                offset: call.offset,
            };
            (kind, region_of(tenant, inspected.inode)?)
        }
        _ => return None,
    };
    let result = match outcome {
        Outcome::Answer(Answer::Value(value)) => Some(*value),
        Outcome::Answer(Answer::Errno(errno)) => Some(-i64::from(errno.raw_os_error())),
        Outcome::Answer(Answer::Continue) | Outcome::MapAnonymous(_) => None,
        Outcome::Write { .. } | Outcome::Open { .. } => Some(0),
    };
    let caller = Some(sink.caller(request.tid));
    let region = Some(region);
    let tenant = sink.number();
    Some(Record {
        mono_ns: began,
        tenant,
        duration_ns: Some(0),
        caller,
        kind,
        region,
        result,
        lost: 0,
    })
}

/// The region of this inode, as it is now.
fn region_of(tenant: &mut Tenant, inode: u64) -> Option<RegionInfo> {
    let key = tenant.table().find(inode)?;
    let (region, _) = tenant.table().region(key)?;
    Some(region.traced(key))
}
