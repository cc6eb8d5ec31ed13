// SPDX-License-Identifier: MIT OR Apache-2.0
//! What becomes of pages that a program unpins: the kernel may take them, at some time, which a
//! program's test cannot wait for.

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
