// SPDX-License-Identifier: MIT OR Apache-2.0
//! A 32-bit caller, through `int 0x80`.

use ashmem_core::abi;

use crate::case::{Case, Differs, Provider, equal, refused};
use crate::compat::{self, LowPage};
use crate::process::{Child, Link};
use ashmem_test_client::map::{page_size, page_size32};

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "compat.set-size-32",
        &["NUM-16", "NUM-04"],
        "The 32-bit SET_SIZE number sets the size",
        |env| {
            compat::need()?;
            let region = env.open()?;
            equal("SET_SIZE", compat::ioctl(&region, abi::SET_SIZE_32, 5000)?, 0)?;
            equal("GET_SIZE from 64 bits", region.size()?, 5000)?;
            equal("GET_SIZE from 32 bits", compat::ioctl(&region, abi::GET_SIZE, 0)?, 5000)
        },
    ),
    Case::new(
        "compat.set-mask-32",
        &["NUM-16", "NUM-06"],
        "The 32-bit SET_PROT_MASK number sets the mask",
        |env| {
            compat::need()?;
            let region = env.open()?;
            equal("SET_PROT_MASK", compat::ioctl(&region, abi::SET_PROT_MASK_32, 3)?, 0)?;
            equal("GET_PROT_MASK from 32 bits", compat::ioctl(&region, abi::GET_PROT_MASK, 0)?, 3)?;
            refused(
                "SET_PROT_MASK back",
                compat::ioctl(&region, abi::SET_PROT_MASK_32, 7),
                libc::EINVAL,
            )
        },
    ),
    Case::new(
        "compat.set-size-64",
        &["NUM-17"],
        "The 64-bit SET_SIZE number works from a 32-bit caller as well",
        |env| {
            compat::need()?;
            let region = env.open()?;
            equal("SET_SIZE", compat::ioctl(&region, abi::SET_SIZE, 8192)?, 0)?;
            equal("GET_SIZE", region.size()?, 8192)
        },
    ),
    Case::new(
        "compat.set-mask-64",
        &["NUM-17"],
        "The 64-bit SET_PROT_MASK number works from a 32-bit caller as well",
        |env| {
            compat::need()?;
            let region = env.open()?;
            equal("SET_PROT_MASK", compat::ioctl(&region, abi::SET_PROT_MASK, 1)?, 0)?;
            equal("GET_PROT_MASK", region.mask()?, 1)
        },
    ),
    Case::new(
        "compat.argument-is-zero-extended",
        &["NUM-16"],
        "A size of 0xfffff000 is not sign-extended",
        |env| {
            compat::need()?;
            let region = env.open()?;
            compat::ioctl(&region, abi::SET_SIZE_32, 0xffff_f000)?;
            let _map = region.map(
                page_size(),
                ashmem_test_client::map::RW,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                0,
            )?;
            equal("SEEK_END", region.seek(0, libc::SEEK_END)?, 0xffff_f000)
        },
    ),
    Case::new(
        "compat.mask-minus-one",
        &["NUM-16", "PROT-03"],
        "SET_PROT_MASK(-1) of a 32-bit caller is EINVAL",
        |env| {
            compat::need()?;
            let region = env.open()?;
            refused(
                "SET_PROT_MASK",
                compat::ioctl(&region, abi::SET_PROT_MASK_32, u32::MAX),
                libc::EINVAL,
            )
        },
    ),
    Case::new(
        "compat.size-over-2-gib",
        &["NUM-18"],
        "GET_SIZE of 2 GiB and more reads as a negative int; only the last 4095 values read as \
         errors",
        |env| {
            compat::need()?;
            let region = env.open()?;
            for size in [0x8000_0000, 0xffff_f000] {
                compat::ioctl(&region, abi::SET_SIZE_32, size)?;
                equal(
                    "GET_SIZE",
                    compat::ioctl(&region, abi::GET_SIZE, 0)?,
                    i64::from(size as i32),
                )?;
            }
            compat::ioctl(&region, abi::SET_SIZE_32, 0xffff_f001)?;
            refused("GET_SIZE of 0xfffff001", compat::ioctl(&region, abi::GET_SIZE, 0), 4095)?;
            compat::ioctl(&region, abi::SET_SIZE_32, u32::MAX)?;
            refused("GET_SIZE of 0xffffffff", compat::ioctl(&region, abi::GET_SIZE, 0), libc::EPERM)
        },
    ),
    Case::new(
        "compat.name",
        &["NUM-16", "NUM-02", "NUM-03"],
        "SET_NAME and GET_NAME take a 32-bit pointer",
        |env| {
            compat::need()?;
            let (region, page) = (env.open()?, LowPage::new()?);
            page.bytes().write(0, b"thirty-two\0")?;
            equal("SET_NAME", compat::ioctl(&region, abi::SET_NAME, page.address())?, 0)?;
            equal("GET_NAME from 64 bits", region.name()?, b"thirty-two".to_vec())?;
            equal("GET_NAME", compat::ioctl(&region, abi::GET_NAME, page.address() + 256)?, 0)?;
            equal("the name", page.bytes().read(256, 11)?, b"thirty-two\0".to_vec())
        },
    ),
    Case::new(
        "compat.name-bad-pointer",
        &["NUM-16", "NAME-06", "NAME-14"],
        "Bad pointers of a 32-bit caller are EFAULT",
        |env| {
            compat::need()?;
            let region = env.open()?;
            for address in [0, 16] {
                refused("SET_NAME", compat::ioctl(&region, abi::SET_NAME, address), libc::EFAULT)?;
                refused("GET_NAME", compat::ioctl(&region, abi::GET_NAME, address), libc::EFAULT)?;
            }
            Ok(())
        },
    ),
    Case::new(
        "compat.pins",
        &["NUM-16", "NUM-08", "NUM-09", "NUM-10"],
        "PIN, UNPIN and GET_PIN_STATUS take a 32-bit pointer",
        |env| {
            compat::need()?;
            let ((region, _map), page) = (env.mapped(4 * page_size() as u64)?, LowPage::new()?);
            let at = page.pin(page_size32(), 2 * page_size32())?;
            equal("UNPIN", compat::ioctl(&region, abi::UNPIN, at)?, 0)?;
            equal(
                "GET_PIN_STATUS",
                compat::ioctl(&region, abi::GET_PIN_STATUS, at)?,
                abi::IS_UNPINNED,
            )?;
            equal("page 0 from 64 bits", region.status(0, page_size32())?, abi::IS_PINNED)?;
            equal("PIN", compat::ioctl(&region, abi::PIN, at)?, abi::NOT_PURGED)?;
            equal(
                "GET_PIN_STATUS",
                compat::ioctl(&region, abi::GET_PIN_STATUS, at)?,
                abi::IS_PINNED,
            )
        },
    ),
    Case::new(
        "compat.pin-errors",
        &["NUM-16", "PIN-02", "PIN-04"],
        "PIN's errors are the same for a 32-bit caller",
        |env| {
            compat::need()?;
            let ((region, _map), page) = (env.mapped(page_size() as u64)?, LowPage::new()?);
            refused("PIN at NULL", compat::ioctl(&region, abi::PIN, 0), libc::EFAULT)?;
            refused(
                "PIN unaligned",
                compat::ioctl(&region, abi::PIN, page.pin(1, page_size32())?),
                libc::EINVAL,
            )?;
            refused(
                "PIN beyond",
                compat::ioctl(&region, abi::PIN, page.pin(0, 2 * page_size32())?),
                libc::EINVAL,
            )
        },
    ),
    Case::new(
        "compat.purge",
        &["NUM-11", "NUM-16", "PURGE-02"],
        "PURGE_ALL_CACHES and the mark it leaves are the same for a 32-bit caller",
        |env| {
            compat::need()?;
            env.purge()?;
            let ((region, map), page) = (env.mapped(2 * page_size() as u64)?, LowPage::new()?);
            map.touch(1)?;
            compat::ioctl(&region, abi::UNPIN, page.pin(0, 0)?)?;
            equal("PURGE_ALL_CACHES", compat::ioctl(&region, abi::PURGE_ALL_CACHES, 0)?, 2)?;
            equal("PIN", compat::ioctl(&region, abi::PIN, page.pin(0, 0)?)?, abi::WAS_PURGED)?;
            equal("the pages", map.pages()?, vec![0, 0])
        },
    ),
    Case::new(
        "compat.unknown",
        &["NUM-14", "NUM-16"],
        "Unknown numbers of a 32-bit caller are ENOTTY",
        |env| {
            compat::need()?;
            let region = env.open()?;
            for cmd in [0x7700, 0x770c, 0x4004_7709, 0x4004_7707, 0x5401] {
                refused(&format!("{cmd:#x}"), compat::ioctl(&region, cmd, 0), libc::ENOTTY)?;
            }
            Ok(())
        },
    ),
    Case::new(
        "compat.when-mapped",
        &["NUM-16", "SIZE-03", "NAME-07"],
        "Size and name of a mapped region are fixed for a 32-bit caller too",
        |env| {
            compat::need()?;
            let ((region, _map), page) = (env.mapped(page_size() as u64)?, LowPage::new()?);
            page.bytes().write(0, b"late\0")?;
            refused("SET_SIZE", compat::ioctl(&region, abi::SET_SIZE_32, 1), libc::EINVAL)?;
            refused("SET_NAME", compat::ioctl(&region, abi::SET_NAME, page.address()), libc::EINVAL)
        },
    ),
    Case::new(
        "compat.file-id-32",
        &["FID-04", "NUM-12"],
        "The 32-bit GET_FILE_ID number is ENOTTY from a 32-bit caller",
        |env| {
            compat::need()?;
            let ((region, _map), page) = (env.mapped(page_size() as u64)?, LowPage::new()?);
            refused(
                "GET_FILE_ID",
                compat::ioctl(&region, abi::GET_FILE_ID_32, page.address()),
                libc::ENOTTY,
            )
        },
    )
    .differs(&[Differs {
        providers: Provider::OURS,
        what: "The 32-bit GET_FILE_ID number writes four bytes of the inode number, and no more",
        reason: "newer Android asks for it; the original driver of this line does not know the \
                 command",
        check: Some(|env| {
            compat::need()?;
            let ((region, map), page) = (env.mapped(page_size() as u64)?, LowPage::new()?);
            page.bytes().write(0, &[0xa5; 8])?;
            equal("GET_FILE_ID", compat::ioctl(&region, abi::GET_FILE_ID_32, page.address())?, 0)?;
            let inode = (map.line()?.inode as u32).to_ne_bytes();
            equal("the bytes", page.bytes().read(0, 8)?, [inode, [0xa5; 4]].concat())?;
            refused("at NULL", compat::ioctl(&region, abi::GET_FILE_ID_32, 0), libc::EFAULT)
        }),
    }]),
    Case::new(
        "compat.file-id-64",
        &["NUM-17", "FID-02"],
        "The 64-bit GET_FILE_ID number is ENOTTY from a 32-bit caller",
        |env| {
            compat::need()?;
            let ((region, _map), page) = (env.mapped(page_size() as u64)?, LowPage::new()?);
            refused(
                "GET_FILE_ID",
                compat::ioctl(&region, abi::GET_FILE_ID, page.address()),
                libc::ENOTTY,
            )
        },
    )
    .differs(&[Differs {
        providers: Provider::OURS,
        what: "The 64-bit GET_FILE_ID number writes eight bytes for a 32-bit caller too",
        reason: "as for every other command, a 32-bit caller may use the 64-bit number",
        check: Some(|env| {
            compat::need()?;
            let ((region, map), page) = (env.mapped(page_size() as u64)?, LowPage::new()?);
            equal("GET_FILE_ID", compat::ioctl(&region, abi::GET_FILE_ID, page.address())?, 0)?;
            equal("the bytes", page.bytes().read(0, 8)?, map.line()?.inode.to_ne_bytes().to_vec())
        }),
    }]),
    Case::new(
        "compat.private-mapping",
        &["NUM-16", "MMAP-12"],
        "A private mapping of a 32-bit caller shows zeros, whatever the region holds",
        |env| {
            compat::need()?;
            let (region, map) = env.mapped(page_size() as u64)?;
            map.write(0, b"data")?;
            equal("the bytes", compat::private_bytes_of(&region)?, [0; 4])
        },
    ),
    Case::new(
        "compat.fork",
        &["NUM-16", "OPEN-04"],
        "A mask reduced by a forked 32-bit caller binds a 64-bit one",
        |env| {
            compat::need()?;
            let (region, _map) = env.mapped(page_size() as u64)?;
            Child::start(|_| {
                compat::ioctl(&region, abi::SET_PROT_MASK_32, 1).map(|_| ()).map_err(Into::into)
            })?
            .join()?;
            refused("mmap", region.share(page_size()), libc::EPERM)
        },
    ),
    Case::new(
        "compat.dup-and-socket",
        &["NUM-16", "OPEN-04"],
        "A descriptor dupped or sent over a socket is the same region to a 32-bit caller",
        |env| {
            compat::need()?;
            let region = env.region(7 * page_size() as u64)?;
            let twin = region.dup()?;
            equal(
                "GET_SIZE of the dup",
                compat::ioctl(&twin, abi::GET_SIZE, 0)?,
                7 * page_size() as i64,
            )?;
            let (one, two) = Link::pair()?;
            one.send_fd(twin.fd())?;
            equal(
                "GET_SIZE of the one received",
                compat::ioctl(&two.receive_fd()?, abi::GET_SIZE, 0)?,
                7 * page_size() as i64,
            )
        },
    ),
];
