// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
//! The device as the specification tells it, page by page and as plainly as it can be said.
//!
//! Each page of a region carries the tag of the unpinned range it belongs to, or none: it is
//! pinned. Two ranges that touch have two tags, so they stay apart (PIN-22). Everything is found by
//! looking at every page.

use std::ops::Range;

/// EPERM.
pub(crate) const EPERM: i64 = -1;
/// EINVAL.
pub(crate) const EINVAL: i64 = -22;

/// An unpinned range, by its number in the order of birth.
type Tag = usize;

/// One region.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    size: u64,
    mask: u32,
    mapped: bool,
    pages: Vec<Option<Tag>>,
}

impl Region {
    fn new() -> Self {
        Self { size: 0, mask: 7, mapped: false, pages: Vec::new() }
    }

    /// How many pages the region has; 0 before it is mapped.
    pub(crate) fn pages(&self) -> usize {
        self.pages.len()
    }
}

/// All regions, and the order in which their ranges are purged.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    page: u64,
    regions: Vec<Region>,
    /// By tag: was it purged?
    purged: Vec<bool>,
    /// The ranges that can be purged, oldest first (SHR-04).
    order: Vec<Tag>,
}

impl Model {
    /// So many regions as `open` leaves them (OPEN-01), on pages of `page` bytes.
    pub(crate) fn new(page: u64, regions: usize) -> Self {
        Self { page, regions: vec![Region::new(); regions], purged: Vec::new(), order: Vec::new() }
    }

    /// One region.
    pub(crate) fn region(&self, region: usize) -> &Region {
        &self.regions[region]
    }

    /// The last descriptor is closed: its ranges leave the order (OPEN-08). A new region takes the
    /// slot.
    pub(crate) fn reopen(&mut self, region: usize) {
        let gone = std::mem::replace(&mut self.regions[region], Region::new());
        self.order.retain(|tag| !gone.pages.contains(&Some(*tag)));
    }

    /// SET_SIZE (SIZE-02, SIZE-03).
    pub(crate) fn set_size(&mut self, region: usize, size: u64) -> i64 {
        let region = &mut self.regions[region];
        if region.mapped {
            return EINVAL;
        }
        region.size = size;
        0
    }

    /// SET_PROT_MASK (PROT-02, PROT-03, PROT-07); then the mask.
    pub(crate) fn set_mask(
        &mut self,
        region: usize,
        mask: u64,
        read_implies_exec: bool,
    ) -> (i64, u32) {
        let region = &mut self.regions[region];
        if mask & !u64::from(region.mask) != 0 {
            return (EINVAL, region.mask);
        }
        region.mask = mask as u32;
        if read_implies_exec && mask & 1 != 0 {
            region.mask |= 4;
        }
        (0, region.mask)
    }

    /// mmap of `len` bytes (MMAP-02 to MMAP-08, in section 6's order); then the rights it withholds
    /// for good.
    pub(crate) fn map(&mut self, region: usize, len: u64, prot: u32) -> Result<u32, i64> {
        let region = &mut self.regions[region];
        let whole = u128::from(region.size).next_multiple_of(self.page.into());
        if region.size == 0 || u128::from(len) > whole {
            return Err(EINVAL);
        }
        if prot & !region.mask != 0 {
            return Err(EPERM);
        }
        if !region.mapped {
            region.mapped = true;
            region.pages = vec![None; (whole / u128::from(self.page)) as usize];
        }
        Ok(7 & !region.mask)
    }

    /// PIN: 1 if any range it meets was purged (PIN-11 to PIN-13).
    pub(crate) fn pin(&mut self, region: usize, offset: u32, len: u32) -> i64 {
        let span = match self.interval(region, offset, len) {
            Ok(span) => span,
            Err(errno) => return errno,
        };
        let met = self.tags(region, span.clone());
        let pages = &mut self.regions[region].pages;
        pages[span.clone()].fill(None);
        for &tag in &met {
            let left: Vec<usize> =
                (0..pages.len()).filter(|&page| pages[page] == Some(tag)).collect();
            match (left.first(), left.last()) {
                // Nothing is left of it (PIN-16).
                (None, _) | (_, None) => self.order.retain(|&other| other != tag),
                // Pages on both sides: the high ones become a range of their own, the youngest
                // (PIN-19).
                (Some(&low), Some(&high)) if low < span.start && high >= span.end => {
                    let new = self.purged.len();
                    self.purged.push(self.purged[tag]);
                    left.iter()
                        .filter(|&&page| page >= span.end)
                        .for_each(|&page| pages[page] = Some(new));
                    if !self.purged[new] {
                        self.order.push(new);
                    }
                }
                // One side: it keeps its place (PIN-17, PIN-18).
                _ => {}
            }
        }
        met.iter().any(|&tag| self.purged[tag]).into()
    }

    /// UNPIN: always 0 for a good interval (PIN-10).
    pub(crate) fn unpin(&mut self, region: usize, offset: u32, len: u32) -> i64 {
        let span = match self.interval(region, offset, len) {
            Ok(span) if span.is_empty() => return 0,
            Ok(span) => span,
            Err(errno) => return errno,
        };
        let met = self.tags(region, span.clone());
        let pages = &mut self.regions[region].pages;
        // Inside one range: nothing happens, not even to its age (PIN-20).
        if met.len() == 1 && pages[span.clone()].iter().all(|tag| *tag == Some(met[0])) {
            return 0;
        }
        // All it overlaps becomes one new range, purged if any part was (PIN-21, PIN-23).
        let new = self.purged.len();
        self.purged.push(met.iter().any(|&tag| self.purged[tag]));
        pages[span].fill(Some(new));
        for tag in pages.iter_mut().flatten().filter(|tag| met.contains(tag)) {
            *tag = new;
        }
        self.order.retain(|tag| !met.contains(tag));
        if !self.purged[new] {
            self.order.push(new);
        }
        0
    }

    /// GET_PIN_STATUS: 0 if any page is unpinned, else 1 (PIN-15).
    pub(crate) fn status(&self, region: usize, offset: u32, len: u32) -> i64 {
        match self.interval(region, offset, len) {
            Ok(span) => self.tags(region, span).is_empty().into(),
            Err(errno) => errno,
        }
    }

    /// Purges the oldest range (SHR-05); answers whose it was and its pages.
    pub(crate) fn purge_oldest(&mut self) -> Option<(usize, Range<usize>)> {
        if self.order.is_empty() {
            return None;
        }
        let tag = self.order.remove(0);
        self.purged[tag] = true;
        let mut found = None;
        for (region, Region { pages, .. }) in self.regions.iter().enumerate() {
            for page in (0..pages.len()).filter(|&page| pages[page] == Some(tag)) {
                let (_, span) = found.get_or_insert((region, page..page));
                span.end = page + 1;
            }
        }
        found
    }

    /// The ranges of a region from the lowest page up: first page, last page, purged.
    pub(crate) fn ranges(&self, region: usize) -> impl Iterator<Item = (u64, u64, bool)> {
        let runs = self.regions[region].pages.chunk_by(|a, b| a == b).scan(0, |first, run| {
            let start = *first;
            *first += run.len() as u64;
            Some((start, *first - 1, run[0]))
        });
        runs.filter_map(|(first, last, tag)| tag.map(|tag| (first, last, self.purged[tag])))
    }

    /// Whether the range that starts at `page` stands at `position` of the purge order.
    pub(crate) fn stands_at(&self, position: usize, region: usize, page: u64) -> bool {
        let tag = self.regions[region].pages[page as usize];
        tag.is_some() && self.order.get(position).copied() == tag
    }

    /// How many ranges the purge order holds.
    pub(crate) fn purgeable(&self) -> usize {
        self.order.len()
    }

    /// A region's pages that can be purged, and those that were.
    pub(crate) fn census(&self, region: usize) -> (u64, u64) {
        let held = |purged| {
            let tags = self.regions[region].pages.iter().flatten();
            tags.filter(|&&tag| self.purged[tag] == purged).count() as u64
        };
        (held(false), held(true))
    }

    fn tags(&self, region: usize, span: Range<usize>) -> Vec<Tag> {
        let mut met: Vec<Tag> =
            self.regions[region].pages[span].iter().flatten().copied().collect();
        met.dedup();
        met
    }

    fn interval(&self, region: usize, offset: u32, len: u32) -> Result<Range<usize>, i64> {
        let region = &self.regions[region];
        if !region.mapped {
            return Err(EINVAL);
        }
        let span = interval(self.page, region.size, offset, len)?;
        Ok(span.start as usize..span.end as usize)
    }
}

/// The pages of an interval, by steps 5 to 9 of section 8, with lengths in full width (BUG-12).
pub(crate) fn interval(page: u64, size: u64, offset: u32, len: u32) -> Result<Range<u64>, i64> {
    let (page, offset) = (i128::from(page), i128::from(offset));
    let end = (i128::from(size) + page - 1) / page * page;
    let given = i128::from(len);
    let len = if given == 0 { end - offset } else { given };
    if offset % page != 0 || len % page != 0 {
        return Err(EINVAL);
    }
    if 0xffff_ffff - offset < given {
        return Err(EINVAL);
    }
    if len < 0 || end < offset + len {
        return Err(EINVAL);
    }
    Ok((offset / page) as u64..((offset + len) / page) as u64)
}
