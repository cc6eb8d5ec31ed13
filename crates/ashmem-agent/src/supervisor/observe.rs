//! What whoever traces is told of a request.

use ashmem_core::abi::Request as Ioctl;

use crate::emulation::Origin;
use crate::emulation::argument::Argument;
use crate::emulation::descriptor::Kind;
use crate::emulation::outcome::Outcome;
use crate::notification::{Answer, Request};
use crate::regions::memfd;
use crate::seccomp::syscalls::Call;
use crate::target::Target;
use ashmem_trace_wire::record::{Record, Region, What};

use crate::trace::Tap;

/// What is to be told of a request that was decided, before its caller goes on; `began` is when it came.
pub(crate) fn look(
    tap: &Tap,
    origin: &mut Origin,
    target: &Target<'_>,
    request: &Request,
    outcome: &Outcome,
    began: u64,
) -> Option<Record> {
    let (call, caller) = Call::decode(request.arch, request.nr, &request.args)?;
    let (what, region) = match call {
        Call::Open { .. } | Call::OpenAt2 { .. } => {
            let Outcome::Open { fd, .. } = outcome else { return None };
            let inode = rustix::fs::fstat(fd).ok()?.st_ino;
            (What::Open, region_of(origin, inode)?)
        }
        Call::Ioctl { fd, cmd, arg } => {
            let held = origin.look(target, fd)?;
            let region = match held.kind {
                Kind::Region(_) => region_of(origin, held.inode)?,
                Kind::Memfd => {
                    let name = memfd::name(&held.fd).unwrap_or_default();
                    Region { key: None, inode: held.inode, name, size: held.size }
                }
                Kind::Foreign => return None,
            };
            let request = Ioctl::decode(caller, cmd, arg);
            let (name, pin) = match Argument::of(request, target) {
                Argument::Name(name) => (name.ok(), None),
                Argument::Pin(pin) => (None, pin.ok().map(|pin| (pin.offset, pin.len))),
                Argument::None => (None, None),
            };
            (What::Ioctl { command: cmd, argument: arg, name, pin }, region)
        }
        Call::Mmap(call) => {
            let held = origin.look(target, call.fd)?;
            let Kind::Region(_) = held.kind else { return None };
            let what = What::Mmap { len: call.len, prot: call.prot, flags: call.flags, offset: call.offset };
            (what, region_of(origin, held.inode)?)
        }
        _ => return None,
    };
    let result = match outcome {
        Outcome::Answer(Answer::Value(value)) => Some(*value),
        Outcome::Answer(Answer::Errno(errno)) => Some(-i64::from(errno.raw_os_error())),
        Outcome::Answer(Answer::Continue) | Outcome::MapAnonymous(_) => None,
        Outcome::Write { .. } | Outcome::Open { .. } => Some(0),
    };
    let caller = Some(tap.caller(request.tid));
    let region = Some(region);
    let origin = tap.number();
    Some(Record { mono_ns: began, origin, duration_ns: Some(0), caller, what, region, result, lost: 0 })
}

/// The region of this memory, as it is now.
fn region_of(origin: &mut Origin, inode: u64) -> Option<Region> {
    let key = origin.table().find(inode)?;
    let (region, _) = origin.table().region(key)?;
    Some(region.traced(key))
}
