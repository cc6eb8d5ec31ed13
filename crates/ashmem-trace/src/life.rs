// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state of a region during a trace: its size, and which pages are unpinned or purged.

use rangemap::RangeSet;

use crate::event::Event;
use crate::operation::{Operation, PinRange};

/// A region's life so far.
#[derive(Debug, Default)]
pub struct Life {
    size: u64,
    unpinned: RangeSet<u64>,
    purged: RangeSet<u64>,
}

/// Bytes of a region, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegionBytes {
    /// All.
    pub size: u64,
    /// May be purged when memory runs short.
    pub unpinned: u64,
    /// Were purged, and not pinned since.
    pub purged: u64,
}

impl Life {
    /// Bytes.
    pub fn state(&self) -> RegionBytes {
        let bytes = |set: &RangeSet<u64>| set.iter().map(|range| range.end - range.start).sum();
        RegionBytes {
            size: self.size,
            unpinned: bytes(&self.unpinned),
            purged: bytes(&self.purged),
        }
    }

    /// The size, as the event knows it.
    pub fn take_size(&mut self, event: &Event) {
        self.size = event.region.as_ref().and_then(|region| region.size).unwrap_or(self.size);
    }

    /// What the event changes of what is pinned.
    pub fn take_pins(&mut self, event: &Event) {
        let outcome = &event.outcome;
        let failed = outcome.errno().is_some() || outcome.is_unseen(&event.operation);
        match &event.operation {
            Operation::Unpin(range) if !failed => {
                if let Some(range) = self.bytes(range) {
                    self.unpinned.insert(range);
                }
            }
            Operation::Pin(range) if !failed => {
                if let Some(range) = self.bytes(range) {
                    self.unpinned.remove(range.clone());
                    self.purged.remove(range);
                }
            }
            Operation::Purge { offset, len } if *len > 0 => {
                let range = *offset..offset.saturating_add(*len);
                self.unpinned.remove(range.clone());
                self.purged.insert(range);
            }
            Operation::Release {} => {
                (self.unpinned, self.purged) = (RangeSet::new(), RangeSet::new())
            }
            _ => {}
        }
    }

    /// The bytes that PIN or UNPIN means, of those the region has.
    fn bytes(&self, range: &PinRange) -> Option<std::ops::Range<u64>> {
        let (offset, len) = (u64::from(range.offset?), u64::from(range.len?));
        let end = if len == 0 { self.size } else { offset + len };
        (offset < end).then_some(offset..end)
    }
}
