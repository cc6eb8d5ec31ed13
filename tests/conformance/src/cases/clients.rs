// SPDX-License-Identifier: MIT OR Apache-2.0
//! What Android's own libraries do, call by call.

use ashmem_core::abi::{self, NOT_PURGED, WAS_PURGED};

use super::run;
use crate::case::{Case, Differs, Provider, equal, failed, holds, refused};
use crate::process::Child;
use ashmem_test_client::errno::answer;
use ashmem_test_client::map::{Map, NONE, PAGE, R, RW, RWX};
use ashmem_test_client::region::open_path;

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "clients.libcutils-4.4",
        &["CLI-01", "LIB-01", "NUM-02", "NUM-04"],
        "Android 4.4 to 7: open without O_CLOEXEC, SET_NAME from a whole buffer, SET_SIZE",
        |env| {
            let region = env.open_with(libc::O_RDWR)?;
            let mut buffer = [0_u8; abi::NAME_LEN];
            buffer[..8].copy_from_slice(b"gralloc0");
            equal("SET_NAME", region.set_name_at(buffer.as_ptr() as usize)?, 0)?;
            equal("SET_SIZE", region.set_size(10_000)?, 0)?;
            equal("GET_SIZE", region.size()?, 10_000)?;
            region.share(10_000)?.store(9_999, 1)?;
            Ok(())
        },
    ),
    Case::new(
        "clients.libcutils-8",
        &["CLI-01", "LIB-02", "OPEN-06"],
        "Android 8 and 9: fstat must say character device with the st_rdev seen before, for every \
         open",
        |env| {
            let first = env.open()?.stat()?;
            holds("st_rdev is not zero", first.st_rdev != 0)?;
            for _ in 0..10 {
                let (region, _map) = env.mapped(4096)?;
                let stat = region.stat()?;
                equal("the kind", stat.st_mode & libc::S_IFMT, libc::S_IFCHR)?;
                equal("st_rdev", stat.st_rdev, first.st_rdev)?;
            }
            Ok(())
        },
    )
    .differs(&[run::FAST_STATUS]),
    Case::new(
        "clients.libcutils-10",
        &["CLI-02", "OPEN-06"],
        "Android 10 to 15: /dev/ashmem with the boot id is tried first, and its absence is ENOENT",
        |env| {
            let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
                .or_else(|e| failed(format!("boot_id: {e}")))?;
            let path = format!("/dev/ashmem{}", boot.trim());
            match open_path(path.as_bytes(), libc::O_RDWR | libc::O_CLOEXEC) {
                Ok(region) => {
                    equal("st_rdev of both", region.stat()?.st_rdev, env.open()?.stat()?.st_rdev)
                }
                refusal => refused("open", refusal, libc::ENOENT),
            }
        },
    ),
    Case::new(
        "clients.libcutils-16",
        &["CLI-03", "NAME-05", "NAME-09"],
        "Android 16: SET_NAME straight from the caller's pointer, 'none' without a name",
        |env| {
            let region = env.open()?;
            equal("SET_NAME", region.set_name(c"none")?, 0)?;
            let edge = Map::anonymous(2 * PAGE, RW)?;
            edge.unmap_part(PAGE, PAGE)?;
            edge.write(PAGE - 2, b"z\0")?;
            equal("SET_NAME at the edge", region.set_name_at(edge.address() + PAGE - 2)?, 0)?;
            equal("GET_NAME", region.name()?, b"z".to_vec())
        },
    ),
    Case::new(
        "clients.libcutils-test-basic",
        &["LIB-03", "MMAP-11", "SIZE-04"],
        "libcutils' basic test: size kept, content seen through two mappings",
        |env| {
            let size = 4 * PAGE;
            let region = env.region(size as u64)?;
            equal("GET_SIZE", region.size()?, size as i64)?;
            let data: Vec<u8> = (0..size).map(|i| (i * 7 % 256) as u8).collect();
            let first = region.share(size)?;
            first.write(0, &data)?;
            holds(
                "the second mapping shows the data",
                region.map(size, R, libc::MAP_SHARED, 0)?.read(0, size)? == data,
            )
        },
    ),
    Case::new(
        "clients.libcutils-test-fork",
        &["LIB-05", "MMAP-26", "OPEN-04"],
        "libcutils' fork test: the child sees the parent's data and clears it",
        |env| {
            let (region, map) = env.mapped(PAGE as u64)?;
            map.write(0, b"fork data")?;
            drop(map);
            Child::start(|_| {
                let map = region.share(PAGE)?;
                equal("the data", map.read(0, 9)?, b"fork data".to_vec())?;
                Ok(map.write(0, &[0; 9])?)
            })?
            .join()?;
            equal("the data", region.share(PAGE)?.read(0, 9)?, vec![0; 9])
        },
    ),
    Case::new(
        "clients.libcutils-test-file",
        &["LIB-03", "LIB-04", "SEEK-03", "SEEK-05", "READ-03", "UNS-02"],
        "libcutils' file test: seek over data and holes, read, no ftruncate",
        |env| {
            let region = env.region(6 * PAGE as u64)?;
            let map = region.map(2 * PAGE, RW, libc::MAP_SHARED, PAGE as u64)?;
            map.touch(0x55)?;
            let end = 6 * PAGE as i64;
            equal("SEEK_SET", region.seek(PAGE as i64, libc::SEEK_SET)?, PAGE as i64)?;
            equal("SEEK_CUR", region.seek(PAGE as i64, libc::SEEK_CUR)?, 2 * PAGE as i64)?;
            equal("SEEK_END", region.seek(-1, libc::SEEK_END)?, end - 1)?;
            equal("SEEK_DATA", region.seek(0, libc::SEEK_DATA)?, PAGE as i64)?;
            equal("SEEK_HOLE", region.seek(PAGE as i64, libc::SEEK_HOLE)?, 3 * PAGE as i64)?;
            region.seek(PAGE as i64, libc::SEEK_SET)?;
            equal("the byte", region.read(1)?, vec![0x55])?;
            // SAFETY: ftruncate touches no memory of ours.
            equal("ftruncate", unsafe { libc::ftruncate(region.fd(), 0) }, -1)
        },
    ),
    Case::new(
        "clients.libcutils-test-prot",
        &["LIB-05", "LIB-06", "LIB-07", "PROT-03", "MMAP-05", "PROT-02"],
        "libcutils' protection test: read-only refuses writing maps, write cannot come back, none \
         refuses all",
        |env| {
            let region = env.region(PAGE as u64)?;
            equal("GET_PROT_MASK", region.mask()?, i64::from(RWX))?;
            equal("SET_PROT_MASK(READ)", region.set_mask(R as u64)?, 0)?;
            holds(
                "a writing mmap fails",
                region.map(PAGE, libc::PROT_WRITE, libc::MAP_SHARED, 0).is_err(),
            )?;
            equal("GET_PROT_MASK", region.mask()?, i64::from(R))?;
            refused("SET_PROT_MASK(READ | WRITE)", region.set_mask(RW as u64), libc::EINVAL)?;
            region.map(PAGE, R, libc::MAP_SHARED, 0)?;
            region.set_mask(NONE as u64)?;
            holds("a reading mmap fails", region.map(PAGE, R, libc::MAP_SHARED, 0).is_err())
        },
    ),
    Case::new(
        "clients.libcutils-memfd-probe",
        &["CLI-03", "NUM-14"],
        "Android 16 asks a memfd for GET_SIZE: this kernel answers ENOTTY, so it stays with ashmem",
        |_| {
            // SAFETY: the name is NUL terminated.
            let fd = unsafe { libc::memfd_create(c"probe".as_ptr(), libc::MFD_CLOEXEC) };
            let link = format!("/proc/self/fd/{fd}");
            let memfd = open_path(link.as_bytes(), libc::O_RDWR)?;
            refused("GET_SIZE of a memfd", memfd.size(), libc::ENOTTY)
        },
    )
    .differs(&[Differs {
        providers: Provider::AGENT,
        what: "A memfd answers GET_SIZE with its size, as Android's own kernels do: libcutils may \
               use memfd",
        reason: "that is how Android 16 without ashmem in its kernel finds out that memfd will do",
        check: Some(|_| {
            // SAFETY: the name is NUL terminated.
            let fd = unsafe { libc::memfd_create(c"probe".as_ptr(), libc::MFD_CLOEXEC) };
            // SAFETY: ftruncate touches no memory.
            answer("ftruncate", unsafe { libc::ftruncate(fd, 12345) }.into())?;
            let memfd = open_path(format!("/proc/self/fd/{fd}").as_bytes(), libc::O_RDWR)?;
            equal("GET_SIZE of a memfd", memfd.size()?, 12345)
        }),
    }]),
    Case::new(
        "clients.ndk",
        &["CLI-04", "LIB-07", "OPEN-06", "PROT-02"],
        "NDK ASharedMemory: create, getSize by fstat then GET_SIZE, setProt",
        |env| {
            let region = env.open()?;
            region.set_name(c"ndk")?;
            region.set_size(256)?;
            equal("the kind", region.stat()?.st_mode & libc::S_IFMT, libc::S_IFCHR)?;
            equal("GET_SIZE", region.size()?, 256)?;
            let map = region.share(256)?;
            map.write(0, b"ASharedMemory")?;
            equal("setProt(READ)", region.set_mask(R as u64)?, 0)?;
            equal(
                "the other side's bytes",
                region.map(256, R, libc::MAP_SHARED, 0)?.read(0, 13)?,
                b"ASharedMemory".to_vec(),
            )
        },
    )
    .differs(&[run::FAST_STATUS]),
    Case::new(
        "clients.memory-file",
        &["CLI-05", "PIN-05", "PIN-12", "PIN-14"],
        "MemoryFile: UNPIN {0, 0} and PIN {0, 0}; 1 and only 1 means purged",
        |env| {
            let (region, map) = env.mapped(10_000)?;
            map.touch(1)?;
            region.unpin(0, 0)?;
            equal("PIN before a purge", region.pin(0, 0)?, NOT_PURGED)?;
            region.unpin(0, 0)?;
            env.purge()?;
            equal("PIN after a purge", region.pin(0, 0)?, WAS_PURGED)?;
            equal("PIN again", region.pin(0, 0)?, NOT_PURGED)
        },
    ),
    Case::new(
        "clients.memory-file-foreign",
        &["CLI-05", "NUM-14"],
        "MemoryFile on a pipe or a regular file: ENOTTY",
        |_| {
            let exe = open_path(b"/proc/self/exe", libc::O_RDONLY)?;
            for result in [exe.size(), exe.pin(0, 0), exe.unpin(0, 0)] {
                refused("a regular file", result, libc::ENOTTY)?;
            }
            Ok(())
        },
    ),
];
