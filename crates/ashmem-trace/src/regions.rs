// SPDX-License-Identifier: MIT OR Apache-2.0
//! The regions that a trace has met, by the key that its source has for them: a kernel address, or
//! an inode.

use std::collections::HashMap;

use crate::event::EventRegion;
use crate::text::Text;

/// What is known of each region.
#[derive(Debug, Default)]
pub struct Regions {
    known: HashMap<u64, KnownRegion>,
    last: u64,
}

/// What is known of one.
#[derive(Clone, Debug, Default)]
pub struct KnownRegion {
    /// As events carry it.
    pub region: EventRegion,
    /// Whether a followed process has used it: then its purges and its end belong to the trace,
    /// whoever brings them about.
    pub followed: bool,
}

impl Regions {
    /// The region of this key; if it is new, `look` may say what there is to know of it.
    pub fn meet(&mut self, key: u64, look: impl FnOnce() -> EventRegion) -> &mut KnownRegion {
        let last = &mut self.last;
        self.known.entry(key).or_insert_with(|| {
            *last += 1;
            KnownRegion { region: EventRegion { id: *last, ..look() }, followed: false }
        })
    }

    /// The region of this key, if it was met.
    pub fn find(&mut self, key: u64) -> Option<&mut KnownRegion> {
        self.known.get_mut(&key)
    }

    /// It is gone; the key may stand for another one from now on.
    pub fn forget(&mut self, key: u64) {
        self.known.remove(&key);
    }

    /// All keys may stand for others from now on.
    pub fn forget_all(&mut self) {
        self.known.clear();
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

/// A name where there is one.
pub(crate) fn name(bytes: &[u8]) -> Option<Text> {
    (!bytes.is_empty()).then(|| Text::from(bytes))
}
