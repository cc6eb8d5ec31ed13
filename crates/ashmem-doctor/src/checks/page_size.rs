// SPDX-License-Identifier: MIT OR Apache-2.0
//! The size of a page.

use crate::check::Check;
use crate::finding::Finding;
use crate::way::Way;
use crate::{Host, board};

/// `AT_PAGESZ`, by which the kernel tells it to every program.
const AT_PAGESZ: u64 = 6;

/// Android's images want 4 KiB.
pub(super) struct PageSizeCheck;

impl Check for PageSizeCheck {
    fn name(&self) -> &'static str {
        "page size"
    }

    fn looks_at(&self) -> &'static str {
        "the kernel's page size: most Android images are built for 4 KiB"
    }

    fn ways(&self) -> &'static [Way] {
        &[]
    }

    fn examine(&self, host: &Host) -> Finding {
        let bytes = host.bytes("/proc/self/auxv").unwrap_or_default();
        let words: Vec<u64> = bytes
            .chunks_exact(8)
            .filter_map(|word| Some(u64::from_ne_bytes(word.try_into().ok()?)))
            .collect();
        let size = words.chunks_exact(2).find(|pair| pair[0] == AT_PAGESZ).map(|pair| pair[1]);
        let size = size.unwrap_or(rustix::param::page_size() as u64);
        let summary = format!("{} KiB", size / 1024);
        if size == 4096 {
            return Finding::ok(summary);
        }
        Finding::warning(summary)
            .why(
                "redroid's and Waydroid's images are built for 4 KiB pages and stop early on this \
                 kernel; ashmem itself does not mind",
            )
            .next(board::small_pages(host))
            .next("# what an image is built for: ashmem doctor --image ROOTFS|SYSTEM.IMG")
    }
}
