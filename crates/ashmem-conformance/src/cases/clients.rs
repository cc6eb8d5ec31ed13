//! What real clients do, call by call.

use std::os::unix::fs::MetadataExt;

use ashmem_core::abi::{self, IS_PINNED, IS_UNPINNED, NOT_PURGED, WAS_PURGED};

use crate::case::{Case, Stop, Verdict, equal, failed, holds, refused};
use crate::device::{Region, open_path};
use crate::fault::SEGV;
use crate::map::{Map, NONE, PAGE, R, RW, RWX};
use crate::process::Child;

/// One page, as the pin structure counts.
const P: u32 = PAGE as u32;

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "clients.libcutils-4.4",
        &["NUM-02", "NUM-04"],
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
        &["OPEN-06"],
        "Android 8 and 9: fstat must say character device with the st_rdev seen before, for every open",
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
    ),
    Case::new(
        "clients.libcutils-10",
        &["OPEN-06"],
        "Android 10 to 15: /dev/ashmem with the boot id is tried first, and its absence is ENOENT",
        |env| {
            let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
                .or_else(|e| failed(format!("boot_id: {e}")))?;
            let path = format!("/dev/ashmem{}", boot.trim());
            match open_path(path.as_bytes(), libc::O_RDWR | libc::O_CLOEXEC) {
                Ok(region) => equal("st_rdev of both", region.stat()?.st_rdev, env.open()?.stat()?.st_rdev),
                refusal => refused("open", refusal, libc::ENOENT),
            }
        },
    ),
    Case::new(
        "clients.libcutils-16",
        &["NAME-05", "NAME-09"],
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
        &["MMAP-11", "SIZE-04"],
        "libcutils' basic test: size kept, content seen through two mappings",
        |env| {
            let size = 4 * PAGE;
            let region = env.region(size as u64)?;
            equal("GET_SIZE", region.size()?, size as i64)?;
            let data: Vec<u8> = (0..size).map(|i| (i * 7 % 256) as u8).collect();
            let first = region.share(size)?;
            first.write(0, &data)?;
            holds("the second mapping shows the data", region.map(size, R, libc::MAP_SHARED, 0)?.read(0, size)? == data)
        },
    ),
    Case::new(
        "clients.libcutils-test-fork",
        &["MMAP-26", "OPEN-04"],
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
        &["SEEK-03", "SEEK-05", "READ-03", "UNS-02"],
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
        &["PROT-03", "MMAP-05", "PROT-02"],
        "libcutils' protection test: read-only refuses writing maps, write cannot come back, none refuses all",
        |env| {
            let region = env.region(PAGE as u64)?;
            equal("GET_PROT_MASK", region.mask()?, i64::from(RWX))?;
            equal("SET_PROT_MASK(READ)", region.set_mask(R as u64)?, 0)?;
            holds("a writing mmap fails", region.map(PAGE, libc::PROT_WRITE, libc::MAP_SHARED, 0).is_err())?;
            equal("GET_PROT_MASK", region.mask()?, i64::from(R))?;
            refused("SET_PROT_MASK(READ | WRITE)", region.set_mask(RW as u64), libc::EINVAL)?;
            region.map(PAGE, R, libc::MAP_SHARED, 0)?;
            region.set_mask(NONE as u64)?;
            holds("a reading mmap fails", region.map(PAGE, R, libc::MAP_SHARED, 0).is_err())
        },
    ),
    Case::new(
        "clients.libcutils-memfd-probe",
        &["NUM-14"],
        "Android 16 asks a memfd for GET_SIZE: this kernel answers ENOTTY, so it stays with ashmem",
        |_| {
            // SAFETY: the name is NUL terminated.
            let fd = unsafe { libc::memfd_create(c"probe".as_ptr(), libc::MFD_CLOEXEC) };
            let link = format!("/proc/self/fd/{fd}");
            let memfd = open_path(link.as_bytes(), libc::O_RDWR)?;
            refused("GET_SIZE of a memfd", memfd.size(), libc::ENOTTY)
        },
    ),
    Case::new(
        "clients.ndk",
        &["OPEN-06", "PROT-02"],
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
    ),
    Case::new(
        "clients.memory-file",
        &["PIN-05", "PIN-12", "PIN-14"],
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
    Case::new("clients.memory-file-foreign", &["NUM-14"], "MemoryFile on a pipe or a regular file: ENOTTY", |_| {
        let exe = open_path(b"/proc/self/exe", libc::O_RDONLY)?;
        for result in [exe.size(), exe.pin(0, 0), exe.unpin(0, 0)] {
            refused("a regular file", result, libc::ENOTTY)?;
        }
        Ok(())
    }),
    Case::new(
        "clients.skia",
        &["MMAP-12", "PIN-12", "PIN-14", "PIN-31"],
        "Skia's purgeable block: no name, mask read and write, MAP_PRIVATE, PIN says purged exactly once",
        |env| {
            let region = env.region(8 * PAGE as u64)?;
            region.set_mask(RW as u64)?;
            let map = region.map(8 * PAGE, RW, libc::MAP_PRIVATE, 0)?;
            map.touch(5)?;
            region.unpin(0, 0)?;
            env.purge()?;
            equal("the first PIN", region.pin(0, 0)?, WAS_PURGED)?;
            equal("the second PIN", region.pin(0, 0)?, NOT_PURGED)
        },
    ),
    Case::new(
        "clients.chromium-st-dev",
        &["OPEN-06"],
        "Chromium: the descriptor's st_dev is that of stat(the node)",
        |env| {
            let node = std::fs::metadata(&env.device).or_else(|error| failed(format!("stat: {error}")))?;
            equal("st_dev", env.open_with(libc::O_RDWR)?.stat()?.st_dev, node.dev())
        },
    ),
    Case::new(
        "clients.chromium-read-only",
        &["PROT-02", "MMAP-05", "MMAP-08"],
        "Chromium: GET_PROT_MASK, SET without write, mprotect NONE and back to read",
        |env| {
            let (region, map) = env.mapped(2 * PAGE as u64)?;
            map.touch(4)?;
            let mask = region.mask()?;
            region.set_mask(mask as u64 & !(libc::PROT_WRITE as u64))?;
            refused("a writable mmap", region.share(PAGE), libc::EPERM)?;
            let reader = region.map(2 * PAGE, R, libc::MAP_SHARED, 0)?;
            reader.protect(NONE)?;
            equal("a load", reader.load(0), Err(SEGV))?;
            reader.protect(R)?;
            equal("the pages", reader.pages()?, vec![4, 4])
        },
    ),
    Case::new(
        "clients.chromium-discardable",
        &["PIN-04", "PIN-15", "PIN-19"],
        "Chromium's discardable memory: chunks of a large region locked and unlocked by range",
        |env| {
            let (region, map) = env.mapped(64 * PAGE as u64)?;
            map.touch(1)?;
            region.unpin(0, 0)?;
            equal("lock of a chunk", region.pin(8 * P, 8 * P)?, NOT_PURGED)?;
            env.purge()?;
            equal("the chunk", map.pages()?[8..16].to_vec(), vec![1; 8])?;
            equal("lock of another", region.pin(32 * P, 4 * P)?, WAS_PURGED)?;
            equal("status of the chunk", region.status(8 * P, 8 * P)?, IS_PINNED)?;
            region.unpin(8 * P, 8 * P)?;
            equal("status after unlock", region.status(8 * P, P)?, IS_UNPINNED)
        },
    ),
    Case::new(
        "clients.pixelflinger",
        &["MMAP-12", "OPEN-07"],
        "pixelflinger: private, read, write and execute, descriptor closed at once, code run from it",
        |env| {
            let region = env.region(PAGE as u64)?;
            let map = region.map(PAGE, RWX, libc::MAP_PRIVATE, 0)?;
            drop(region);
            run_code(&map)
        },
    ),
    Case::new(
        "clients.shared-code",
        &["MMAP-11", "PROT-01"],
        "Code written through one shared mapping runs from another, read and execute",
        |env| {
            let (region, writer) = env.mapped(PAGE as u64)?;
            writer.write(0, &RETURN_42)?;
            let code = region.map(PAGE, R | libc::PROT_EXEC, libc::MAP_SHARED, 0)?;
            equal("what the code returns", call(&code), 42)
        },
    ),
    Case::new(
        "clients.mmkv",
        &["NAME-05", "OPEN-04"],
        "MMKV: short name, GET_NAME and GET_SIZE on the received descriptor, shared content",
        |env| {
            let region = env.open()?;
            region.set_name(c"mmkv.default")?;
            region.set_size(PAGE as u64)?;
            let map = region.share(PAGE)?;
            let child = Child::start(|link| {
                let got = link.receive_fd()?;
                equal("GET_NAME", got.name()?, b"mmkv.default".to_vec())?;
                let size = got.size()? as usize;
                Ok(got.share(size)?.write(0, b"key=value")?)
            })?;
            child.link.send_fd(region.fd())?;
            child.join()?;
            equal("the content", map.read(0, 9)?, b"key=value".to_vec())
        },
    ),
    Case::new("clients.mmkv-trim", &["UNS-02", "SIZE-03"], "MMKV finds that a mapped region cannot grow", |env| {
        let (region, _map) = env.mapped(PAGE as u64)?;
        // SAFETY: ftruncate touches no memory of ours.
        equal("ftruncate", unsafe { libc::ftruncate(region.fd(), 8192) }, -1)?;
        refused("SET_SIZE", region.set_size(8192), libc::EINVAL)
    }),
    Case::new(
        "clients.sysv",
        &["MMAP-11", "OPEN-07"],
        "SysV shared memory over ashmem: MAP_FIXED over a reservation, two attachments, creator's descriptor closed",
        |env| {
            let place = Map::anonymous(8 * PAGE, NONE)?;
            let region = env.region(4 * PAGE as u64)?;
            let at = place.address() + 2 * PAGE;
            let fixed = Map::at(at, region.fd(), 4 * PAGE, RW, libc::MAP_SHARED | libc::MAP_FIXED, 0)?;
            let second = region.share(4 * PAGE)?;
            drop(region);
            fixed.store(3 * PAGE, 8)?;
            equal("the byte at the other attachment", second.load(3 * PAGE)?, 8)?;
            equal("the reservation before it", place.load(PAGE), Err(SEGV))
        },
    ),
    Case::new(
        "clients.openharmony",
        &["SIZE-11", "PROT-03", "PROT-04"],
        "OpenHarmony: odd sizes mapped to the byte; SET_PROT_MASK(-1) fails; write only, then none",
        |env| {
            for size in [1, 1234, 4097, 9999] {
                let region = env.region(size)?;
                let map = region.share(size as usize)?;
                map.store(size as usize - 1, 1)?;
            }
            let region = env.region(1234)?;
            refused("SET_PROT_MASK(-1)", region.set_mask(u64::MAX), libc::EINVAL)?;
            region.set_mask(libc::PROT_WRITE as u64)?;
            refused("a reading mmap", region.map(1234, R, libc::MAP_SHARED, 0), libc::EPERM)?;
            region.map(1234, libc::PROT_WRITE, libc::MAP_SHARED, 0)?;
            region.set_mask(0)?;
            refused("a writing mmap", region.map(1234, libc::PROT_WRITE, libc::MAP_SHARED, 0), libc::EPERM)
        },
    ),
    Case::new(
        "clients.libbinder-blob",
        &["PROT-06", "MMAP-05", "OPEN-04"],
        "libbinder's large parcel: filled, mask reduced, sent; the receiver maps it read-only and asks its size",
        |env| {
            let region = env.region(20_000)?;
            region.set_name(c"Parcel Blob")?;
            let map = region.share(20_000)?;
            map.write(0, b"parcel")?;
            region.set_mask(R as u64)?;
            let child = Child::start(|link| {
                let got = link.receive_fd()?;
                equal("GET_SIZE", got.size()?, 20_000)?;
                refused("a writable mmap", got.share(20_000), libc::EPERM)?;
                equal("the bytes", got.map(20_000, R, libc::MAP_SHARED, 0)?.read(0, 6)?, b"parcel".to_vec())
            })?;
            child.link.send_fd(region.fd())?;
            child.join()
        },
    ),
    Case::new(
        "clients.unwinder",
        &["NAME-15", "NAME-16"],
        "Unwinders and dumpsys read /dev/ashmem/NAME (deleted) in maps of another process",
        |env| {
            let region = env.region(4096)?;
            region.set_name(c"dalvik-main space")?;
            let _map = region.share(PAGE)?;
            let parent = std::process::id();
            Child::start(|_| {
                let maps = std::fs::read_to_string(format!("/proc/{parent}/maps"))
                    .or_else(|e| failed(format!("maps: {e}")))?;
                holds(
                    "the line is there",
                    maps.lines().any(|line| line.ends_with("/dev/ashmem/dalvik-main space (deleted)")),
                )
            })?
            .join()
        },
    ),
    Case::new(
        "clients.dalvik-heap",
        &["SIZE-10", "MMAP-08"],
        "Dalvik's heap: 256 MiB sparse, parts mapped at offsets, ends protected",
        |env| {
            let size = 256 << 20;
            let region = env.region(size as u64)?;
            region.set_name(c"dalvik-heap")?;
            let map = region.map(size, RW, libc::MAP_PRIVATE | libc::MAP_NORESERVE, 0)?;
            map.store(0, 1)?;
            map.store(size - 1, 1)?;
            equal("mprotect", map.protect(NONE)?, 0)
        },
    ),
    Case::new("clients.waydroid", &["OPEN-11"], "Waydroid looks for ' ashmem' in /proc/misc", |_| {
        let misc = std::fs::read_to_string("/proc/misc").or_else(|e| failed(format!("/proc/misc: {e}")))?;
        holds("/proc/misc names ashmem", misc.lines().any(|line| line.ends_with(" ashmem")))
    }),
    Case::new(
        "clients.read-after-munmap",
        &["READ-03", "SIZE-03"],
        "Binder and Android's tests read a region after its last munmap",
        |env| {
            let region: Region = env.region(PAGE as u64)?;
            {
                let map = region.share(PAGE)?;
                map.write(0, b"after")?;
            }
            equal("read", region.read(5)?, b"after".to_vec())?;
            equal("lseek", region.seek(0, libc::SEEK_SET)?, 0)
        },
    ),
];

/// `mov eax, 42; ret`
const RETURN_42: [u8; 6] = [0xb8, 42, 0, 0, 0, 0xc3];

fn run_code(map: &Map) -> Verdict {
    map.write(0, &RETURN_42).map_err(Stop::from)?;
    equal("what the code returns", call(map), 42)
}

fn call(map: &Map) -> i32 {
    // SAFETY: the mapping is executable and starts with RETURN_42, a whole function of this signature.
    let code: extern "C" fn() -> i32 = unsafe { std::mem::transmute(map.address()) };
    code()
}
