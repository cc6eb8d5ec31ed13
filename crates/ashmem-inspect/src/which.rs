// SPDX-License-Identifier: MIT OR Apache-2.0
//! A region, recognised from one census to the next.

use crate::region::CensusRegion;

/// What a region is recognised by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Which {
    /// By the inode of its memory.
    Memory(u64),
    /// By the process and number of its first descriptor: a region of the device that was never
    /// mapped.
    Open(i32, i32),
}

impl Which {
    /// Of a region.
    pub fn of(region: &CensusRegion) -> Self {
        let first = || {
            let holder = region.holders.first();
            let descriptor = holder.and_then(|holder| holder.descriptors.first());
            Self::Open(
                holder.map_or(0, |holder| holder.process.pid),
                descriptor.copied().unwrap_or(-1),
            )
        };
        region.id.map_or_else(first, Self::Memory)
    }
}
