// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel's other memory calls do with a mapping.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use ashmem_core::abi;

use super::run;
use crate::case::{
    Case, Differs, Env, Provider, Stop, Verdict, equal, failed, holds, refused, skip,
};
use crate::process::{apart, need_root};
use ashmem_test_client::errno::{Answer, answer};
use ashmem_test_client::fault::BUS;
use ashmem_test_client::map::{Map, NONE, R, RW, RWX, page_size};
use ashmem_test_client::region::{Region, open_path};

/// `include/uapi/asm-generic/mman-common.h`: makes huge pages of what is there.
const MADV_COLLAPSE: i32 = 25;

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "memory.mremap-grow",
        &["MMAP-19"],
        "mremap may grow a mapping past the size; the new pages are SIGBUS",
        |env| {
            let (_region, map) = env.mapped(4096)?;
            map.store(0, 5)?;
            let grown = map.resize(3 * page_size())?;
            equal("the old page", grown.load(0)?, 5)?;
            equal("the page behind the size", grown.load(page_size()), Err(BUS))
        },
    ),
    Case::new(
        "memory.mremap-keeps-rights",
        &["MMAP-19", "MMAP-08"],
        "A moved mapping cannot be raised beyond the mask either",
        |env| {
            let region = env.region(4096)?;
            region.set_mask(1)?;
            let grown = region.map(page_size(), R, libc::MAP_SHARED, 0)?.resize(2 * page_size())?;
            refused("mprotect", grown.protect(RW), libc::EACCES)
        },
    ),
    Case::new(
        "memory.mremap-shrink",
        &["MMAP-19"],
        "mremap may shrink and grow back over the same content",
        |env| {
            let (_region, map) = env.mapped(2 * page_size() as u64)?;
            map.touch(3)?;
            equal(
                "the pages",
                map.resize(page_size())?.resize(2 * page_size())?.pages()?,
                vec![3, 3],
            )
        },
    ),
    Case::new(
        "memory.mremap-duplicate",
        &["MMAP-19"],
        "mremap of length 0 makes a second mapping of the same content, with the same rights",
        |env| {
            let region = env.region(4096)?;
            let first = region.share(page_size())?;
            region.set_mask(1)?;
            let old = first.address() as *mut _;
            // SAFETY: the range is ours; with an old length of 0 it stays, and the kernel picks the
            // new place.
            let at = unsafe { libc::mremap(old, 0, page_size(), libc::MREMAP_MAYMOVE) };
            holds("mremap succeeds", at != libc::MAP_FAILED)?;
            first.store(9, 9)?;
            equal(
                "the byte through the second",
                ashmem_test_client::fault::load(at as usize + 9)?,
                9,
            )
        },
    ),
    Case::new(
        "memory.remap-file-pages",
        &["MMAP-20", "BUG-02"],
        "remap_file_pages is EPERM",
        |env| {
            let (_region, map) = env.mapped(4 * page_size() as u64)?;
            refused("remap_file_pages", remap_file_pages(&map, 2), libc::EPERM)?;
            // Older kernels have unmapped the range by then: it is not touched again.
            map.leak();
            Ok(())
        },
    ),
    Case::new(
        "memory.remap-file-pages-read-only",
        &["MMAP-20", "BUG-02"],
        "remap_file_pages of a read-only mapping does not make it writable",
        |env| {
            let region = env.region(2 * page_size() as u64)?;
            region.set_mask(1)?;
            let map = region.map(2 * page_size(), R, libc::MAP_SHARED, 0)?;
            refused("remap_file_pages", remap_file_pages(&map, 0), libc::EPERM)?;
            map.leak();
            Ok(())
        },
    ),
    Case::new(
        "memory.proc-mem-write",
        &["MMAP-23"],
        "Writing through /proc/PID/mem into a read-only shared mapping fails",
        |env| {
            let (region, whole) = env.mapped(4096)?;
            region.set_mask(1)?;
            let map = region.map(page_size(), R, libc::MAP_SHARED, 0)?;
            let mem = OpenOptions::new()
                .write(true)
                .open("/proc/self/mem")
                .or_else(|e| skip(format!("/proc/self/mem: {e}")))?;
            match mem.write_at(b"x", map.address() as u64) {
                Ok(count) => failed(format!("expected EIO, wrote {count} byte")),
                Err(error) => equal("errno", error.raw_os_error(), Some(libc::EIO)),
            }?;
            equal("the byte", whole.load(0)?, 0)
        },
    ),
    Case::new(
        "memory.proc-mem-read",
        &["MMAP-23"],
        "Reading through /proc/PID/mem shows the content",
        |env| {
            let (_region, map) = env.mapped(4096)?;
            map.write(0, b"peek")?;
            let mem = std::fs::File::open("/proc/self/mem")
                .or_else(|e| skip(format!("/proc/self/mem: {e}")))?;
            let mut bytes = [0; 4];
            mem.read_exact_at(&mut bytes, map.address() as u64)
                .or_else(|e| failed(format!("reading: {e}")))?;
            equal("the bytes", &bytes, b"peek")
        },
    ),
    Case::new(
        "memory.madv-remove",
        &["MMAP-24"],
        "MADV_REMOVE on a writable shared mapping punches a hole",
        |env| {
            let (region, map) = env.mapped(2 * page_size() as u64)?;
            map.touch(8)?;
            equal("madvise", map.advise(libc::MADV_REMOVE)?, 0)?;
            equal(
                "the pages",
                region.seek(0, libc::SEEK_DATA).map_err(|refused| refused.code),
                Err(libc::ENXIO),
            )?;
            equal("the bytes", map.pages()?, vec![0, 0])
        },
    ),
    Case::new(
        "memory.madv-remove-read-only",
        &["MMAP-24"],
        "MADV_REMOVE on a mapping that may not write is EACCES",
        |env| {
            let (region, whole) = env.mapped(4096)?;
            whole.store(0, 8)?;
            region.set_mask(1)?;
            let map = region.map(page_size(), R, libc::MAP_SHARED, 0)?;
            refused("madvise", map.advise(libc::MADV_REMOVE), libc::EACCES)?;
            equal("the byte", whole.load(0)?, 8)
        },
    ),
    Case::new(
        "memory.madv-dontneed",
        &["MMAP-11", "MMAP-12"],
        "MADV_DONTNEED keeps the content of a shared mapping and drops that of a private one",
        |env| {
            let (region, map) = env.mapped(4096)?;
            let private = region.map(page_size(), RW, libc::MAP_PRIVATE, 0)?;
            map.store(0, 1)?;
            private.store(0, 2)?;
            map.advise(libc::MADV_DONTNEED)?;
            private.advise(libc::MADV_DONTNEED)?;
            equal("the shared byte", map.load(0)?, 1)?;
            equal("the private byte", private.load(0)?, 0)
        },
    ),
    Case::new(
        "memory.private-kept",
        &["MMAP-12", "MMAP-24", "BUG-25"],
        "What was written to a private mapping stays as the region's pages go, also where the \
         kernel was asked for huge pages",
        |env| {
            let huge =
                std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")
                    .ok()
                    .and_then(|text| text.trim().parse().ok());
            let len: usize = 2 * huge.unwrap_or(2 << 20);
            let (region, map) = env.mapped(len as u64)?;
            let private = region.map(len, RW, libc::MAP_PRIVATE, 0)?;
            private.touch(7)?;
            // Not before 6.1, and refused by the module.
            let _ = private.advise(MADV_COLLAPSE);
            equal("madvise", map.advise(libc::MADV_REMOVE)?, 0)?;
            holds("every byte stays", private.pages()?.iter().all(|byte| *byte == 7))
        },
    ),
    Case::new("memory.msync", &["MMAP-25"], "msync succeeds, waiting or not", |env| {
        let (_region, map) = env.mapped(4096)?;
        map.store(0, 1)?;
        equal("MS_SYNC", map.sync(libc::MS_SYNC)?, 0)?;
        equal("MS_ASYNC", map.sync(libc::MS_ASYNC)?, 0)?;
        equal("MS_INVALIDATE", map.sync(libc::MS_INVALIDATE)?, 0)
    }),
    Case::new(
        "memory.anon-name",
        &["MMAP-27"],
        "prctl(PR_SET_VMA_ANON_NAME) answers and shows as it does for shared anonymous memory",
        |env| {
            let (_region, map) = env.mapped(4096)?;
            let model = Map::new(-1, page_size(), RW, libc::MAP_SHARED | libc::MAP_ANONYMOUS, 0)?;
            let (ours, theirs) = (set_anon_name(&map), set_anon_name(&model));
            equal("the answer", ours.map_err(|e| e.code), theirs.map_err(|e| e.code))?;
            let path = map.line()?.path;
            let want =
                if theirs.is_ok() { model.line()?.path } else { "/dev/ashmem (deleted)".into() };
            equal("the path in maps", path, want)
        },
    )
    .differs(&[run::PATH_IN_MAPS]),
    Case::new(
        "memory.huge-page-advice",
        &["MMAP-21"],
        "MADV_HUGEPAGE and a hint address do no harm",
        |env| {
            let region = env.region(4 << 20)?;
            let map = Map::at(0x2000_0000_0000, region.fd(), 4 << 20, RW, libc::MAP_SHARED, 0)?;
            equal("the address of the hint", map.address(), 0x2000_0000_0000)?;
            // Kernels without transparent huge pages answer EINVAL.
            let _ = map.advise(libc::MADV_HUGEPAGE);
            map.touch(1)?;
            holds("all pages hold what was written", map.pages()?.iter().all(|byte| *byte == 1))
        },
    ),
    Case::new(
        "memory.no-exec-mount",
        &["MMAP-01"],
        "On a node below a noexec mount PROT_EXEC is EPERM at mmap and EACCES at mprotect",
        |env| {
            need_root("mounting a file system")?;
            let rdev = env.open()?.stat()?.st_rdev;
            apart(|| {
                let region = node_on_noexec_mount(rdev)?;
                region.set_size(4096)?;
                refused("mmap", region.map(page_size(), RWX, libc::MAP_SHARED, 0), libc::EPERM)?;
                refused("mprotect", region.share(page_size())?.protect(RWX), libc::EACCES)
            })
        },
    )
    .differs(&[run::NODE_ELSEWHERE]),
    Case::new(
        "memory.charged-twice",
        &["MMAP-09", "MMAP-28", "NAME-12"],
        "Under strict overcommit a region that fits once cannot be mapped: ENOMEM, and it counts \
         as mapped",
        |env| {
            strict_overcommit(env, |size| {
                let region = env.region(size)?;
                refused("mmap", region.share(size as usize), libc::ENOMEM)?;
                refused("SET_SIZE", region.set_size(size), libc::EINVAL)?;
                refused("SET_NAME", region.set_name(c"late"), libc::EINVAL)?;
                region.map(page_size(), NONE, libc::MAP_SHARED, 0)?;
                equal("PIN", region.pin(0, 0)?, abi::NOT_PURGED)
            })
        },
    )
    .differs(&[Differs {
        providers: &[Provider::Module],
        what: "Under strict overcommit a region that fits once is mapped",
        reason: "no second, temporary object is made, so nothing is charged twice",
        check: Some(|env| {
            strict_overcommit(env, |size| {
                let region = env.region(size)?;
                region.share(size as usize)?.store(0, 1)?;
                Ok(())
            })
        }),
    }]),
    Case::new(
        "memory.charge-fails",
        &["MMAP-07", "MMAP-28"],
        "Under strict overcommit a region that does not fit is ENOMEM and is not mapped",
        |env| {
            strict_overcommit(env, |size| {
                let region = env.region(size * 4)?;
                refused("mmap", region.share(page_size()), libc::ENOMEM)?;
                equal("SET_SIZE", region.set_size(4096)?, 0)
            })
        },
    ),
];

fn remap_file_pages(map: &Map, page: usize) -> Answer {
    // SAFETY: the range is ours; callers do not touch it afterwards.
    let got = unsafe {
        libc::syscall(libc::SYS_remap_file_pages, map.address(), page_size(), 0, page, 0)
    };
    answer("remap_file_pages", got)
}

fn set_anon_name(map: &Map) -> Answer {
    const PR_SET_VMA: i32 = 0x5356_4d41;
    // SAFETY: the range is ours and the name is NUL terminated.
    let got = unsafe {
        libc::prctl(PR_SET_VMA, 0_usize, map.address(), map.len(), c"conformance".as_ptr())
    };
    answer("prctl", got.into())
}

/// Opens a node of the device's number that lies on a noexec tmpfs only the calling process sees.
fn node_on_noexec_mount(rdev: libc::dev_t) -> Result<Region, Stop> {
    let place = c"/tmp";
    let _ = std::fs::create_dir("/tmp");
    // SAFETY: all strings are NUL terminated; the calls touch no other memory.
    let ready = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(
                std::ptr::null(),
                c"/".as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            ) == 0
            && libc::mount(
                c"none".as_ptr(),
                place.as_ptr(),
                c"tmpfs".as_ptr(),
                libc::MS_NOEXEC,
                std::ptr::null(),
            ) == 0
            && libc::mknod(c"/tmp/ashmem-noexec".as_ptr(), libc::S_IFCHR | 0o600, rdev) == 0
    };
    if !ready {
        return skip(format!(
            "may not mount a tmpfs and make a node on it: {}",
            std::io::Error::last_os_error()
        ));
    }
    Ok(open_path(b"/tmp/ashmem-noexec", libc::O_RDWR)?)
}

/// Runs `body` while the kernel promises no more memory than it has, with a size that fits once and
/// not twice.
fn strict_overcommit(env: &Env, body: impl FnOnce(u64) -> Verdict) -> Verdict {
    const KNOB: &str = "/proc/sys/vm/overcommit_memory";
    if env.provider.is_agent() {
        return skip("changes vm.overcommit_memory, which is the whole host's");
    }
    need_root("changing vm.overcommit_memory")?;
    let before = std::fs::read_to_string(KNOB).or_else(|e| skip(format!("{KNOB}: {e}")))?;
    std::fs::write(KNOB, "2").or_else(|e| skip(format!("{KNOB}: {e}")))?;
    let verdict = meminfo("CommitLimit").and_then(|limit| {
        let free = limit.saturating_sub(meminfo("Committed_AS")?);
        let size = (free / 3 * 2) & !(page_size() as u64 - 1);
        if size < 64 << 20 { skip("the commit limit leaves less than 64 MiB") } else { body(size) }
    });
    std::fs::write(KNOB, before.trim()).or_else(|e| failed(format!("putting {KNOB} back: {e}")))?;
    verdict
}

/// A line of /proc/meminfo, in bytes.
pub(crate) fn meminfo(key: &str) -> Result<u64, Stop> {
    let text = std::fs::read_to_string("/proc/meminfo")
        .or_else(|e| failed(format!("/proc/meminfo: {e}")))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or_else(|| failed(format!("/proc/meminfo has no {key}")), |kib| Ok(kib * 1024))
}
