// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module comes, is held by what uses it, and goes.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ashmem_core::abi;

use crate::kernel_log::Mark;
use crate::module::{self, Modules, NAME, with_module};
use crate::region::{Region, page_size};

/// The first argument of this program when it is to do one thing only: [`drop_caches`].
pub(crate) const DROP_CACHES: &str = "--drop-caches";

/// Asks the kernel to drop what its shrinkers can give.
pub(crate) fn drop_caches() -> ExitCode {
    match fs::write("/proc/sys/vm/drop_caches", "2") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("/proc/sys/vm/drop_caches: {error}");
            ExitCode::FAILURE
        }
    }
}

fn expect_busy() -> Result<()> {
    match module::unload(NAME) {
        Err(busy) if busy.raw_os_error() == Some(libc::EAGAIN) => Ok(()),
        other => anyhow::bail!("unloading a module in use: expected EAGAIN, got {other:?}"),
    }
}

fn use_everything() -> Result<()> {
    let region = Region::create(8)?;
    let mapping = region.map(8, libc::MAP_SHARED)?;
    mapping.fill();
    let private = region.map(8, libc::MAP_PRIVATE)?;
    private.fill();
    region.pinning(abi::UNPIN, 0, 4)?;
    region.pinning(abi::PIN, 1, 2)?;
    region.purge()?;
    ensure!(region.pinning(abi::PIN, 0, 1)? == abi::WAS_PURGED, "a purged page was not reported");
    region.pinning(abi::UNPIN, 6, 2)?;
    Ok(())
}

pub(crate) fn cycles(modules: &Modules) -> Result<()> {
    const CYCLES: usize = 200;
    const LOOKS: usize = 30;
    // The first round fills the kernel's own caches.
    with_module(modules, use_everything)?;
    let before = Memory::now()?;
    for cycle in 0..CYCLES {
        with_module(modules, use_everything).with_context(|| format!("cycle {cycle}"))?;
    }
    ensure!(!module::is_loaded(NAME)?, "{NAME} is still in /proc/modules");
    // shmem inodes are freed a grace period later, and so come and go by some; a leak of one a
    // cycle would be 200. A busy machine takes its time.
    let mut after = Memory::now()?;
    for _ in 0..LOOKS {
        if after.shmem_inodes < before.shmem_inodes + CYCLES as u64 / 4 {
            break;
        }
        after = Memory::now()?;
    }
    let files = after.shmem_inodes.saturating_sub(before.shmem_inodes);
    ensure!(files < CYCLES as u64 / 4, "{files} shmem inodes more after {CYCLES} cycles");
    let slab = after.slab_kib.saturating_sub(before.slab_kib);
    ensure!(slab < 4 * CYCLES as u64, "{slab} KiB of slab more after {CYCLES} cycles");
    ensure!(after.own_caches == 0, "a slab cache named ashmem_* is still there");
    Ok(())
}

pub(crate) fn descriptor_holds(modules: &Modules) -> Result<()> {
    with_module(modules, || {
        let region = Region::create(4)?;
        expect_busy()?;
        ensure!(
            region.name()? == b"trial" && region.size()? == (4 * page_size()) as i64,
            "the region changed"
        );
        let mapping = region.map(4, libc::MAP_SHARED)?;
        mapping.fill();
        ensure!(mapping.is_filled(), "the region's memory changed");
        Ok(())
    })
}

pub(crate) fn mapping_holds(modules: &Modules) -> Result<()> {
    held_by_mapping(modules, libc::MAP_SHARED)
}

pub(crate) fn private_mapping_holds(modules: &Modules) -> Result<()> {
    held_by_mapping(modules, libc::MAP_PRIVATE)
}

fn held_by_mapping(modules: &Modules, flags: i32) -> Result<()> {
    with_module(modules, || {
        let region = Region::create(4)?;
        let mapping = region.map(4, flags)?;
        drop(region);
        mapping.fill();
        expect_busy()?;
        ensure!(mapping.is_filled(), "the mapping's memory changed");
        Ok(())
    })
}

/// The inode has nothing of the module's, so a process that opened it needs no module: the module
/// may be gone.
pub(crate) fn reopened_file_outlives(modules: &Modules) -> Result<()> {
    let mut file = None;
    with_module(modules, || {
        let region = Region::create(4)?;
        let mapping = region.map(4, libc::MAP_SHARED)?;
        mapping.fill();
        region.set_mask(libc::PROT_READ as u64)?;
        let opened = fs::File::options()
            .read(true)
            .write(true)
            .open(mapping.map_file())
            .context("opening map_files")?;
        file = Some(opened);
        Ok(())
    })?;
    let mut file = file.context("the file was opened")?;
    let mut byte = [0];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut byte, page_size() as u64)?;
    ensure!(byte == [1], "page 1 holds {byte:?} through the reopened file, with the module gone");
    let refused = |what: &str, result: io::Result<()>| -> Result<()> {
        ensure!(
            result.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EPERM)),
            "{what} with the module gone: {result:?}"
        );
        Ok(())
    };
    refused("write", io::Write::write_all(&mut file, b"hole"))?;
    refused("ftruncate", file.set_len(0))
}

pub(crate) fn path_survives(modules: &Modules) -> Result<()> {
    let mut path = None;
    with_module(modules, || {
        let region = Region::create(4)?;
        let mapping = region.map(4, libc::MAP_SHARED)?;
        let mut options = fs::File::options();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_PATH);
        path = Some(
            options.read(true).open(mapping.map_file()).context("opening map_files as a path")?,
        );
        Ok(())
    })?;
    let path = path.context("the path was opened")?;
    let size = path.metadata().context("stat of the path, with the module gone")?.len();
    ensure!(size == 4 * page_size() as u64, "the backing file has {size} bytes");
    let reopened = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&path));
    let read = fs::read(reopened).context("reading by the path, with the module gone")?;
    ensure!(read.len() == 4 * page_size(), "{} bytes were read", read.len());
    Ok(())
}

pub(crate) fn no_truncate(modules: &Modules) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    with_module(modules, || {
        let region = Region::create(4)?;
        let mapping = region.map(4, libc::MAP_SHARED)?;
        mapping.fill();
        region.set_mask(libc::PROT_READ as u64)?;
        let path = std::ffi::CString::new(mapping.map_file())?;
        // SAFETY: a NUL-terminated string.
        let truncated = unsafe { libc::truncate(path.as_ptr(), 0) };
        let error = io::Error::last_os_error();
        ensure!(
            truncated == -1 && error.raw_os_error() == Some(libc::EPERM),
            "truncate: {truncated}, {error}"
        );
        // A mode gives nobody the right that the mask has given up.
        fs::set_permissions(mapping.map_file(), fs::Permissions::from_mode(0o777))
            .context("chmod")?;
        let mut file = fs::File::options()
            .write(true)
            .open(mapping.map_file())
            .context("opening map_files")?;
        let written = io::Write::write_all(&mut file, b"hole");
        ensure!(
            written.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EPERM)),
            "write: {written:?}"
        );
        ensure!(mapping.is_filled(), "the region's memory changed");
        Ok(())
    })
}

/// Writes of many pages, of a part of a page, at the end, and from memory that ends in the middle.
pub(crate) fn written_again(modules: &Modules) -> Result<()> {
    use std::os::unix::fs::FileExt;
    with_module(modules, || {
        let region = Region::create(8)?;
        let mapping = region.map(8, libc::MAP_SHARED)?;
        let file = fs::File::options().read(true).write(true).open(mapping.map_file())?;
        let pattern: Vec<u8> = (0..8 * page_size()).map(|byte| (byte % 251) as u8).collect();
        let start = page_size() / 2;
        let length = 5 * page_size() + 7;
        let written = file.write_at(&pattern[..length], start as u64)?;
        ensure!(written == length, "{written} of {length} bytes were written");
        ensure!(
            mapping.bytes()[start..start + length] == pattern[..length],
            "the region holds something else"
        );
        ensure!(
            mapping.bytes()[start + length..].iter().all(|&byte| byte == 0),
            "more was written"
        );

        // Three pages that can be read, then none.
        let half = Region::create(8)?;
        let source = half.map(8, libc::MAP_SHARED)?;
        source.fill();
        source.protect_from(3)?;
        let (fd, length) = (file.as_raw_fd(), 5 * page_size());
        // SAFETY: the kernel reads as far as it can and says how far that was.
        let part = unsafe { libc::pwrite(fd, source.start().cast(), length, 0) };
        ensure!(part == 3 * page_size() as isize, "{part} bytes were written from three pages");
        // SAFETY: as above.
        let none = unsafe {
            libc::pwrite(
                file.as_raw_fd(),
                source.start().add(3 * page_size()).cast(),
                page_size(),
                0,
            )
        };
        let error = io::Error::last_os_error();
        ensure!(
            none == -1 && error.raw_os_error() == Some(libc::EFAULT),
            "from no page: {none}, {error}"
        );
        Ok(())
    })
}

/// 2^62 bytes, of which one page is mapped. The kernel is asked to drop what it can, in a process
/// of its own: were it kept busy, nothing would stop it.
pub(crate) fn sparse(modules: &Modules) -> Result<()> {
    with_module(modules, || {
        let region = Region::create((1 << 62) / page_size())?;
        let mapping = region.map(1, libc::MAP_SHARED | libc::MAP_NORESERVE)?;
        mapping.fill();
        region.pinning(abi::UNPIN, 0, 0)?;
        let mut child = Command::new("/proc/self/exe").arg(DROP_CACHES).spawn()?;
        let begin = Instant::now();
        let ended = loop {
            match child.try_wait()? {
                Some(status) => break status.success(),
                None if begin.elapsed() > Duration::from_secs(60) => break false,
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        ensure!(
            ended,
            "the kernel is still busy dropping caches after {:?}, or could not begin",
            begin.elapsed()
        );
        let answer = region.purge()?;
        ensure!(answer == 0, "{answer} pages were left to purge");
        region.pinning(abi::PIN, 0, 0)?;
        region.pinning(abi::UNPIN, 0, 0)?;
        let answer = region.purge()?;
        ensure!(answer == i64::from(i32::MAX), "PURGE_ALL_CACHES answered {answer}");
        Ok(())
    })
}

pub(crate) fn unpinned(modules: &Modules) -> Result<()> {
    with_module(modules, || {
        let region = Region::create(4)?;
        let mapping = region.map(4, libc::MAP_SHARED)?;
        mapping.fill();
        region.pinning(abi::UNPIN, 0, 4)?;
        drop(region);
        let purged = Region::open()?.purge()?;
        ensure!(purged == 0, "{purged} pages of a closed region were purged");
        ensure!(mapping.is_filled(), "a closed region's memory was purged");
        Ok(())
    })
}

pub(crate) fn twice(modules: &Modules) -> Result<()> {
    with_module(modules, || {
        let region = Region::create(1)?;
        expect_exists(module::load(&modules.plain, ""))?;
        ensure!(region.size()? == page_size() as i64, "the region changed");
        Ok(())
    })
}

/// A second module of another name stands for a driver that is built in: the same file, renamed
/// inside.
pub(crate) fn other_driver(modules: &Modules) -> Result<()> {
    with_module(modules, || {
        let mut renamed = fs::read(&modules.plain).context("reading the module")?;
        let places = rename(&mut renamed, NAME.as_bytes(), b"ashmem_other");
        ensure!(places >= 2, "the module's name was found in {places} places only");
        let mark = Mark::now()?;
        expect_exists(module::load_bytes(&renamed))?;
        let log = mark.since()?;
        let lines = log.iter().filter(|line| line.contains("already has an ashmem device")).count();
        ensure!(lines == 1, "the log does not say once why: {log:?}");
        ensure!(Region::open().is_ok(), "the device that was there is gone");
        Ok(())
    })
}

fn expect_exists(result: io::Result<()>) -> Result<()> {
    // Kernels from 7 on turn a module's own EEXIST into EBUSY and keep the former for a module of
    // the same name.
    match result {
        Err(exists) if matches!(exists.raw_os_error(), Some(libc::EEXIST | libc::EBUSY)) => Ok(()),
        other => {
            anyhow::bail!("loading it beside another: expected EEXIST or EBUSY, got {other:?}")
        }
    }
}

/// Replaces a word by another of its length wherever it stands with a NUL after it.
fn rename(module: &mut [u8], from: &[u8], to: &[u8]) -> usize {
    let mut places = 0;
    for start in 0..module.len().saturating_sub(from.len()) {
        let Some(place) = module.get_mut(start..=start + from.len()) else { break };
        if place.strip_prefix(from) == Some(&[0])
            && let Some(word) = place.get_mut(..to.len())
        {
            word.copy_from_slice(to);
            places += 1;
        }
    }
    places
}

/// What a leak would show in.
struct Memory {
    slab_kib: u64,
    shmem_inodes: u64,
    own_caches: usize,
}

impl Memory {
    fn now() -> Result<Self> {
        // Lets what is freed a grace period later be freed.
        std::thread::sleep(std::time::Duration::from_millis(300));
        fs::write("/proc/sys/vm/drop_caches", "2").context("dropping caches")?;
        // KASAN keeps what was freed for a while, as if it were in use, unless the cache is shrunk.
        // Not every kernel can be asked for that.
        let _ = fs::write("/sys/kernel/slab/shmem_inode_cache/shrink", "1");
        let meminfo = fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
        let slabs = fs::read_to_string("/proc/slabinfo").context("reading /proc/slabinfo")?;
        let slab_kib = number(&meminfo, "Slab:").context("/proc/meminfo has no Slab")?;
        let shmem_inodes = number(&slabs, "shmem_inode_cache")
            .context("/proc/slabinfo has no shmem_inode_cache")?;
        let own_caches = slabs.lines().filter(|line| line.starts_with("ashmem_")).count();
        Ok(Self { slab_kib, shmem_inodes, own_caches })
    }
}

/// The number after a word at a line's start.
fn number(text: &str, word: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(word)?.split_whitespace().next()?.parse().ok())
}
