// SPDX-License-Identifier: MIT OR Apache-2.0
//! One region with everything that is known of it.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::process::Process;
use ashmem_trace::text::Text;
use ashmem_trace_wire::ask::SupervisorPlace;

/// A region of shared memory, whoever holds it.
#[derive(Clone, Debug, Serialize)]
pub struct CensusRegion {
    /// The inode of its memory, which maps and fdinfo show too. A region of the device has none
    /// before its first mmap.
    pub id: Option<u64>,
    /// What provides it.
    pub kind: RegionKind,
    /// As it was set; empty if none was.
    pub name: Arc<Text>,
    /// Bytes. `None` where neither a descriptor nor the right to look through a mapping is there.
    pub size: Option<u64>,
    /// Bytes of memory it has, whether in use, in a cache or swapped out. `None` as for the size.
    pub resident: Option<u64>,
    /// The rights that mappings may still have.
    pub mask: Option<Mask>,
    /// Its pages by their state. `None` where only the supervisor of `ashmem run` or `ashmem
    /// agent` knows, and could not be asked.
    pub pages: Option<PageCounts>,
    /// When its memory was made, in seconds since 1970 by the clock of that time. `None` where the
    /// kernel does not keep it (before Linux 5.18) and for a region of the device that is open:
    /// its descriptor is the node's, which is older.
    pub created: Option<f64>,
    /// The supervisor that knows more of it.
    #[serde(skip)]
    pub supervisor: Option<SupervisorPlace>,
    /// Who holds or maps it, by process number.
    pub holders: Vec<Holder>,
}

/// What provides a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RegionKind {
    /// The kernel's device, by this project's module or another driver.
    Device,
    /// A memfd that `ashmem run` or `ashmem agent` gave a program for the device.
    Agent,
    /// A memfd.
    Memfd,
}

/// A protection mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask(u32);

/// Pages of a region by their state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PageCounts {
    /// Never purged.
    pub pinned: u64,
    /// Purged when memory runs short.
    pub unpinned: u64,
    /// Purged, and not pinned since.
    pub purged: u64,
}

/// A process that holds or maps a region.
#[derive(Clone, Debug, Serialize)]
pub struct Holder {
    /// Which.
    pub process: Arc<Process>,
    /// The numbers of its descriptors of the region; none if it only maps it.
    pub descriptors: Vec<i32>,
    /// Its mappings; none if it only holds it.
    pub mappings: Vec<RegionMapping>,
    /// Bytes: its share of the pages that are mapped, each page divided by the number of its
    /// mappings.
    pub share: u64,
}

/// A mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RegionMapping {
    /// The first address.
    pub start: u64,
    /// The address behind the last.
    pub end: u64,
    /// Where in the region it begins, in bytes.
    pub offset: u64,
    /// `rw-s` and the like.
    #[serde(serialize_with = "as_text")]
    pub rights: [u8; 4],
}

impl CensusRegion {
    /// Whether it is held by descriptors alone and mapped nowhere: memory that no process shows
    /// among its own.
    pub fn is_unmapped(&self) -> bool {
        self.holders.iter().all(|holder| holder.mappings.is_empty())
    }

    /// How many processes map it.
    pub fn mappers(&self) -> usize {
        self.holders.iter().filter(|holder| !holder.mappings.is_empty()).count()
    }

    /// Seconds since its memory was made, at this moment in seconds since 1970. Unknown too if the
    /// clock has been set back since.
    pub fn age(&self, now: f64) -> Option<f64> {
        self.created.map(|created| now - created).filter(|age| *age >= 0.0)
    }

    /// How many descriptors there are of it.
    pub fn descriptors(&self) -> usize {
        self.holders.iter().map(|holder| holder.descriptors.len()).sum()
    }

    /// Bytes: the shares of all processes.
    pub fn share(&self) -> u64 {
        self.holders.iter().map(|holder| holder.share).sum()
    }
}

impl RegionKind {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Agent => "agent",
            Self::Memfd => "memfd",
        }
    }
}

impl Mask {
    /// Every right.
    pub const ALL: Self = Self(7);

    /// From `PROT_*` bits.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & 7)
    }

    /// `PROT_*` bits.
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    /// Without `PROT_WRITE`.
    pub(crate) const fn without_write(self) -> Self {
        Self(self.0 & !2)
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [(1, 'r'), (2, 'w'), (4, 'x')];
        let text: String = letters
            .iter()
            .map(|(bit, letter)| if self.0 & bit == 0 { '-' } else { *letter })
            .collect();
        formatter.pad(&text)
    }
}

impl Serialize for Mask {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl RegionMapping {
    /// `rw-s` and the like.
    pub fn rights(&self) -> &str {
        std::str::from_utf8(&self.rights).unwrap_or("????")
    }
}

fn as_text<S: Serializer>(rights: &[u8; 4], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(std::str::from_utf8(rights).unwrap_or("????"))
}
