// SPDX-License-Identifier: MIT OR Apache-2.0
//! PIN, UNPIN and GET_PIN_STATUS: arguments, ranges and their algebra.

use ashmem_core::abi::{self, IS_PINNED, IS_UNPINNED, NOT_PURGED, PIN, UNPIN, WAS_PURGED};

use crate::case::{Case, Differs, Provider, Stop, equal, refused};
use crate::random::Random;
use ashmem_test_client::map::{Map, NONE, PAGE, R, RW};
use ashmem_test_client::region::Region;

/// One page, as the pin structure counts.
const P: u32 = PAGE as u32;

/// An address nothing can be mapped at.
const BAD: u64 = 0xffff_8000_0000_0000;

/// The three commands that take the pin structure.
const COMMANDS: [(&str, u32); 3] =
    [("PIN", PIN), ("UNPIN", UNPIN), ("GET_PIN_STATUS", abi::GET_PIN_STATUS)];

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "pins.not-mapped",
        &["PIN-01"],
        "PIN, UNPIN and GET_PIN_STATUS of a region never mapped are EINVAL",
        |env| {
            for region in [env.open()?, env.region(8192)?] {
                refused("PIN", region.pin(0, 0), libc::EINVAL)?;
                refused("UNPIN", region.unpin(0, P), libc::EINVAL)?;
                refused("GET_PIN_STATUS", region.status(0, 0), libc::EINVAL)?;
            }
            Ok(())
        },
    ),
    Case::new(
        "pins.not-mapped-bad-pointer",
        &["PIN-02"],
        "With a bad pointer they are EFAULT, mapped or not",
        |env| {
            let (mapped, _map) = env.mapped(8192)?;
            for region in [env.region(8192)?, mapped] {
                for ((name, cmd), address) in
                    COMMANDS.into_iter().flat_map(|command| [(command, 0), (command, BAD)])
                {
                    refused(
                        &format!("{name} at {address:#x}"),
                        region.ioctl("pin", cmd, address),
                        libc::EFAULT,
                    )?;
                }
            }
            Ok(())
        },
    ),
    Case::new(
        "pins.struct-at-the-edge",
        &["PIN-02", "NUM-08", "NUM-09", "NUM-10"],
        "All eight bytes are read: with the last beyond what is mapped they are EFAULT",
        |env| {
            let (region, _map) = env.mapped(8192)?;
            let edge = Map::anonymous(2 * PAGE, RW)?;
            edge.unmap_part(PAGE, PAGE)?;
            for (name, cmd) in COMMANDS {
                let at = edge.address() as u64 + PAGE as u64;
                refused(name, region.ioctl("pin", cmd, at - 7), libc::EFAULT)?;
                region.ioctl("pin", cmd, at - 8)?;
            }
            Ok(())
        },
    ),
    Case::new(
        "pins.read-only-struct",
        &["NUM-08"],
        "The structure may lie in read-only memory, and unaligned",
        |env| {
            let (region, _map) = env.mapped(8192)?;
            let page = Map::anonymous(PAGE, RW)?;
            page.write(3, &P.to_ne_bytes())?;
            page.protect(R)?;
            for (name, cmd) in COMMANDS {
                region.ioctl(name, cmd, page.address() as u64 + 3)?;
            }
            equal("the pages", statuses(&region, 2)?, vec![IS_PINNED, IS_UNPINNED])
        },
    ),
    Case::new(
        "pins.unaligned",
        &["PIN-04"],
        "An offset or a length that is not page aligned is EINVAL",
        |env| {
            let (region, _map) = env.mapped(4 * PAGE as u64)?;
            for (offset, len) in [(1, P), (P, 1), (P + 8, P), (0, P - 1), (100, 0), (2048, 2048)] {
                for (name, cmd) in COMMANDS {
                    let pin = abi::Pin { offset, len };
                    let got = region.ioctl("pin", cmd, &raw const pin as u64);
                    refused(&format!("{name} {{{offset}, {len}}}"), got, libc::EINVAL)?;
                }
            }
            equal("nothing has changed", region.status(0, 0)?, IS_PINNED)
        },
    ),
    Case::new(
        "pins.beyond-the-end",
        &["PIN-07", "PIN-09"],
        "An interval that ends behind the rounded size is EINVAL",
        |env| {
            let (region, _map) = env.mapped(4 * PAGE as u64)?;
            let intervals = [
                (0, 5 * P),
                (4 * P, P),
                (3 * P, 2 * P),
                (5 * P, 0),
                (8 * P, 0),
                (1 << 31, P),
                (1 << 31, 0),
            ];
            for (offset, len) in intervals {
                for (name, cmd) in COMMANDS {
                    let pin = abi::Pin { offset, len };
                    let got = region.ioctl("pin", cmd, &raw const pin as u64);
                    refused(&format!("{name} {{{offset}, {len}}}"), got, libc::EINVAL)?;
                }
            }
            equal("nothing has changed", region.status(0, 0)?, IS_PINNED)
        },
    ),
    Case::new("pins.overflow", &["PIN-07"], "An interval beyond 32 bits is EINVAL", |env| {
        let (region, _map) = env.mapped(4 * PAGE as u64)?;
        for (offset, len) in
            [(P, u32::MAX - P + 1), (u32::MAX - P + 1, P), (u32::MAX - P + 1, u32::MAX - P + 1)]
        {
            refused(
                &format!("UNPIN {{{offset}, {len}}}"),
                region.unpin(offset, len),
                libc::EINVAL,
            )?;
        }
        Ok(())
    }),
    Case::new("pins.whole", &["PIN-05"], "{0, 0} is the whole region", |env| {
        let (region, _map) = env.mapped(3 * PAGE as u64)?;
        equal("UNPIN", region.unpin(0, 0)?, 0)?;
        equal("the pages", statuses(&region, 3)?, vec![IS_UNPINNED; 3])?;
        equal("PIN", region.pin(0, 0)?, NOT_PURGED)?;
        equal("the pages", statuses(&region, 3)?, vec![IS_PINNED; 3])
    }),
    Case::new(
        "pins.to-the-end",
        &["PIN-06"],
        "{offset, 0} goes from the offset to the end",
        |env| {
            let (region, _map) = env.mapped(4 * PAGE as u64)?;
            region.unpin(P, 0)?;
            equal(
                "the pages",
                statuses(&region, 4)?,
                vec![IS_PINNED, IS_UNPINNED, IS_UNPINNED, IS_UNPINNED],
            )?;
            region.pin(3 * P, 0)?;
            equal(
                "the pages",
                statuses(&region, 4)?,
                vec![IS_PINNED, IS_UNPINNED, IS_UNPINNED, IS_PINNED],
            )
        },
    ),
    Case::new(
        "pins.empty-at-the-end-pin",
        &["PIN-08"],
        "PIN and GET_PIN_STATUS of {end, 0} are 0 and 'pinned'",
        |env| {
            let (region, _map) = env.mapped(2 * PAGE as u64)?;
            equal("PIN", region.pin(2 * P, 0)?, NOT_PURGED)?;
            equal("GET_PIN_STATUS", region.status(2 * P, 0)?, IS_PINNED)
        },
    ),
    Case::new(
        "pins.empty-at-the-end-unpin",
        &["PIN-08", "BUG-11"],
        "UNPIN {end, 0} inserts an empty range: the last page then reads as unpinned, until it is \
         pinned",
        |env| {
            let (region, _map) = env.mapped(2 * PAGE as u64)?;
            equal("UNPIN", region.unpin(2 * P, 0)?, 0)?;
            equal("the pages", statuses(&region, 2)?, vec![IS_PINNED, IS_UNPINNED])?;
            equal("PIN of the last page", region.pin(P, P)?, NOT_PURGED)?;
            equal("the pages", statuses(&region, 2)?, vec![IS_PINNED, IS_PINNED])
        },
    )
    .differs(&[Differs {
        providers: Provider::OURS,
        what: "UNPIN {end, 0} is 0 and changes nothing: the last page stays pinned",
        reason: "each empty range costs kernel memory that any user of the device could take \
                 without limit",
        check: Some(|env| {
            let (region, _map) = env.mapped(2 * PAGE as u64)?;
            for _ in 0..10 {
                equal("UNPIN", region.unpin(2 * P, 0)?, 0)?;
                equal("the pages", statuses(&region, 2)?, vec![IS_PINNED, IS_PINNED])?;
                equal("PIN", region.pin(2 * P, 0)?, NOT_PURGED)?;
                equal("GET_PIN_STATUS", region.status(2 * P, 0)?, IS_PINNED)?;
            }
            Ok(())
        }),
    }]),
    Case::new(
        "pins.unaligned-size",
        &["PIN-09"],
        "Of 5000 bytes both pages can be unpinned, and not three",
        |env| {
            let (region, _map) = env.mapped(5000)?;
            equal("UNPIN {0, 8192}", region.unpin(0, 8192)?, 0)?;
            refused("UNPIN {0, 12288}", region.unpin(0, 12288), libc::EINVAL)?;
            equal("PIN {4096, 4096}", region.pin(P, P)?, NOT_PURGED)
        },
    ),
    Case::new(
        "pins.unpin-is-always-zero",
        &["PIN-10", "PIN-20"],
        "UNPIN is 0 however often it is repeated",
        |env| {
            let (region, _map) = env.mapped(4 * PAGE as u64)?;
            for (offset, len) in [(0, 0), (0, 0), (P, P), (0, 2 * P), (3 * P, 0)] {
                equal("UNPIN", region.unpin(offset, len)?, 0)?;
            }
            equal("the pages", statuses(&region, 4)?, vec![IS_UNPINNED; 4])
        },
    ),
    Case::new(
        "pins.pin-of-pinned",
        &["PIN-11"],
        "PIN of pages never unpinned is 0 and changes nothing",
        |env| {
            let (region, map) = env.mapped(2 * PAGE as u64)?;
            map.touch(1)?;
            equal("PIN", region.pin(0, 0)?, NOT_PURGED)?;
            equal("PIN", region.pin(P, P)?, NOT_PURGED)?;
            equal("the pages", map.pages()?, vec![1, 1])
        },
    ),
    Case::new(
        "pins.status-any",
        &["PIN-15"],
        "GET_PIN_STATUS is 'unpinned' if any page of the interval is",
        |env| {
            let (region, _map) = env.mapped(5 * PAGE as u64)?;
            region.unpin(2 * P, P)?;
            equal("below", region.status(0, 2 * P)?, IS_PINNED)?;
            equal("above", region.status(3 * P, 0)?, IS_PINNED)?;
            equal("touching it from below", region.status(P, 2 * P)?, IS_UNPINNED)?;
            equal("around it", region.status(P, 3 * P)?, IS_UNPINNED)?;
            equal("all", region.status(0, 0)?, IS_UNPINNED)
        },
    ),
    Case::new(
        "pins.status-inside",
        &["PIN-15"],
        "GET_PIN_STATUS inside a larger range is 'unpinned'",
        |env| {
            let (region, _map) = env.mapped(5 * PAGE as u64)?;
            region.unpin(P, 3 * P)?;
            equal("the middle page", region.status(2 * P, P)?, IS_UNPINNED)
        },
    ),
    Case::new(
        "pins.pin-whole-range",
        &["PIN-16"],
        "PIN over a whole range removes it, and leaves its neighbours",
        |env| {
            let (region, _map) = env.mapped(6 * PAGE as u64)?;
            for page in [0, 2, 4] {
                region.unpin(page * P, P)?;
            }
            equal("PIN", region.pin(P, 3 * P)?, NOT_PURGED)?;
            equal("the pages", statuses(&region, 6)?, vec![0, 1, 1, 1, 0, 1])
        },
    ),
    Case::new(
        "pins.pin-low-part",
        &["PIN-17"],
        "PIN over the low part of a range leaves the high part unpinned",
        |env| {
            let (region, _map) = env.mapped(6 * PAGE as u64)?;
            region.unpin(P, 4 * P)?;
            region.pin(0, 3 * P)?;
            equal("the pages", statuses(&region, 6)?, vec![1, 1, 1, 0, 0, 1])
        },
    ),
    Case::new(
        "pins.pin-high-part",
        &["PIN-18"],
        "PIN over the high part of a range leaves the low part unpinned",
        |env| {
            let (region, _map) = env.mapped(6 * PAGE as u64)?;
            region.unpin(P, 4 * P)?;
            region.pin(3 * P, 3 * P)?;
            equal("the pages", statuses(&region, 6)?, vec![1, 0, 0, 1, 1, 1])
        },
    ),
    Case::new(
        "pins.pin-inside",
        &["PIN-19"],
        "PIN inside a range leaves both ends unpinned",
        |env| {
            let (region, _map) = env.mapped(6 * PAGE as u64)?;
            region.unpin(0, 0)?;
            region.pin(2 * P, 2 * P)?;
            equal("the pages", statuses(&region, 6)?, vec![0, 0, 1, 1, 0, 0])
        },
    ),
    Case::new(
        "pins.unpin-merges",
        &["PIN-21"],
        "UNPIN over several ranges makes one of all, gaps included",
        |env| {
            let (region, _map) = env.mapped(8 * PAGE as u64)?;
            for page in [1, 3, 5] {
                region.unpin(page * P, P)?;
            }
            region.unpin(P, 4 * P)?;
            equal("the pages", statuses(&region, 8)?, vec![1, 0, 0, 0, 0, 0, 1, 1])
        },
    ),
    Case::new(
        "pins.checkerboard",
        &["PIN-19", "PIN-21", "PIN-24"],
        "Every second page of 512 unpinned, checked, joined and pinned",
        |env| {
            let (region, _map) = env.mapped(512 * PAGE as u64)?;
            for page in (0..512).step_by(2) {
                region.unpin(page * P, P)?;
            }
            let board: Vec<i64> = (0..512).map(|page| page % 2).collect();
            equal("the pages", statuses(&region, 512)?, board)?;
            equal("UNPIN of all", region.unpin(0, 0)?, 0)?;
            for page in (1..512).step_by(2) {
                equal("PIN", region.pin(page * P, P)?, NOT_PURGED)?;
            }
            let board: Vec<i64> = (0..512).map(|page| page % 2).collect();
            equal("the pages", statuses(&region, 512)?, board)?;
            equal("PIN of all", region.pin(0, 0)?, NOT_PURGED)?;
            equal("the pages", statuses(&region, 512)?, vec![IS_PINNED; 512])
        },
    ),
    Case::new(
        "pins.random-walk",
        &["PIN-15", "PIN-16", "PIN-17", "PIN-18", "PIN-19", "PIN-21", "PIN-22"],
        "Three thousand random pins and unpins agree with a page by page model",
        |env| {
            let (region, _map) = env.mapped(64 * PAGE as u64)?;
            let mut unpinned = [false; 64];
            let mut random = Random::new(1);
            for _ in 0..3000 {
                let from = random.below(64);
                let count = random.below((64 - from).min(12)) + 1;
                let (offset, len) = (from as u32 * P, count as u32 * P);
                let unpin = random.one_in(2);
                if unpin {
                    region.unpin(offset, len)?
                } else {
                    region.pin(offset, len)?
                };
                unpinned[from..from + count].fill(unpin);
                let model = unpinned.iter().map(|unpinned| i64::from(!unpinned)).collect();
                equal(
                    &format!("the pages after {{{from}, {count}}}"),
                    statuses(&region, 64)?,
                    model,
                )?;
            }
            Ok(())
        },
    ),
    Case::new(
        "pins.unmapped-memory",
        &["PIN-28"],
        "Pages may be unpinned with no mapping left, or with a PROT_NONE one",
        |env| {
            let (region, map) = env.mapped(2 * PAGE as u64)?;
            map.protect(NONE)?;
            equal("UNPIN", region.unpin(0, P)?, 0)?;
            drop(map);
            equal("UNPIN", region.unpin(P, P)?, 0)?;
            equal("the pages", statuses(&region, 2)?, vec![IS_UNPINNED; 2])
        },
    ),
    Case::new(
        "pins.content-stays",
        &["PIN-29"],
        "Unpinned pages not yet purged are read and written as ever",
        |env| {
            let (region, map) = env.mapped(2 * PAGE as u64)?;
            map.touch(1)?;
            region.unpin(0, 0)?;
            equal("the pages", map.pages()?, vec![1, 1])?;
            map.touch(2)?;
            equal("PIN", region.pin(0, 0)?, NOT_PURGED)?;
            equal("the pages", map.pages()?, vec![2, 2])
        },
    ),
    Case::new(
        "pins.4-gib-and-a-page",
        &["PIN-25", "BUG-12"],
        "UNPIN {0, 0} of 4 GiB and a page covers one page: the length is cut to 32 bits",
        |env| {
            env.purge()?;
            let (region, _map) = sparse(env.region((1 << 32) + PAGE as u64)?)?;
            equal("UNPIN", region.unpin(0, 0)?, 0)?;
            equal("page 0", region.status(0, P)?, IS_UNPINNED)?;
            equal("page 1", region.status(P, P)?, IS_PINNED)?;
            equal("pages that can be purged", env.purge()?, 1)?;
            equal("PIN", region.pin(0, P)?, WAS_PURGED)
        },
    )
    .differs(&[Differs {
        providers: Provider::OURS,
        what: "UNPIN {0, 0} of 4 GiB and a page covers the whole region",
        reason: "a client that says 'all' must not keep 4 GiB pinned; lengths are computed in 64 \
                 bits",
        check: Some(|env| {
            env.purge()?;
            let (region, map) = sparse(env.region((1 << 32) + PAGE as u64)?)?;
            let last = region.map(PAGE, RW, libc::MAP_SHARED, 1 << 32)?;
            map.store(0, 1)?;
            last.store(0, 1)?;
            equal("UNPIN", region.unpin(0, 0)?, 0)?;
            equal("page 0", region.status(0, P)?, IS_UNPINNED)?;
            equal(
                "the highest page that can be asked for",
                region.status(u32::MAX - P + 1, 0)?,
                IS_UNPINNED,
            )?;
            equal("pages that can be purged", env.purge()?, (1 << 20) + 1)?;
            equal("the first and the last page", (map.load(0)?, last.load(0)?), (0, 0))?;
            equal("PIN", region.pin(0, 0)?, WAS_PURGED)?;
            equal("all", region.status(0, 0)?, IS_PINNED)
        }),
    }]),
    Case::new(
        "pins.4-gib",
        &["PIN-26", "BUG-12", "BUG-13"],
        "UNPIN {0, 0} of exactly 4 GiB counts as no page, and a purge empties all of it",
        |env| {
            env.purge()?;
            let (region, map) = sparse(env.region(1 << 32)?)?;
            map.store(0, 1)?;
            equal("UNPIN", region.unpin(0, 0)?, 0)?;
            equal("page 7", region.status(7 * P, P)?, IS_UNPINNED)?;
            equal("pages that can be purged", env.purge()?, 0)?;
            equal("the byte", map.load(0)?, 0)?;
            equal("PIN", region.pin(0, 0)?, WAS_PURGED)?;
            equal("all", region.status(7 * P, P)?, IS_PINNED)
        },
    )
    .differs(&[Differs {
        providers: Provider::OURS,
        what: "UNPIN {0, 0} of exactly 4 GiB covers and counts its 2^20 pages",
        reason: "the cut length of 0 made an endless range whose parts spoil the kernel's page \
                 counter",
        check: Some(|env| {
            env.purge()?;
            let (region, map) = sparse(env.region(1 << 32)?)?;
            map.store(0, 1)?;
            equal("UNPIN", region.unpin(0, 0)?, 0)?;
            equal("PIN inside", region.pin(7 * P, P)?, NOT_PURGED)?;
            equal("pages that can be purged", env.purge()?, (1 << 20) - 1)?;
            equal("the byte", map.load(0)?, 0)?;
            equal("the page pinned before", region.status(7 * P, P)?, IS_PINNED)?;
            equal("PIN", region.pin(0, 0)?, WAS_PURGED)
        }),
    }]),
    Case::new(
        "pins.above-4-gib",
        &["PIN-27"],
        "Pages above 4 GiB cannot be named: the highest interval ends below it",
        |env| {
            let (region, _map) = sparse(env.region(8 << 30)?)?;
            refused("PIN over 4 GiB", region.pin(u32::MAX - P + 1, P), libc::EINVAL)?;
            equal("UNPIN up to the last page but one", region.unpin(0, u32::MAX - P + 1)?, 0)?;
            equal("PIN", region.pin(0, u32::MAX - P + 1)?, NOT_PURGED)
        },
    ),
];

/// GET_PIN_STATUS of each page.
fn statuses(region: &Region, pages: u32) -> Result<Vec<i64>, Stop> {
    Ok((0..pages).map(|page| region.status(page * P, P)).collect::<Result<_, _>>()?)
}

/// Maps a region larger than the machine's memory: without a charge, and one page of it.
fn sparse(region: Region) -> Result<(Region, Map), Stop> {
    let map = region.map(PAGE, RW, libc::MAP_SHARED | libc::MAP_NORESERVE, 0)?;
    Ok((region, map))
}
