// SPDX-License-Identifier: MIT OR Apache-2.0
//! The page map of one region: which of its pages have memory, and which are unpinned.
//!
//! Memory is asked of the file behind the region (`SEEK_DATA`, `SEEK_HOLE`), by a descriptor of its
//! own, so that no one's position moves. Pins are asked of the device (`GET_PIN_STATUS`) by a copy
//! of a holder's descriptor (`pidfd_getfd(2)`); the question changes nothing, and whoever traces
//! the device sees it. Of a region of `ashmem run` or `ashmem agent` its supervisor is asked.

use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use ashmem_core::abi;
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::descriptor;
use crate::region::{CensusRegion, RegionKind};
use crate::supervisors;
use ashmem_proc::process::ProcessDir;
use ashmem_trace_wire::question::ToldRange;

/// Ranges looked at in one region; what is behind the last is not known.
const MOST_RANGES: usize = 16 << 10;

/// In how many parts pins are asked for. A part with an unpinned page counts as unpinned.
const PARTS: u64 = 1024;

/// Which pages of a region are what, by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageMap {
    /// Pages it has.
    pub pages: u64,
    /// Those that have memory, in use, cached or swapped out.
    pub resident: Option<Vec<Range<u64>>>,
    /// Those that are unpinned, purged ones included, to within a thousandth of the region.
    pub unpinned: Option<Vec<Range<u64>>>,
    /// Why [`PageMap::resident`] or [`PageMap::unpinned`] is not there, a sentence each.
    pub limits: Vec<String>,
}

/// Pages next to each other, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// How many.
    pub pages: u64,
    /// How many of them have memory.
    pub resident: Option<u64>,
    /// How many of them are unpinned.
    pub unpinned: Option<u64>,
}

impl PageMap {
    /// Looks at a region. What cannot be seen is left out, and said in [`PageMap::limits`].
    pub fn of(region: &CensusRegion, page_size: u64) -> Self {
        let pages = region.size.unwrap_or(0).div_ceil(page_size.max(1));
        let mut map = Self { pages, ..Self::default() };
        match resident(region, page_size, pages) {
            Ok(found) => map.resident = Some(found),
            Err(why) => map.limits.push(format!("which pages have memory: {why}")),
        }
        match unpinned(region, page_size, pages) {
            Ok(found) => map.unpinned = Some(found),
            Err(why) => map.limits.push(format!("which pages are unpinned: {why}")),
        }
        map
    }

    /// The map in blocks of so many pages, the last one perhaps smaller.
    pub fn blocks(&self, pages_each: u64) -> Vec<Block> {
        let each = pages_each.max(1);
        let count = self.pages.div_ceil(each);
        let resident = self.resident.as_deref().map(|ranges| counts(ranges, each, count));
        let unpinned = self.unpinned.as_deref().map(|ranges| counts(ranges, each, count));
        let of = |counts: &Option<Vec<u64>>, block: u64| {
            counts.as_ref().map(|counts| counts[block as usize])
        };
        let block = |block| Block {
            pages: each.min(self.pages - block * each),
            resident: of(&resident, block),
            unpinned: of(&unpinned, block),
        };
        (0..count).map(block).collect()
    }
}

/// How many pages of these ranges fall into each block.
fn counts(ranges: &[Range<u64>], each: u64, blocks: u64) -> Vec<u64> {
    let mut counts = vec![0; blocks as usize];
    for range in ranges {
        let mut first = range.start;
        while first < range.end {
            let block = first / each;
            let end = range.end.min((block + 1) * each);
            if let Some(count) = counts.get_mut(block as usize) {
                *count += end - first;
            }
            first = end;
        }
    }
    counts
}

fn resident(region: &CensusRegion, page_size: u64, pages: u64) -> Result<Vec<Range<u64>>, String> {
    if pages == 0 || region.resident == Some(0) {
        return Ok(Vec::new());
    }
    let file = memory(region)?;
    data(&file, page_size, pages).map_err(|error| format!("lseek(SEEK_DATA): {error}"))
}

/// The file behind a region, opened anew. Opening a descriptor of the device would make a new
/// region: of one, a mapping's file is opened.
fn memory(region: &CensusRegion) -> Result<OwnedFd, String> {
    let mut last = "nobody maps it, and its descriptors do not tell".to_owned();
    for holder in &region.holders {
        let pid = holder.process.pid;
        let descriptors = holder.descriptors.iter().map(|number| format!("fd/{number}"));
        let mappings = holder
            .mappings
            .iter()
            .map(|mapping| format!("map_files/{:x}-{:x}", mapping.start, mapping.end));
        let paths: Vec<String> = match region.kind {
            RegionKind::Device => mappings.take(1).collect(),
            _ => descriptors.take(1).chain(mappings.take(1)).collect(),
        };
        let Ok(folder) = ProcessDir::open(pid) else { continue };
        for path in paths {
            let opened = folder.open_memory(&path).and_then(|file| {
                let inode = rustix::fs::fstat(&file)?.st_ino;
                // The number may be another file's by now.
                if Some(inode) == region.id { Ok(file) } else { Err(Errno::NOENT) }
            });
            match opened {
                Ok(file) => return Ok(file),
                Err(Errno::ACCESS | Errno::PERM) if path.starts_with("map_files") => {
                    last = format!(
                        "/proc/{pid}/{path} is opened by root (or CAP_CHECKPOINT_RESTORE) alone"
                    );
                }
                Err(error) => last = format!("opening /proc/{pid}/{path}: {error}"),
            }
        }
    }
    Err(last)
}

/// The ranges of a file that have memory.
fn data(file: impl AsFd, page_size: u64, pages: u64) -> Result<Vec<Range<u64>>, Errno> {
    let mut found: Vec<Range<u64>> = Vec::new();
    let mut at = 0;
    while found.len() < MOST_RANGES {
        let start = match rustix::fs::seek(&file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing behind it.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error),
        };
        let end = rustix::fs::seek(&file, SeekFrom::Hole(start))?;
        let range = start / page_size..end.div_ceil(page_size).min(pages);
        if range.is_empty() {
            break;
        }
        found.push(range);
        at = end;
    }
    Ok(found)
}

fn unpinned(region: &CensusRegion, page_size: u64, pages: u64) -> Result<Vec<Range<u64>>, String> {
    match (region.kind, region.pages) {
        (RegionKind::Memfd, _) => return Ok(Vec::new()),
        (_, Some(counts)) if counts.unpinned.saturating_add(counts.purged) == 0 => {
            return Ok(Vec::new());
        }
        (_, Some(counts)) if counts.pinned == 0 => {
            return Ok(std::iter::once(0..pages).collect());
        }
        (RegionKind::Agent, _) => return unpinned_by_supervisor(region, pages),
        (RegionKind::Device, _) => {}
    }
    let file = descriptor::copy(region)?;
    let each = pages.div_ceil(PARTS).max(1);
    let mut found: Vec<Range<u64>> = Vec::new();
    let is_unpinned = |part: &Range<u64>| {
        let last_byte = u64::from(u32::MAX - u32::MAX % page_size as u32);
        let (start, end) =
            ((part.start * page_size).min(last_byte), (part.end * page_size).min(last_byte));
        if start == end {
            return Ok(false);
        }
        let pin = abi::Pin { offset: start as u32, len: (end - start) as u32 };
        // SAFETY: the request reads the structure, which lives through the call, and writes
        // nothing.
        match unsafe { libc::ioctl(file.as_raw_fd(), abi::GET_PIN_STATUS.into(), &raw const pin) } {
            -1 => Err(format!("GET_PIN_STATUS: {}", std::io::Error::last_os_error())),
            answer => Ok(i64::from(answer) == abi::IS_UNPINNED),
        }
    };
    // Whole first, then halves of what is not all pinned: mostly a few questions are enough.
    let mut open: Vec<Range<u64>> = std::iter::once(0..pages).collect();
    while let Some(part) = open.pop() {
        if !is_unpinned(&part)? {
            continue;
        }
        let parts = (part.end - part.start).div_ceil(each);
        if parts > 1 {
            let middle = part.start + parts / 2 * each;
            open.extend([middle..part.end, part.start..middle]);
        } else {
            match found.last_mut() {
                Some(last) if last.end == part.start => last.end = part.end,
                _ => found.push(part),
            }
        }
    }
    Ok(found)
}

/// Asks the supervisor.
fn unpinned_by_supervisor(region: &CensusRegion, pages: u64) -> Result<Vec<Range<u64>>, String> {
    let Some((supervisor, inode)) = region.supervisor.zip(region.id) else {
        return Err("known to the supervisor alone, which could not be asked".to_owned());
    };
    let ranges = supervisors::ranges(supervisor, inode)
        .ok_or_else(|| format!("its supervisor, process {}, did not answer", supervisor.pid))?;
    let within = |range: ToldRange| {
        range.first.min(pages)..range.last.saturating_add(1).clamp(range.first.min(pages), pages)
    };
    Ok(ranges.into_iter().take(MOST_RANGES).map(within).filter(|range| !range.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::{Block, PageMap, data};
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_file_tells_which_pages_have_memory() {
        let memfd =
            rustix::fs::memfd_create("page-map", rustix::fs::MemfdFlags::CLOEXEC).expect("a memfd");
        let file = std::fs::File::from(memfd);
        let page = rustix::param::page_size() as u64;
        file.set_len(10 * page - 1).expect("sizing");
        for written in [2, 3, 9] {
            file.write_all_at(b"x", written * page).expect("writing");
        }
        assert_eq!(data(&file, page, 10), Ok(vec![2..4, 9..10]));
    }

    #[test]
    fn blocks_count_what_falls_into_them() {
        let map = PageMap {
            pages: 10,
            resident: Some(vec![2..4, 9..10]),
            unpinned: Some(std::iter::once(3..10).collect()),
            limits: Vec::new(),
        };
        let block = |pages, resident, unpinned| Block {
            pages,
            resident: Some(resident),
            unpinned: Some(unpinned),
        };
        assert_eq!(map.blocks(4), [block(4, 2, 1), block(4, 0, 4), block(2, 1, 2)]);
        assert_eq!(map.blocks(100), [block(10, 3, 7)]);
        assert_eq!(PageMap::default().blocks(4), []);
    }
}
