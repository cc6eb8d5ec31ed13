// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
//! The core and the model side by side: every operation goes to both, and both must then look the
//! same.

use ashmem_core::Errno;
use ashmem_core::abi::Pin;
use ashmem_core::pins::{self, Pinned, Progress};
use ashmem_core::range::{Ranges as _, Span};
use ashmem_core::region::{Facts, Mapping, Prot, Refusal, State};
use ashmem_core::store::{PageSize, Store};

use crate::arena::{Arena, Id};
use crate::model::Model;

/// How many regions the operations are spread over.
const REGIONS: usize = 4;

/// One operation. Where it names pages it does so by wishes, which the region's size at that time
/// makes concrete.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// Close the region; open, size and map a new one of so many bytes.
    Reopen { region: usize, size: u64 },
    /// Close the region and open a new one, without a size.
    Blank { region: usize },
    /// SET_SIZE.
    SetSize { region: usize, size: u64 },
    /// SET_PROT_MASK.
    SetMask { region: usize, mask: u64, read_implies_exec: bool },
    /// mmap of so many pages.
    Map { region: usize, pages: u64, prot: u32 },
    /// PIN.
    Pin { region: usize, at: Wish },
    /// UNPIN.
    Unpin { region: usize, at: Wish },
    /// GET_PIN_STATUS.
    Status { region: usize, at: Wish },
    /// Purge the oldest ranges, so many.
    Purge { ranges: usize },
}

/// An interval: two numbers brought near the region's size, and how they are to be wrong, if they
/// are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    first: u8,
    pages: u8,
    twist: u8,
}

impl Wish {
    fn pin(self, page: u64, region_pages: usize) -> Pin {
        let near = region_pages as u64 + 2;
        let mut offset = u64::from(self.first) % near * page;
        let mut len = u64::from(self.pages) % near * page;
        match self.twist {
            // Most intervals are short, so that a region holds many ranges.
            0..40 => len = (u64::from(self.pages) % 6 + 1) * page,
            40..56 => {}
            56..59 => len = 0,
            59 => offset += 1,
            60 => len += 512,
            61 => len = 0xffff_ffff - offset + 1,
            62 => (offset, len) = (region_pages as u64 * page, 0),
            _ => offset = 0xffff_ffff & !(page - 1),
        }
        Pin { offset: offset as u32, len: len as u32 }
    }
}

impl Op {
    /// How many bytes [`Op::decode`] takes.
    pub(crate) const BYTES: usize = 4;

    /// Any four bytes are an operation.
    pub(crate) fn decode([kind, who, first, pages]: [u8; Self::BYTES]) -> Self {
        let region = usize::from(who) % REGIONS;
        let at = Wish { first, pages, twist: who / 4 };
        // At most 64 pages and a piece.
        let size = u64::from(first % 64) * 4096 + u64::from(pages) * 16;
        match kind {
            0..100 => Self::Unpin { region, at },
            100..190 => Self::Pin { region, at },
            190..210 => Self::Status { region, at },
            210..235 => Self::Purge {
                ranges: if first == 255 { usize::MAX } else { usize::from(first % 4) },
            },
            235..245 => Self::Reopen { region, size },
            245 => Self::Blank { region },
            246..249 => Self::SetSize { region, size },
            249..252 => Self::SetMask {
                region,
                mask: u64::from(first % 16),
                read_implies_exec: pages % 2 == 1,
            },
            252..=255 => {
                Self::Map { region, pages: u64::from(first % 66), prot: u32::from(pages % 8) }
            }
        }
    }
}

/// Both devices.
pub(crate) struct Twin {
    arena: Arena,
    regions: Vec<(Facts, State<Vec<u8>, Id>)>,
    model: Model,
    /// By region and page: was it purged, and no PIN has told yet?
    lost: Vec<Vec<bool>>,
    turn: usize,
}

impl Twin {
    /// Both devices with a few mapped regions of 64 pages, for `ops` operations.
    pub(crate) fn new(page: PageSize, ops: usize) -> Self {
        let new_region = || (Facts::new(), State::new());
        let mut twin = Self {
            arena: Arena::new(page, ops),
            regions: std::iter::repeat_with(new_region).take(REGIONS).collect(),
            model: Model::new(page.bytes(), REGIONS),
            lost: vec![Vec::new(); REGIONS],
            turn: 0,
        };
        for region in 0..REGIONS {
            twin.reopen(region);
            twin.create(region, 64 * page.bytes());
        }
        twin
    }

    /// Plays one operation on both; panics where they differ.
    pub(crate) fn play(&mut self, op: Op) {
        self.turn += 1;
        match op {
            Op::Reopen { region, size } => {
                self.reopen(region);
                self.create(region, size);
            }
            Op::Blank { region } => self.reopen(region),
            Op::SetSize { region, size } => self.set_size(region, size),
            Op::SetMask { region, mask, read_implies_exec } => {
                let expected = self.model.set_mask(region, mask, read_implies_exec);
                let (facts, state) = &mut self.regions[region];
                let answer = state.set_prot_mask(facts, mask, read_implies_exec);
                assert_eq!((value(answer.map(|_| 0)), facts.prot_mask().bits()), expected);
            }
            Op::Map { region, pages, prot } => self.map(region, pages * self.page(), prot),
            Op::Pin { region, at } => self.pin(region, self.concrete(region, at)),
            Op::Unpin { region, at } => self.unpin(region, self.concrete(region, at)),
            Op::Status { region, at } => self.status(region, self.concrete(region, at)),
            Op::Purge { ranges } => self.purge(ranges),
        }
        self.compare();
    }

    /// Closes every region; nothing may be left.
    pub(crate) fn finish(mut self) {
        (0..REGIONS).for_each(|region| self.reopen(region));
        self.compare();
        assert_eq!(self.arena.live(), 0, "ranges leaked");
    }

    /// SET_SIZE, and the first mmap.
    pub(crate) fn create(&mut self, region: usize, size: u64) {
        self.set_size(region, size);
        self.map(region, size.min(self.page()), 0);
    }

    /// PIN. The kernel allocates its spare beforehand, the agent when it is asked to: both ways in
    /// turn.
    pub(crate) fn pin(&mut self, region: usize, pin: Pin) {
        let answer = self.with_spare(region, |most, facts, state, arena, spare| {
            pin_by_steps(most, facts, state, arena, pin, spare)
        });
        assert_eq!(
            answer,
            self.model.pin(region, pin.offset, pin.len),
            "PIN {pin:?} of region {region}"
        );
        // Whatever was lost, somebody was told (PIN-12).
        if let Ok(Some(span)) = self.regions[region].0.interval(self.arena.page_size(), pin) {
            let lost = &mut self.lost[region][span.first() as usize..=span.last() as usize];
            assert!(
                answer == 1 || !lost.contains(&true),
                "PIN {pin:?} of region {region} kept a loss to itself"
            );
            lost.fill(false);
        }
    }

    /// UNPIN.
    pub(crate) fn unpin(&mut self, region: usize, pin: Pin) {
        let answer = self.with_spare(region, |most, facts, state, arena, spare| {
            unpin_by_steps(most, facts, state, arena, pin, spare)
        });
        assert_eq!(
            answer,
            self.model.unpin(region, pin.offset, pin.len),
            "UNPIN {pin:?} of region {region}"
        );
    }

    /// GET_PIN_STATUS.
    pub(crate) fn status(&self, region: usize, pin: Pin) {
        let (facts, state) = &self.regions[region];
        let answer = value(state.pin_status(facts, &self.arena, pin));
        assert_eq!(
            answer,
            self.model.status(region, pin.offset, pin.len),
            "GET_PIN_STATUS {pin:?} of region {region}"
        );
    }

    /// Purges the oldest ranges, as a shrinker does.
    pub(crate) fn purge(&mut self, ranges: usize) {
        for _ in 0..ranges {
            let purged = self.purge_oldest();
            let found = purged
                .map(|(region, span)| (region, span.first() as usize..span.last() as usize + 1));
            assert_eq!(found, self.model.purge_oldest());
            let Some((region, span)) = found else { return };
            self.lost[region][span].fill(true);
        }
    }

    /// Every part of the core that can be seen, against the model.
    pub(crate) fn compare(&mut self) {
        let mut ranges = 0;
        let mut unpinned = 0;
        for (region, (facts, state)) in self.regions.iter_mut().enumerate() {
            let mut expected = self.model.ranges(region);
            let pins = state.pins();
            pins.for_each(&self.arena, usize::MAX, |span, purged| {
                ranges += 1;
                assert_eq!(
                    Some((span.first(), span.last(), purged)),
                    expected.next(),
                    "ranges of region {region}"
                );
            });
            assert_eq!(expected.next(), None, "ranges of region {region}");
            let pages = pins.range_pages(facts.share());
            assert_eq!(
                (pages.unpinned, pages.purged),
                self.model.census(region),
                "pages of region {region}"
            );
            assert_eq!(facts.is_mapped(), self.model.region(region).pages() > 0);
            unpinned += pages.unpinned;
        }
        let mut position = 0;
        for id in self.arena.order() {
            let (region, span) = (self.arena.owner(id), self.arena.range(id).span());
            let stands = self.model.stands_at(position, region, span.first());
            assert!(stands, "{span:?} of region {region} at {position} of the purge order");
            position += 1;
        }
        assert_eq!(position, self.model.purgeable(), "length of the purge order");
        assert_eq!(self.arena.lru_pages(), unpinned, "page count of the purge order");
        assert_eq!(self.arena.live(), ranges, "ranges in memory");
    }

    fn page(&self) -> u64 {
        self.arena.page_size().bytes()
    }

    fn concrete(&self, region: usize, at: Wish) -> Pin {
        at.pin(self.page(), self.model.region(region).pages())
    }

    fn reopen(&mut self, region: usize) {
        self.model.reopen(region);
        let (facts, state) = &mut self.regions[region];
        state.pins().clear(&self.arena, facts.share());
        (*facts, *state) = (Facts::new(), State::new());
        self.lost[region].clear();
    }

    fn set_size(&mut self, region: usize, size: u64) {
        let (facts, state) = &mut self.regions[region];
        let answer = state.set_size(facts, size);
        assert_eq!(value(answer.map(|()| 0)), self.model.set_size(region, size), "SET_SIZE {size}");
    }

    fn map(&mut self, region: usize, len: u64, prot: u32) {
        let (facts, state) = &mut self.regions[region];
        let first = !facts.is_mapped();
        let answer = state.map(facts, self.arena.page_size(), len, Prot::from_bits(prot));
        let expected = self.model.map(region, len, prot);
        match answer {
            Ok(Mapping { withheld, creates_backing }) => {
                assert_eq!(Ok(withheld.bits()), expected, "mmap of {len} bytes");
                assert_eq!(creates_backing, first);
                state.set_mapped(facts);
                self.lost[region].resize(self.model.region(region).pages(), false);
            }
            Err(errno) => assert_eq!(Err(errno.as_return()), expected, "mmap of {len} bytes"),
        }
    }

    /// Runs a request with a spare at hand or, every other time, without one until it asks; in one
    /// go or in steps over one or two ranges each.
    fn with_spare(
        &mut self,
        region: usize,
        mut request: impl FnMut(
            usize,
            &Facts,
            &mut State<Vec<u8>, Id>,
            &Arena,
            &mut Option<Id>,
        ) -> Result<i64, Refusal>,
    ) -> i64 {
        let most = [usize::MAX, 1, 2][self.turn % 3];
        let mut spare =
            if self.turn.is_multiple_of(2) { Some(self.arena.spare(region)) } else { None };
        let refused = loop {
            let (facts, state) = &mut self.regions[region];
            match request(most, facts, state, &self.arena, &mut spare) {
                Ok(answer) => break Ok(answer),
                Err(Refusal::Errno(errno)) => break Err(errno),
                Err(Refusal::NeedSpare) => {
                    assert!(spare.is_none(), "a spare was refused");
                    // Nothing may have changed: the model has not seen the request yet.
                    self.compare();
                    spare = Some(self.arena.spare(region));
                }
            }
        };
        if let Some(left) = spare {
            self.arena.free(left);
        }
        value(refused)
    }

    fn purge_oldest(&mut self) -> Option<(usize, Span)> {
        let (arena, regions) = (&self.arena, &self.regions);
        arena.with_lru(|lru| {
            let id = lru.oldest()?;
            let region = arena.owner(id);
            Some((region, pins::purge(arena, lru, regions[region].0.share(), id)))
        })
    }
}

/// PIN in steps, as the kernel takes them.
fn pin_by_steps(
    most: usize,
    facts: &Facts,
    state: &mut State<Vec<u8>, Id>,
    arena: &Arena,
    pin: Pin,
    spare: &mut Option<Id>,
) -> Result<i64, Refusal> {
    if most == usize::MAX {
        return state.pin(facts, arena, pin, spare);
    }
    let mut rest = facts.interval(arena.page_size(), pin)?;
    let mut pinned = Pinned::Intact;
    while let Some(span) = rest {
        let step = state.pins().pin(arena, facts.share(), span, spare, most)?;
        if step.pinned == Pinned::Purged {
            pinned = Pinned::Purged;
        }
        rest = step.rest;
    }
    Ok(pinned.answer())
}

/// UNPIN in steps, as the kernel takes them.
fn unpin_by_steps(
    most: usize,
    facts: &Facts,
    state: &mut State<Vec<u8>, Id>,
    arena: &Arena,
    pin: Pin,
    spare: &mut Option<Id>,
) -> Result<i64, Refusal> {
    if most == usize::MAX {
        return state.unpin(facts, arena, pin, spare);
    }
    if let Some(span) = facts.interval(arena.page_size(), pin)? {
        while state.pins().unpin(arena, facts.share(), span, spare, most)? == Progress::More {}
    }
    Ok(0)
}

/// What a system call would return.
fn value(answer: Result<i64, Errno>) -> i64 {
    answer.unwrap_or_else(Errno::as_return)
}
