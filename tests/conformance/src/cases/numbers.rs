// SPDX-License-Identifier: MIT OR Apache-2.0
//! Numbers and dispatch.

use ashmem_core::abi;

use super::run;
use crate::case::{Case, Differs, Provider, equal, refused};
use ashmem_test_client::map::{PAGE, RWX};
use ashmem_test_client::region::open_path;

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "numbers.every-command-answers",
        &["NUM-01", "NUM-02", "NUM-03", "NUM-04", "NUM-05", "NUM-06", "NUM-07"],
        "Each command of the name, the size and the mask is known by the number of the uapi header",
        |env| {
            let region = env.open()?;
            equal("SET_NAME", region.set_name(c"numbers")?, 0)?;
            equal("GET_NAME", region.name()?, b"numbers".to_vec())?;
            equal("SET_SIZE", region.set_size(12_345)?, 0)?;
            equal("GET_SIZE", region.size()?, 12_345)?;
            equal("SET_PROT_MASK", region.set_mask(3)?, 0)?;
            equal("GET_PROT_MASK", region.mask()?, 3)
        },
    ),
    Case::new(
        "numbers.pin-commands-answer",
        &["NUM-08", "NUM-09", "NUM-10"],
        "PIN, UNPIN and GET_PIN_STATUS are known by the number of the uapi header",
        |env| {
            let (region, _map) = env.mapped(PAGE as u64)?;
            equal("UNPIN", region.unpin(0, 0)?, 0)?;
            equal("GET_PIN_STATUS", region.status(0, 0)?, abi::IS_UNPINNED)?;
            equal("PIN", region.pin(0, 0)?, abi::NOT_PURGED)?;
            equal("GET_PIN_STATUS", region.status(0, 0)?, abi::IS_PINNED)
        },
    ),
    Case::new(
        "numbers.status-reads-its-pointer",
        &["NUM-10", "PIN-03"],
        "GET_PIN_STATUS is encoded without a size, yet reads eight bytes: two that differ get two \
         answers",
        |env| {
            let (region, _map) = env.mapped(4 * PAGE as u64)?;
            region.unpin(PAGE as u32, PAGE as u32)?;
            equal("status of page 0", region.status(0, PAGE as u32)?, abi::IS_PINNED)?;
            equal("status of page 1", region.status(PAGE as u32, PAGE as u32)?, abi::IS_UNPINNED)?;
            refused(
                "status at NULL",
                region.ioctl("GET_PIN_STATUS", abi::GET_PIN_STATUS, 0),
                libc::EFAULT,
            )
        },
    ),
    Case::new(
        "numbers.values",
        &["NUM-13", "NAME-01", "PROT-01", "SIZE-01"],
        "A fresh region is called dev/ashmem, has size 0 and every right",
        |env| {
            let region = env.open()?;
            equal("GET_NAME", region.name()?, abi::DEFAULT_NAME.to_vec())?;
            equal("GET_SIZE", region.size()?, 0)?;
            equal("GET_PROT_MASK", region.mask()?, i64::from(RWX))
        },
    ),
    Case::new(
        "numbers.unknown",
        &["NUM-14"],
        "A number that is not the device's is ENOTTY, in its own type and in others",
        |env| {
            let region = env.open()?;
            for cmd in [0x7700, 0x770c, 0x77ff, 0x5401, 0, 0xffff_ffff, 0x4008_7609, 0x4008_7803] {
                refused(&format!("{cmd:#x}"), region.ioctl("unknown", cmd, 0), libc::ENOTTY)?;
            }
            Ok(())
        },
    ),
    Case::new(
        "numbers.wrong-size-field",
        &["NUM-14"],
        "A known command with another size or direction in its number is ENOTTY",
        |env| {
            let region = env.open()?;
            for cmd in [
                0x7701,
                0x4100_7702,
                0x8008_7704,
                0x7703,
                0x4008_7709,
                0x7707,
                0x4010_7707,
                0xc008_7708,
            ] {
                refused(&format!("{cmd:#x}"), region.ioctl("unknown", cmd, 0), libc::ENOTTY)?;
            }
            Ok(())
        },
    ),
    Case::new(
        "numbers.unknown-when-mapped",
        &["NUM-14"],
        "An unknown number is ENOTTY on a mapped region as well",
        |env| {
            let (region, _map) = env.mapped(PAGE as u64)?;
            refused("0x770c", region.ioctl("unknown", 0x770c, 0), libc::ENOTTY)
        },
    ),
    Case::new(
        "numbers.set-size-32-from-64",
        &["NUM-15"],
        "The 32-bit SET_SIZE number is ENOTTY from a 64-bit caller and changes nothing",
        |env| {
            let region = env.open()?;
            refused(
                "SET_SIZE_32",
                region.ioctl("SET_SIZE_32", abi::SET_SIZE_32, 4096),
                libc::ENOTTY,
            )?;
            equal("GET_SIZE", region.size()?, 0)
        },
    ),
    Case::new(
        "numbers.set-mask-32-from-64",
        &["NUM-15"],
        "The 32-bit SET_PROT_MASK number is ENOTTY from a 64-bit caller and changes nothing",
        |env| {
            let region = env.open()?;
            refused(
                "SET_PROT_MASK_32",
                region.ioctl("SET_PROT_MASK_32", abi::SET_PROT_MASK_32, 1),
                libc::ENOTTY,
            )?;
            equal("GET_PROT_MASK", region.mask()?, 7)
        },
    ),
    Case::new(
        "numbers.file-id-32-from-64",
        &["FID-04", "NUM-15"],
        "The 32-bit GET_FILE_ID number is ENOTTY from a 64-bit caller",
        |env| {
            let (region, _map) = env.mapped(PAGE as u64)?;
            let mut id = 0_u64;
            let got = region.ioctl("GET_FILE_ID_32", abi::GET_FILE_ID_32, &raw mut id as u64);
            refused("GET_FILE_ID_32", got, libc::ENOTTY)
        },
    ),
    Case::new(
        "numbers.number-has-32-bits",
        &["NUM-01"],
        "Only the low 32 bits of the number count: callers that sign-extend it are understood",
        |env| {
            let region = env.open()?;
            // SAFETY: GET_NAME writes at most a name's length into the buffer.
            let mut name = [0_u8; abi::NAME_LEN];
            let number = u64::from(abi::GET_NAME) | 0xffff_ffff_0000_0000;
            let (fd, buffer) = (region.fd(), name.as_mut_ptr());
            // SAFETY: the buffer has the length that GET_NAME may write.
            let got = unsafe { libc::syscall(libc::SYS_ioctl, fd, number, buffer) };
            equal("GET_NAME by a sign-extended number", got, 0)?;
            equal("the name", name.starts_with(b"dev/ashmem\0"), true)
        },
    ),
    Case::new(
        "numbers.get-size-ignores-argument",
        &["NUM-05"],
        "GET_SIZE ignores its argument",
        |env| {
            let region = env.region(777)?;
            equal("GET_SIZE", region.ioctl("GET_SIZE", abi::GET_SIZE, 0xdead_beef)?, 777)
        },
    ),
    Case::new(
        "numbers.get-mask-ignores-argument",
        &["NUM-07"],
        "GET_PROT_MASK ignores its argument",
        |env| {
            let region = env.open()?;
            equal("GET_PROT_MASK", region.ioctl("GET_PROT_MASK", abi::GET_PROT_MASK, u64::MAX)?, 7)
        },
    ),
    Case::new(
        "numbers.purge-ignores-argument",
        &["NUM-11"],
        "PURGE_ALL_CACHES ignores its argument",
        |env| {
            env.purge()?;
            equal(
                "PURGE_ALL_CACHES",
                env.open()?.ioctl("PURGE", abi::PURGE_ALL_CACHES, u64::MAX)?,
                0,
            )
        },
    ),
    Case::new("numbers.o-path", &["NUM-19"], "An ioctl on an O_PATH descriptor is EBADF", |env| {
        let region = env.open_with(libc::O_PATH)?;
        refused("GET_SIZE", region.size(), libc::EBADF)
    })
    .differs(&[run::BARE_O_PATH]),
    Case::new(
        "numbers.read-only-descriptor",
        &["NUM-20"],
        "A descriptor opened read-only may set name, size and mask",
        |env| {
            let region = env.open_with(libc::O_RDONLY)?;
            region.set_name(c"read-only")?;
            region.set_size(4096)?;
            region.set_mask(1)?;
            equal("GET_SIZE", region.size()?, 4096)?;
            equal("GET_PROT_MASK", region.mask()?, 1)
        },
    ),
    Case::new(
        "numbers.write-only-descriptor",
        &["NUM-20"],
        "A descriptor opened write-only may set and get name, size and mask",
        |env| {
            let region = env.open_with(libc::O_WRONLY)?;
            region.set_name(c"write-only")?;
            region.set_size(4096)?;
            region.set_mask(2)?;
            equal("GET_NAME", region.name()?, b"write-only".to_vec())?;
            equal("GET_SIZE", region.size()?, 4096)?;
            equal("GET_PROT_MASK", region.mask()?, 2)
        },
    ),
    Case::new(
        "numbers.read-only-descriptor-unpins",
        &["NUM-20", "PROT-10"],
        "A descriptor opened read-only may pin and unpin",
        |env| {
            let region = env.open_with(libc::O_RDONLY)?;
            region.set_size(4096)?;
            let _map = region.map(PAGE, libc::PROT_READ, libc::MAP_SHARED, 0)?;
            equal("UNPIN", region.unpin(0, 0)?, 0)?;
            equal("GET_PIN_STATUS", region.status(0, 0)?, abi::IS_UNPINNED)?;
            equal("PIN", region.pin(0, 0)?, abi::NOT_PURGED)
        },
    ),
    Case::new(
        "numbers.file-id",
        &["NUM-12", "FID-01", "FID-02"],
        "GET_FILE_ID, which the original driver does not know, is ENOTTY",
        |env| {
            let (region, _map) = env.mapped(PAGE as u64)?;
            refused("GET_FILE_ID", region.file_id(), libc::ENOTTY)
        },
    )
    .differs(&[Differs {
        providers: Provider::OURS,
        what: "GET_FILE_ID writes the backing file's inode number once mapped, and is EINVAL \
               before",
        reason: "newer Android asks for it; the original driver of this line does not know the \
                 command",
        check: Some(|env| {
            let region = env.region(PAGE as u64)?;
            refused("GET_FILE_ID before the first mmap", region.file_id(), libc::EINVAL)?;
            let map = region.share(PAGE)?;
            equal("GET_FILE_ID", region.file_id()?, map.line()?.inode)
        }),
    }]),
    Case::new(
        "numbers.file-id-bad-pointer",
        &["FID-01", "FID-03"],
        "GET_FILE_ID with a bad pointer is ENOTTY like any unknown number",
        |env| {
            let (region, _map) = env.mapped(PAGE as u64)?;
            refused(
                "GET_FILE_ID at NULL",
                region.ioctl("GET_FILE_ID", abi::GET_FILE_ID, 0),
                libc::ENOTTY,
            )
        },
    )
    .differs(&[Differs {
        providers: Provider::OURS,
        what: "GET_FILE_ID with a bad pointer is EINVAL before the first mmap and EFAULT after it",
        reason: "newer Android asks for it; the original driver of this line does not know the \
                 command",
        check: Some(|env| {
            let region = env.region(PAGE as u64)?;
            refused("before", region.ioctl("GET_FILE_ID", abi::GET_FILE_ID, 0), libc::EINVAL)?;
            let _map = region.share(PAGE)?;
            refused("after", region.ioctl("GET_FILE_ID", abi::GET_FILE_ID, 0), libc::EFAULT)
        }),
    }]),
    Case::new(
        "numbers.foreign-descriptor",
        &["NUM-01"],
        "A descriptor of another device answers ENOTTY, which clients take for 'not ashmem'",
        |_| {
            let null = open_path(b"/dev/null", libc::O_RDWR)?;
            refused("GET_SIZE of /dev/null", null.size(), libc::ENOTTY)?;
            refused("PIN of /dev/null", null.pin(0, 0), libc::ENOTTY)
        },
    ),
];
