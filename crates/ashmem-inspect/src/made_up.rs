// SPDX-License-Identifier: MIT OR Apache-2.0
//! Regions made up for tests.

use std::sync::Arc;

use ashmem_trace::text::Text;

use crate::process::Process;
use crate::region::{CensusRegion, Holder, PageCounts, RegionKind, RegionMapping};

/// Of 8 KiB, half of it in memory, mapped by the process of this number, which is called after it.
pub(crate) fn region(id: u64, name: &str, pid: i32) -> CensusRegion {
    let mapping = RegionMapping { start: 0x1000, end: 0x3000, offset: 0, rights: *b"rw-s" };
    let process = process(pid, &format!("process-{pid}"));
    CensusRegion {
        id: Some(id),
        kind: RegionKind::Memfd,
        name: Arc::new(Text::from(name)),
        size: Some(8192),
        resident: Some(4096),
        mask: None,
        pages: Some(PageCounts { pinned: 2, ..PageCounts::default() }),
        created: None,
        supervisor: None,
        holders: vec![Holder {
            process,
            descriptors: vec![3],
            mappings: vec![mapping],
            share: 4096,
        }],
    }
}

/// The same, mapped nowhere.
pub(crate) fn unmapped(mut region: CensusRegion) -> CensusRegion {
    for holder in &mut region.holders {
        (holder.mappings, holder.share) = (Vec::new(), 0);
    }
    region
}

/// The same, held by a program of this name.
pub(crate) fn held_by(mut region: CensusRegion, command: &str) -> CensusRegion {
    region.holders[0].process = process(region.holders[0].process.pid, command);
    region
}

fn process(pid: i32, command: &str) -> Arc<Process> {
    let command = Text::from(command);
    Arc::new(Process { pid, inner_pid: pid, user: Some(0), command, container: None })
}
