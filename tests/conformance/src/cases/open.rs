// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opening, sharing and closing descriptors.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use ashmem_core::abi;

use super::run;
use crate::case::{Case, Differs, Env, Provider, Stop, equal, failed, holds, refused, skip};
use ashmem_test_client::map::PAGE;
use ashmem_test_client::region::open_path;

/// stat(2) of the device's node.
fn node_of(env: &Env) -> Result<Metadata, Stop> {
    std::fs::metadata(&env.device).or_else(|error| failed(format!("stat of the node: {error}")))
}

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "open.defaults",
        &["OPEN-01", "SIZE-01", "PROT-01"],
        "Each open is a new region with the defaults",
        |env| {
            let region = env.open()?;
            equal("GET_SIZE", region.size()?, 0)?;
            equal("GET_PROT_MASK", region.mask()?, 7)?;
            equal("GET_NAME", region.name()?, abi::DEFAULT_NAME.to_vec())
        },
    ),
    Case::new(
        "open.flags-without-effect",
        &["OPEN-02"],
        "O_APPEND, O_TRUNC, O_CREAT and O_NONBLOCK are accepted and have no effect",
        |env| {
            for flag in [libc::O_APPEND, libc::O_TRUNC, libc::O_CREAT, libc::O_NONBLOCK] {
                let region = env.open_with(libc::O_RDWR | flag)?;
                region.set_size(4096)?;
                let map = region.share(PAGE)?;
                map.store(0, 1)?;
                equal("the byte written", map.load(0)?, 1)?;
            }
            Ok(())
        },
    ),
    Case::new(
        "open.o-directory",
        &["OPEN-02"],
        "O_DIRECTORY is ENOTDIR and O_EXCL with O_CREAT is EEXIST",
        |env| {
            refused("O_DIRECTORY", env.open_with(libc::O_RDWR | libc::O_DIRECTORY), libc::ENOTDIR)?;
            refused(
                "O_CREAT | O_EXCL",
                env.open_with(libc::O_RDWR | libc::O_CREAT | libc::O_EXCL),
                libc::EEXIST,
            )
        },
    ),
    Case::new(
        "open.two-are-unrelated",
        &["OPEN-03"],
        "Two opens are two regions that share nothing",
        |env| {
            let (one, one_map) = env.mapped(4096)?;
            let (two, two_map) = env.mapped(8192)?;
            one_map.store(0, 11)?;
            equal("the other region's byte", two_map.load(0)?, 0)?;
            one.set_mask(1)?;
            equal("the other region's mask", two.mask()?, 7)?;
            one.unpin(0, 0)?;
            equal("the other region's status", two.status(0, 0)?, abi::IS_PINNED)?;
            equal("the other region's size", two.size()?, 8192)
        },
    ),
    Case::new(
        "open.dup-is-the-same-region",
        &["OPEN-04"],
        "A dup is the same region in every respect",
        |env| {
            let region = env.open()?;
            let twin = region.dup()?;
            region.set_name(c"twins")?;
            region.set_size(8192)?;
            equal("GET_NAME of the dup", twin.name()?, b"twins".to_vec())?;
            equal("GET_SIZE of the dup", twin.size()?, 8192)?;
            twin.set_mask(3)?;
            equal("GET_PROT_MASK of the original", region.mask()?, 3)?;
            let (map, other) = (region.share(8192)?, twin.share(8192)?);
            map.store(5000, 42)?;
            equal("the byte through the dup's mapping", other.load(5000)?, 42)?;
            twin.unpin(0, 0)?;
            equal("GET_PIN_STATUS of the original", region.status(0, 0)?, abi::IS_UNPINNED)
        },
    )
    .differs(&[run::FAST_COPIES]),
    Case::new(
        "open.dup-outlives-original",
        &["OPEN-04", "OPEN-07"],
        "Closing one of two descriptors leaves the region as it is",
        |env| {
            let (region, map) = env.mapped(4096)?;
            let twin = region.dup()?;
            region.unpin(0, 0)?;
            map.store(0, 9)?;
            drop(region);
            equal("GET_SIZE", twin.size()?, 4096)?;
            equal("GET_PIN_STATUS", twin.status(0, 0)?, abi::IS_UNPINNED)?;
            equal("the byte", twin.share(PAGE)?.load(0)?, 9)
        },
    ),
    Case::new(
        "open.reopen-through-proc",
        &["OPEN-05"],
        "Opening /proc/self/fd/N makes a new empty region",
        |env| {
            let (region, _map) = env.mapped(4096)?;
            let path = format!("/proc/self/fd/{}", region.fd());
            let again = open_path(path.as_bytes(), libc::O_RDWR)?;
            equal("GET_SIZE", again.size()?, 0)?;
            equal("GET_NAME", again.name()?, abi::DEFAULT_NAME.to_vec())
        },
    )
    .differs(&[run::FAST_AGAIN]),
    Case::new(
        "open.proc-link",
        &["OPEN-05"],
        "/proc/self/fd/N reads as the device's path",
        |env| {
            let region = env.open()?;
            let link = std::fs::read_link(format!("/proc/self/fd/{}", region.fd()))
                .or_else(|error| failed(format!("readlink: {error}")))?;
            let device = env
                .device
                .canonicalize()
                .or_else(|error| failed(format!("the node's real path: {error}")))?;
            equal("the link", link, device)
        },
    )
    .differs(&[run::LINK]),
    Case::new(
        "open.fstat",
        &["OPEN-06"],
        "fstat says character device, the node's st_rdev with major 10, and size 0 whatever \
         SET_SIZE said",
        |env| {
            let region = env.region(1 << 20)?;
            let stat = region.stat()?;
            equal("S_IFCHR", stat.st_mode & libc::S_IFMT, libc::S_IFCHR)?;
            equal("the major number", libc::major(stat.st_rdev), 10)?;
            equal("st_size", stat.st_size, 0)?;
            let node = node_of(env)?;
            equal("st_rdev", stat.st_rdev, node.rdev())
        },
    )
    .differs(&[
        run::FAST_STATUS,
        Differs {
            providers: &[Provider::Run, Provider::RunBare],
            what: "fstat says character device, the node's st_rdev, and size 0 whatever SET_SIZE \
                   said; the major is not 10",
            reason: "nobody but the kernel makes a new device; the node in /dev is `/dev/full`, \
                     and both must agree",
            check: Some(|env| {
                let stat = env.region(1 << 20)?.stat()?;
                equal("S_IFCHR", stat.st_mode & libc::S_IFMT, libc::S_IFCHR)?;
                equal("st_size", stat.st_size, 0)?;
                let node = node_of(env)?;
                equal("st_rdev", stat.st_rdev, node.rdev())?;
                equal("st_dev", stat.st_dev, node.dev())
            }),
        },
    ]),
    Case::new(
        "open.fstat-same-for-every-open",
        &["OPEN-06"],
        "st_rdev, st_dev and st_ino are the same for every open, before and after mapping",
        |env| {
            let first = env.open()?;
            let (second, _map) = env.mapped(4096)?;
            let (one, two) = (first.stat()?, second.stat()?);
            equal("st_rdev", one.st_rdev, two.st_rdev)?;
            equal("st_dev", one.st_dev, two.st_dev)?;
            equal("st_ino", one.st_ino, two.st_ino)
        },
    )
    .differs(&[run::FAST_STATUS]),
    Case::new(
        "open.proc-misc",
        &["OPEN-11"],
        "/proc/misc lists the device as ashmem, with the node's minor",
        |env| {
            let misc = std::fs::read_to_string("/proc/misc")
                .or_else(|error| failed(format!("/proc/misc: {error}")))?;
            let minor = libc::minor(env.open()?.stat()?.st_rdev).to_string();
            let listed =
                misc.lines().any(|line| line.split_whitespace().eq([minor.as_str(), "ashmem"]));
            holds(&format!("/proc/misc has the line '{minor} ashmem'"), listed)
        },
    )
    .differs(&[run::MISC]),
    Case::new(
        "open.node-mode",
        &["OPEN-11"],
        "The driver asks for no mode: devtmpfs makes the node 0600",
        |env| {
            let node = node_of(env)?;
            if std::path::Path::new("/run/udev").exists() {
                return skip("udev may have changed the node's mode");
            }
            equal("the node's mode", node.mode() & 0o777, 0o600)
        },
    )
    .differs(&[Differs {
        providers: Provider::OURS,
        what: "The node's mode is 0666",
        reason: "every Android process opens the device; without a udev rule the node would be \
                 useless to them",
        check: Some(|env| {
            let node = node_of(env)?;
            equal("the node's mode", node.mode() & 0o777, 0o666)
        }),
    }]),
    Case::new(
        "open.mapping-outlives-close",
        &["OPEN-07"],
        "A mapping and its memory live on after the last close",
        |env| {
            let (region, map) = env.mapped(8192)?;
            map.touch(7)?;
            drop(region);
            equal("the pages", map.pages()?, vec![7, 7])?;
            map.store(4097, 8)?;
            equal("a byte written after the close", map.load(4097)?, 8)
        },
    ),
    Case::new(
        "open.two-mappings-outlive-close",
        &["OPEN-07"],
        "Two shared mappings show each other's bytes after the last close",
        |env| {
            let (region, map) = env.mapped(4096)?;
            let other = region.share(PAGE)?;
            drop(region);
            map.store(1, 33)?;
            equal("the byte", other.load(1)?, 33)
        },
    ),
    Case::new(
        "open.close-drops-unpinned",
        &["OPEN-08"],
        "After the last close unpinned pages of a living mapping are never purged",
        |env| {
            env.purge()?;
            let (region, map) = env.mapped(8192)?;
            map.touch(5)?;
            region.unpin(0, 0)?;
            drop(region);
            equal("pages that PURGE_ALL_CACHES saw", env.purge()?, 0)?;
            equal("the pages", map.pages()?, vec![5, 5])
        },
    ),
    Case::new(
        "open.close-without-mapping",
        &["OPEN-10"],
        "A thousand regions opened, sized, named and closed leave descriptors that still work",
        |env| {
            for round in 0..1000 {
                let region = env.region(4096 * (round + 1))?;
                region.set_name(c"round")?;
            }
            equal("GET_SIZE", env.region(1)?.size()?, 1)
        },
    ),
    Case::new(
        "open.many-at-once",
        &["OPEN-03"],
        "Five hundred regions at once are all their own",
        |env| {
            let regions: Vec<_> = (0..500).map(|i| env.region(i * 3)).collect::<Result<_, _>>()?;
            for (i, region) in regions.iter().enumerate() {
                equal("GET_SIZE", region.size()?, i as i64 * 3)?;
            }
            Ok(())
        },
    ),
];
