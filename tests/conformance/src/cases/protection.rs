// SPDX-License-Identifier: MIT OR Apache-2.0
//! Protection masks.

use ashmem_core::abi;

use super::run;
use crate::case::{Case, Verdict, equal, failed, refused};
use crate::process::apart;
use ashmem_test_client::errno::answer;
use ashmem_test_client::map::{NONE, PAGE, R, RW, RWX};

const X: i32 = libc::PROT_EXEC;
const W: i32 = libc::PROT_WRITE;

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "protection.default",
        &["PROT-01"],
        "A fresh region's mask is read, write and execute",
        |env| equal("GET_PROT_MASK", env.open()?.mask()?, 7),
    ),
    Case::new(
        "protection.every-subset",
        &["PROT-02"],
        "Each subset of the rights can be set once and reads back",
        |env| {
            for mask in 0..8 {
                let region = env.open()?;
                equal("SET_PROT_MASK", region.set_mask(mask)?, 0)?;
                equal("GET_PROT_MASK", region.mask()?, mask as i64)?;
            }
            Ok(())
        },
    ),
    Case::new(
        "protection.every-step",
        &["PROT-02", "PROT-03", "PROT-05"],
        "From each mask to each other: 0 for a subset, EINVAL and no change for all else",
        |env| {
            for (from, to) in (0..8).flat_map(|from| (0..8).map(move |to| (from, to))) {
                let region = env.open()?;
                region.set_mask(from)?;
                if to & !from == 0 {
                    equal("SET_PROT_MASK", region.set_mask(to)?, 0)?;
                } else {
                    refused(
                        &format!("SET_PROT_MASK from {from} to {to}"),
                        region.set_mask(to),
                        libc::EINVAL,
                    )?;
                }
                equal(
                    "GET_PROT_MASK",
                    region.mask()?,
                    if to & !from == 0 { to } else { from } as i64,
                )?;
            }
            Ok(())
        },
    ),
    Case::new(
        "protection.unknown-bits",
        &["PROT-03"],
        "A mask with a bit that is no right is EINVAL and changes nothing",
        |env| {
            let region = env.open()?;
            for mask in [8, 15, 0x100, 1 << 32, 1 << 63, u64::MAX, 0x0100_0001] {
                refused(&format!("SET_PROT_MASK({mask:#x})"), region.set_mask(mask), libc::EINVAL)?;
            }
            equal("GET_PROT_MASK", region.mask()?, 7)
        },
    ),
    Case::new(
        "protection.none",
        &["PROT-04"],
        "With mask 0 only mappings without rights succeed",
        |env| {
            let region = env.region(4096)?;
            region.set_mask(0)?;
            for prot in [R, W, X, RW, RWX] {
                refused(
                    &format!("mmap with {prot}"),
                    region.map(PAGE, prot, libc::MAP_SHARED, 0),
                    libc::EPERM,
                )?;
            }
            let map = region.map(PAGE, NONE, libc::MAP_SHARED, 0)?;
            equal("the rights", map.line()?.perms.as_str(), "---s")
        },
    ),
    Case::new(
        "protection.same-again",
        &["PROT-05"],
        "Setting the current mask again is accepted",
        |env| {
            let region = env.open()?;
            region.set_mask(3)?;
            equal("SET_PROT_MASK", region.set_mask(3)?, 0)
        },
    ),
    Case::new(
        "protection.when-mapped",
        &["PROT-06"],
        "A mask may be reduced when mapped: old mappings keep their rights, new ones do not get \
         them",
        |env| {
            let (region, map) = env.mapped(4096)?;
            region.set_mask(1)?;
            map.store(0, 4)?;
            refused("a writable mmap", region.share(PAGE), libc::EPERM)?;
            equal(
                "the byte through a read-only mapping",
                region.map(PAGE, R, libc::MAP_SHARED, 0)?.load(0)?,
                4,
            )
        },
    ),
    Case::new(
        "protection.old-mapping-mprotect",
        &["PROT-06", "MMAP-08"],
        "An old mapping may even go from read-only back to writable after the mask was reduced",
        |env| {
            let (region, map) = env.mapped(4096)?;
            map.protect(R)?;
            region.set_mask(1)?;
            equal("mprotect", map.protect(RW)?, 0)?;
            map.store(0, 1)?;
            Ok(())
        },
    ),
    Case::new(
        "protection.read-implies-exec",
        &["PROT-07", "BUG-19"],
        "Under READ_IMPLIES_EXEC a mask with read gets execute back, even after it was removed",
        |env| {
            apart(|| {
                let region = env.open()?;
                region.set_mask(3)?;
                read_implies_exec()?;
                equal("SET_PROT_MASK(read)", region.set_mask(1)?, 0)?;
                equal("GET_PROT_MASK", region.mask()?, 5)
            })
        },
    ),
    Case::new(
        "protection.read-implies-exec-raw-compare",
        &["PROT-07"],
        "Under READ_IMPLIES_EXEC the argument is compared before execute is added",
        |env| {
            apart(|| {
                let region = env.open()?;
                region.set_mask(1)?;
                read_implies_exec()?;
                equal("SET_PROT_MASK(read)", region.set_mask(1)?, 0)?;
                equal("GET_PROT_MASK", region.mask()?, 5)?;
                refused("SET_PROT_MASK(read, write)", region.set_mask(3), libc::EINVAL)
            })
        },
    ),
    Case::new(
        "protection.read-implies-exec-without-read",
        &["PROT-07"],
        "Under READ_IMPLIES_EXEC a mask without read stays as given",
        |env| {
            apart(|| {
                let region = env.open()?;
                read_implies_exec()?;
                region.set_mask(2)?;
                equal("GET_PROT_MASK", region.mask()?, 2)
            })
        },
    ),
    Case::new(
        "protection.read-implies-exec-mmap",
        &["MMAP-05", "PROT-07"],
        "Under READ_IMPLIES_EXEC a readable mmap asks for execute too: EPERM where the mask lacks \
         it",
        |env| {
            apart(|| {
                let region = env.region(4096)?;
                region.set_mask(3)?;
                read_implies_exec()?;
                refused("mmap with read", region.map(PAGE, R, libc::MAP_SHARED, 0), libc::EPERM)
            })
        },
    ),
    Case::new(
        "protection.mask-and-read",
        &["PROT-09"],
        "read(2) does not look at the mask",
        |env| {
            let (region, map) = env.mapped(4096)?;
            map.write(0, b"data")?;
            region.set_mask(0)?;
            equal("read", region.read(4)?, b"data".to_vec())
        },
    ),
    Case::new(
        "protection.mask-and-pin",
        &["PROT-10", "BUG-03"],
        "PIN, UNPIN and purge do not look at the mask",
        |env| {
            env.purge()?;
            let (region, map) = env.mapped(4096)?;
            map.store(0, 1)?;
            region.set_mask(0)?;
            equal("UNPIN", region.unpin(0, 0)?, 0)?;
            equal("PURGE_ALL_CACHES", env.purge()?, 1)?;
            equal("PIN", region.pin(0, 0)?, abi::WAS_PURGED)?;
            equal("the byte", map.load(0)?, 0)
        },
    )
    .differs(&[run::SEALED_PURGE]),
    Case::new(
        "protection.all-mmaps",
        &["MMAP-05", "MMAP-06"],
        "For each mask, mmap with each protection: EPERM exactly where a right is not in the mask",
        |env| {
            for (mask, prot) in (0..8).flat_map(|mask| (0..8).map(move |prot| (mask, prot))) {
                let region = env.region(4096)?;
                region.set_mask(mask)?;
                for flags in [libc::MAP_SHARED, libc::MAP_PRIVATE] {
                    let got = region.map(PAGE, prot, flags, 0);
                    if prot & !(mask as i32) == 0 {
                        got?;
                    } else {
                        refused(&format!("mask {mask}, mmap with {prot}"), got, libc::EPERM)?;
                    }
                }
            }
            Ok(())
        },
    ),
];

/// Switches the calling process to READ_IMPLIES_EXEC.
fn read_implies_exec() -> Verdict {
    // SAFETY: personality touches no memory.
    let old = answer("personality", unsafe { libc::personality(0xffff_ffff) }.into())?;
    let new = old as u64 | libc::READ_IMPLIES_EXEC as u64;
    // SAFETY: as above.
    answer("personality", unsafe { libc::personality(new) }.into())?;
    // SAFETY: as above.
    let now = answer("personality", unsafe { libc::personality(0xffff_ffff) }.into())?;
    if now as u64 == new { Ok(()) } else { failed("READ_IMPLIES_EXEC did not stay set") }
}
