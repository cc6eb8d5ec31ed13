// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory tags (MTE) of arm64: no mapping of a region has any.

use super::run;
use crate::case::{Case, Provider, Verdict, equal, refused, skip};
use ashmem_test_client::map::{R, RW, page_size};

/// `PROT_MTE` of arm64's mman.h.
const TAGS: i32 = 0x20;
/// `HWCAP2_MTE`.
const HAS_TAGS: libc::c_ulong = 1 << 18;

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "memory-tags.mmap",
        &["MMAP-29", "BUG-24"],
        "mmap with PROT_MTE is EINVAL, shared, private and of a descriptor opened read-only, and \
         the region can be mapped without",
        |env| {
            memory_has_tags()?;
            if env.provider == Provider::Reference {
                return skip(
                    "the kernel drops a file too often there, and never comes back (BUG-24)",
                );
            }
            for flags in [libc::MAP_SHARED, libc::MAP_PRIVATE] {
                let region = env.region(page_size() as u64)?;
                refused("mmap", region.map(page_size(), RW | TAGS, flags, 0), libc::EINVAL)?;
                region.map(page_size(), RW, flags, 0)?.store(0, 1)?;
            }
            let region = env.open_with(libc::O_RDONLY)?;
            region.set_size(page_size() as u64)?;
            refused(
                "mmap, read-only",
                region.map(page_size(), R | TAGS, libc::MAP_SHARED, 0),
                libc::EINVAL,
            )
        },
    )
    .differs(&[run::MEMORY_TAGS]),
    Case::new(
        "memory-tags.mprotect",
        &["MMAP-29"],
        "mprotect of a mapping to PROT_MTE is EINVAL, shared and private",
        |env| {
            memory_has_tags()?;
            for flags in [libc::MAP_SHARED, libc::MAP_PRIVATE] {
                let region = env.region(page_size() as u64)?;
                let map = region.map(page_size(), RW, flags, 0)?;
                refused("mprotect", map.protect(RW | TAGS), libc::EINVAL)?;
                map.store(0, 1)?;
                equal("what is read", map.load(0)?, 1)?;
            }
            Ok(())
        },
    )
    .differs(&[run::MEMORY_TAGS]),
];

/// Skips where the processor has no tags, or the kernel does not know them.
fn memory_has_tags() -> Verdict {
    if cfg!(not(target_arch = "aarch64")) {
        return skip("this processor's memory has no tags");
    }
    // SAFETY: the call takes a number and gives one.
    if unsafe { libc::getauxval(libc::AT_HWCAP2) } & HAS_TAGS == 0 {
        return skip("memory has no tags here");
    }
    Ok(())
}
