// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names.

use std::ffi::CString;

use ashmem_core::abi;

use super::run;
use crate::case::{Case, equal, holds, refused, skip};
use crate::process::{self, apart};
use ashmem_test_client::map::{Map, NONE, R, RW, page_size};
use ashmem_test_client::region::UNTOUCHED;

/// An address nothing can be mapped at.
const BAD: usize = 0xffff_8000_0000_0000;

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "name.default",
        &["NAME-01"],
        "GET_NAME of a region never named writes the 11 bytes of dev/ashmem and its NUL, and no \
         more",
        |env| {
            let buffer = env.open()?.name_buffer()?;
            equal("the name", &buffer[..11], b"dev/ashmem\0")?;
            holds(
                "the rest of the buffer is untouched",
                buffer[11..].iter().all(|byte| *byte == UNTOUCHED),
            )
        },
    ),
    Case::new(
        "name.set-and-get",
        &["NAME-02"],
        "GET_NAME writes the name and its NUL, without prefix, and leaves the rest of the buffer \
         alone",
        |env| {
            let region = env.open()?;
            equal("SET_NAME", region.set_name(c"foo")?, 0)?;
            let buffer = region.name_buffer()?;
            equal("the name", &buffer[..4], b"foo\0")?;
            holds(
                "the rest of the buffer is untouched",
                buffer[4..].iter().all(|byte| *byte == UNTOUCHED),
            )
        },
    ),
    Case::new("name.255-bytes", &["NAME-03"], "A name of 255 bytes is kept whole", |env| {
        let name = CString::new(vec![b'n'; 255]).unwrap_or_default();
        let region = env.open()?;
        region.set_name(&name)?;
        equal("GET_NAME", region.name_buffer()?.as_slice(), name.as_bytes_with_nul())
    }),
    Case::new(
        "name.256-bytes",
        &["NAME-04"],
        "Of a name of 256 bytes the first 255 are kept",
        |env| {
            let name = CString::new([vec![b'a'; 255], vec![b'b']].concat()).unwrap_or_default();
            let region = env.open()?;
            equal("SET_NAME", region.set_name(&name)?, 0)?;
            equal("GET_NAME", region.name()?, vec![b'a'; 255])
        },
    ),
    Case::new(
        "name.very-long",
        &["NAME-04"],
        "Of a name of 5000 bytes the first 255 are kept",
        |env| {
            let name = CString::new(vec![b'x'; 5000]).unwrap_or_default();
            let region = env.open()?;
            equal("SET_NAME", region.set_name(&name)?, 0)?;
            equal("GET_NAME", region.name()?, vec![b'x'; 255])
        },
    ),
    Case::new(
        "name.no-nul-within-256",
        &["NAME-04"],
        "256 bytes without a NUL, with nothing mapped behind them, are accepted",
        |env| {
            let edge = Map::anonymous(2 * page_size(), RW)?;
            edge.unmap_part(page_size(), page_size())?;
            edge.write(page_size() - 256, &[b'q'; 256])?;
            let region = env.open()?;
            equal("SET_NAME", region.set_name_at(edge.address() + page_size() - 256)?, 0)?;
            equal("GET_NAME", region.name()?, vec![b'q'; 255])
        },
    ),
    Case::new(
        "name.near-unmapped-page",
        &["NAME-05"],
        "A string that ends right before an unmapped page is read no further than its NUL",
        |env| {
            let edge = Map::anonymous(2 * page_size(), RW)?;
            edge.unmap_part(page_size(), page_size())?;
            edge.write(page_size() - 5, b"edge\0")?;
            let region = env.open()?;
            equal("SET_NAME", region.set_name_at(edge.address() + page_size() - 5)?, 0)?;
            equal("GET_NAME", region.name()?, b"edge".to_vec())
        },
    ),
    Case::new(
        "name.runs-into-unmapped-page",
        &["NAME-05", "NAME-06"],
        "A string without a NUL before an unmapped page is EFAULT and the name stays",
        |env| {
            let edge = Map::anonymous(2 * page_size(), RW)?;
            edge.unmap_part(page_size(), page_size())?;
            edge.write(page_size() - 4, b"edge")?;
            let region = env.open()?;
            region.set_name(c"before")?;
            refused(
                "SET_NAME",
                region.set_name_at(edge.address() + page_size() - 4),
                libc::EFAULT,
            )?;
            equal("GET_NAME", region.name()?, b"before".to_vec())
        },
    ),
    Case::new(
        "name.bad-pointer",
        &["NAME-06"],
        "SET_NAME at NULL or at a kernel address is EFAULT",
        |env| {
            let region = env.open()?;
            for address in [0, BAD, usize::MAX] {
                refused(
                    &format!("SET_NAME at {address:#x}"),
                    region.set_name_at(address),
                    libc::EFAULT,
                )?;
            }
            equal("GET_NAME", region.name()?, abi::DEFAULT_NAME.to_vec())
        },
    ),
    Case::new(
        "name.tagged-pointer",
        &["NAME-02"],
        "On arm64 a pointer may bear a tag in its highest byte, as those to Android's heap do",
        |env| {
            const TAG: usize = 0xb4;
            if cfg!(not(target_arch = "aarch64")) {
                return skip("this processor ignores no bits of an address");
            }
            apart(|| {
                process::allow_tags()?;
                let (region, mut buffer) = (env.open()?, [UNTOUCHED; abi::NAME_LEN]);
                let tagged = |address: usize| address | TAG << 56;
                equal("SET_NAME", region.set_name_at(tagged(c"tag".as_ptr() as usize))?, 0)?;
                equal("GET_NAME", region.name_to(tagged(buffer.as_mut_ptr() as usize))?, 0)?;
                equal("the name", &buffer[..4], b"tag\0")
            })
        },
    ),
    Case::new(
        "name.unreadable-page",
        &["NAME-06"],
        "SET_NAME from a page without rights is EFAULT",
        |env| {
            let page = Map::anonymous(page_size(), NONE)?;
            refused("SET_NAME", env.open()?.set_name_at(page.address()), libc::EFAULT)
        },
    ),
    Case::new(
        "name.set-when-mapped",
        &["NAME-07"],
        "SET_NAME of a mapped region is EINVAL and the name stays",
        |env| {
            let region = env.region(4096)?;
            region.set_name(c"first")?;
            let _map = region.share(page_size())?;
            refused("SET_NAME", region.set_name(c"second"), libc::EINVAL)?;
            equal("GET_NAME", region.name()?, b"first".to_vec())
        },
    ),
    Case::new(
        "name.bad-pointer-when-mapped",
        &["NAME-08"],
        "SET_NAME of a mapped region from a bad pointer is EFAULT: the copy comes first",
        |env| {
            let (region, _map) = env.mapped(4096)?;
            refused("SET_NAME", region.set_name_at(BAD), libc::EFAULT)
        },
    ),
    Case::new(
        "name.last-wins",
        &["NAME-09"],
        "Before the first mmap the last name wins, also a shorter one",
        |env| {
            let region = env.open()?;
            region.set_name(c"a longer name")?;
            region.set_name(c"short")?;
            equal("GET_NAME", region.name()?, b"short".to_vec())
        },
    ),
    Case::new(
        "name.empty-is-unset",
        &["NAME-10", "FDI-03"],
        "An empty name counts as none: GET_NAME, maps and fdinfo show the default",
        |env| {
            let region = env.region(4096)?;
            region.set_name(c"something")?;
            equal("SET_NAME of nothing", region.set_name(c"")?, 0)?;
            equal("GET_NAME", region.name()?, abi::DEFAULT_NAME.to_vec())?;
            let map = region.share(page_size())?;
            equal("the path in maps", map.line()?.path.as_str(), "/dev/ashmem (deleted)")?;
            equal("the name in fdinfo", region.fdinfo_value("name")?, None)
        },
    )
    .differs(&[run::PATH_IN_MAPS]),
    Case::new(
        "name.any-bytes",
        &["NAME-11"],
        "Slashes, newlines and bytes that are no UTF-8 are kept as they are",
        |env| {
            for name in [c"a/b/../c", c"two\nlines", c"\xff\xfe\x01", c" spaces ", c"dev/ashmem/x"]
            {
                let region = env.open()?;
                region.set_name(name)?;
                equal("GET_NAME", region.name()?, name.to_bytes().to_vec())?;
            }
            Ok(())
        },
    ),
    Case::new(
        "name.after-failed-mmap",
        &["NAME-12", "MMAP-06"],
        "SET_NAME and SET_SIZE are still allowed after an mmap that the device refused",
        |env| {
            let region = env.region(4096)?;
            region.set_mask(u64::from(R as u32))?;
            refused(
                "mmap too long",
                region.map(2 * page_size(), R, libc::MAP_SHARED, 0),
                libc::EINVAL,
            )?;
            refused("mmap beyond the mask", region.share(page_size()), libc::EPERM)?;
            region.set_name(c"late")?;
            region.set_size(2 * page_size() as u64)?;
            let map = region.map(2 * page_size(), R, libc::MAP_SHARED, 0)?;
            equal("the path in maps", map.line()?.path.as_str(), "/dev/ashmem/late (deleted)")
        },
    )
    .differs(&[run::PATH_IN_MAPS]),
    Case::new(
        "name.after-munmap",
        &["NAME-13"],
        "SET_NAME stays EINVAL after everything was unmapped",
        |env| {
            let (region, map) = env.mapped(4096)?;
            drop(map);
            refused("SET_NAME", region.set_name(c"late"), libc::EINVAL)?;
            equal("GET_NAME", region.name()?, abi::DEFAULT_NAME.to_vec())
        },
    ),
    Case::new(
        "name.get-bad-pointer",
        &["NAME-14"],
        "GET_NAME to NULL, a kernel address or a read-only page is EFAULT",
        |env| {
            let region = env.open()?;
            region.set_name(c"name")?;
            let page = Map::anonymous(page_size(), R)?;
            for address in [0, BAD, page.address()] {
                refused(
                    &format!("GET_NAME to {address:#x}"),
                    region.name_to(address),
                    libc::EFAULT,
                )?;
            }
            Ok(())
        },
    ),
    Case::new(
        "name.get-near-unmapped-page",
        &["NAME-02", "NAME-14"],
        "GET_NAME needs room for the name and its NUL alone: with one byte less it is EFAULT",
        |env| {
            let edge = Map::anonymous(2 * page_size(), RW)?;
            edge.unmap_part(page_size(), page_size())?;
            let region = env.open()?;
            region.set_name(c"name")?;
            equal("GET_NAME into 5 bytes", region.name_to(edge.address() + page_size() - 5)?, 0)?;
            equal("the name", edge.read(page_size() - 5, 5)?, b"name\0".to_vec())?;
            refused(
                "GET_NAME into 4 bytes",
                region.name_to(edge.address() + page_size() - 4),
                libc::EFAULT,
            )
        },
    ),
    Case::new(
        "name.maps-shared",
        &["NAME-15", "MMAP-10"],
        "maps shows /dev/ashmem/NAME (deleted) for a shared mapping",
        |env| {
            let region = env.region(2 * page_size() as u64)?;
            region.set_name(c"foo")?;
            let map = region.map(page_size(), RW, libc::MAP_SHARED, page_size() as u64)?;
            let line = map.line()?;
            equal("the path", line.path.as_str(), "/dev/ashmem/foo (deleted)")?;
            equal("the rights", line.perms.as_str(), "rw-s")?;
            equal("the offset", line.offset, page_size() as u64)
        },
    )
    .differs(&[run::PATH_IN_MAPS]),
    Case::new(
        "name.maps-private",
        &["NAME-15", "MMAP-12"],
        "maps shows /dev/ashmem/NAME (deleted) for a private mapping",
        |env| {
            let region = env.region(4096)?;
            region.set_name(c"foo")?;
            let line = region.map(page_size(), RW, libc::MAP_PRIVATE, 0)?.line()?;
            equal("the path", line.path.as_str(), "/dev/ashmem/foo (deleted)")?;
            equal("the rights", line.perms.as_str(), "rw-p")
        },
    )
    .differs(&[run::PATH_IN_MAPS]),
    Case::new(
        "name.maps-newline",
        &["NAME-11", "NAME-15"],
        "maps writes a newline in the name as \\012",
        |env| {
            let region = env.region(4096)?;
            region.set_name(c"two\nlines")?;
            equal(
                "the path",
                region.share(page_size())?.line()?.path.as_str(),
                "/dev/ashmem/two\\012lines (deleted)",
            )
        },
    )
    .differs(&[run::PATH_IN_MAPS]),
    Case::new(
        "name.maps-slashes",
        &["NAME-11", "NAME-15"],
        "maps shows slashes in the name as they are",
        |env| {
            let region = env.region(4096)?;
            region.set_name(c"a/../b")?;
            equal(
                "the path",
                region.share(page_size())?.line()?.path.as_str(),
                "/dev/ashmem/a/../b (deleted)",
            )
        },
    )
    .differs(&[run::PATH_IN_MAPS]),
    Case::new(
        "name.maps-unnamed",
        &["NAME-16"],
        "maps shows /dev/ashmem (deleted) for a region without a name",
        |env| {
            let (_region, map) = env.mapped(4096)?;
            equal("the path", map.line()?.path.as_str(), "/dev/ashmem (deleted)")
        },
    )
    .differs(&[run::PATH_IN_MAPS]),
    Case::new(
        "name.maps-inode",
        &["NAME-17", "FDI-02"],
        "maps shows the backing file's device and inode: fdinfo's inode, not the device node's",
        |env| {
            let (region, map) = env.mapped(4096)?;
            let line = map.line()?;
            equal("fdinfo's inode", region.fdinfo_value("inode")?, Some(line.inode.to_string()))?;
            let stat = region.stat()?;
            let node = format!("{:02x}:{:02x}", libc::major(stat.st_dev), libc::minor(stat.st_dev));
            holds("the device in maps is not the node's file system", line.device != node)
        },
    )
    .differs(&[run::FDINFO]),
    Case::new(
        "name.maps-255-bytes",
        &["NAME-18", "NAME-15"],
        "A name of 255 bytes is shown whole in maps",
        |env| {
            let name = "m".repeat(255);
            let region = env.region(4096)?;
            region.set_name(&CString::new(name.as_str()).unwrap_or_default())?;
            equal(
                "the path",
                region.share(page_size())?.line()?.path,
                format!("/dev/ashmem/{name} (deleted)"),
            )
        },
    )
    .differs(&[run::PATH_IN_MAPS]),
    Case::new(
        "name.maps-keeps-after-close",
        &["NAME-15", "OPEN-07"],
        "maps keeps the name after the last close",
        |env| {
            let region = env.region(4096)?;
            region.set_name(c"kept")?;
            let map = region.share(page_size())?;
            drop(region);
            equal("the path", map.line()?.path.as_str(), "/dev/ashmem/kept (deleted)")
        },
    )
    .differs(&[run::PATH_IN_MAPS]),
];
