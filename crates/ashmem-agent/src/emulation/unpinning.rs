// SPDX-License-Identifier: MIT OR Apache-2.0
//! What becomes of pages that a program unpins: the kernel may take them, at some time, which a
//! program's test cannot wait for.

use crate::emulation::Tenant;
use crate::ids::Key;

/// When a tenant's unpinned pages are purged. PURGE_ALL_CACHES purges them in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unpinning {
    /// Under memory pressure, as the device does.
    #[default]
    Reclaim,
    /// Not for want of memory: what Google's newer driver does without `ashmem_unpinning_enable`.
    Never,
    /// Before UNPIN returns: the next PIN says WAS_PURGED.
    AtOnce,
}

/// How often a region is looked at again after an UNPIN whose pages another purge of it has passed
/// by: it began earlier.
const LOOKS: usize = 8;

impl Tenant {
    /// The same tenant, with another choice.
    #[must_use]
    pub fn with_unpinning(self, unpinning: Unpinning) -> Self {
        Self { unpinning, ..self }
    }

    /// How many pages memory pressure may take.
    pub(crate) fn reclaimable(&self) -> u64 {
        if self.unpinning == Unpinning::Never { 0 } else { self.purgeable() }
    }

    /// Called after an UNPIN of this region, without the table's lock.
    pub(crate) fn has_unpinned(&self, key: Key) {
        if self.unpinning != Unpinning::AtOnce {
            return;
        }
        for _ in 0..LOOKS {
            self.purge_of(key);
            let mut table = self.settled(self.table(), key);
            if !table.has_purgeable(key) {
                return;
            }
        }
    }
}
