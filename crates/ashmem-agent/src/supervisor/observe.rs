// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a tracer is told of a request: what was decided, and nothing that was looked at again.

use crate::emulation::argument::Argument;
use crate::emulation::decision::Decision;
use crate::emulation::descriptor::FdKind;
use crate::emulation::outcome::Outcome;
use crate::ids::Key;
use crate::notification::Notification;
use crate::regions::memfd;
use crate::seccomp::syscalls::Call;
use crate::supervisor::Supervisor;
use ashmem_trace_wire::record::{EventKind, Record, RegionInfo};

impl Supervisor {
    /// The record of a request that was decided and not yet answered; `began` is when it arrived.
    pub(super) fn record(
        &self,
        notification: &Notification,
        decision: &Decision,
        began: u64,
    ) -> Option<Record> {
        let (kind, region) = self.event(decision)?;
        let sink = self.trace_sink();
        Some(Record {
            mono_ns: began,
            tenant: sink.number(),
            duration_ns: Some(0),
            caller: Some(sink.caller(notification.tid)),
            kind,
            region: Some(region),
            // Known once it was sent.
            result: None,
            lost: 0,
        })
    }

    fn event(&self, decision: &Decision) -> Option<(EventKind, RegionInfo)> {
        match decision.call {
            Call::Open { .. } | Call::OpenAt2 { .. } => {
                let Outcome::Open { key, .. } = decision.outcome else { return None };
                Some((EventKind::Open, self.region_of(key)?))
            }
            Call::Ioctl { cmd, arg, .. } => {
                let (name, pin) = match &decision.argument {
                    Argument::Name(name) => (name.clone().ok(), None),
                    Argument::Pin(pin) => (None, pin.ok().map(|pin| (pin.offset, pin.len))),
                    Argument::None => (None, None),
                };
                let kind = EventKind::Ioctl { command: cmd, argument: arg, name, pin };
                Some((kind, self.region_behind(decision)?))
            }
            Call::Mmap(call) => {
                let kind = EventKind::Mmap {
                    len: call.len,
                    prot: call.prot,
                    flags: call.flags,
                    offset: call.offset,
                };
                Some((kind, self.region_behind(decision)?))
            }
            _ => None,
        }
    }

    /// The region, or the program's own memfd, that the decision's descriptor is.
    fn region_behind(&self, decision: &Decision) -> Option<RegionInfo> {
        let inspected = decision.descriptor.as_ref()?;
        match inspected.kind {
            FdKind::Region(key) => self.region_of(key),
            FdKind::Memfd | FdKind::Unlisted => {
                let name = inspected.copy().ok().and_then(memfd::name).unwrap_or_default();
                let (inode, size) = (inspected.file.inode, inspected.file.size);
                Some(RegionInfo { key: None, inode, name, size })
            }
            FdKind::Node | FdKind::Foreign => None,
        }
    }

    /// A region as the decision left it.
    fn region_of(&self, key: Key) -> Option<RegionInfo> {
        let mut table = self.tenant().table();
        let (region, _) = table.region(key)?;
        Some(region.traced(key))
    }
}
