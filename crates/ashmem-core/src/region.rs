// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
//! One region: its name, size and protection mask, whether it is mapped, and every request's checks
//! in the reference's order.
//!
//! A region is two parts. [`Facts`] may be read by anyone at any time: GET_SIZE and GET_PROT_MASK
//! take no lock (SIZE-05, PROT-01). [`State`] is what the region's lock guards; its verbs are the
//! requests, and to hold a `&mut State` is to hold the lock. Facts change only through them.
//!
//! *Mapped* means that the backing file exists; it stays so for the region's life, even after
//! munmap (MMAP-10).

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::Errno;
use crate::abi::{self, Pin};
use crate::lru::Share;
use crate::pins::{NeedSpare, Pins};
use crate::range::Span;
use crate::store::{PageSize, Store};

/// Rights to a mapping, with the values of `PROT_READ`, `PROT_WRITE` and `PROT_EXEC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prot(u32);

impl Prot {
    /// PROT_NONE.
    pub const NONE: Self = Self(0);
    /// PROT_READ.
    pub const READ: Self = Self(1);
    /// PROT_WRITE.
    pub const WRITE: Self = Self(2);
    /// PROT_EXEC.
    pub const EXEC: Self = Self(4);
    /// Every right: a new region's mask (PROT-01).
    pub const ALL: Self = Self(7);

    /// The rights among `bits`; other bits are dropped.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// As the bits of `PROT_*`.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether every right of `other` is among these.
    pub const fn contains(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// These rights without those of `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// What may be read of a region without its lock.
pub struct Facts {
    size: AtomicU64,
    mask: AtomicU32,
    mapped: AtomicBool,
    share: Share,
}

impl Facts {
    /// A new region's: no size, every right, not mapped (OPEN-01).
    pub const fn new() -> Self {
        Self {
            size: AtomicU64::new(0),
            mask: AtomicU32::new(Prot::ALL.0),
            mapped: AtomicBool::new(false),
            share: Share::new(),
        }
    }

    /// The size in bytes as it was set, not rounded (SIZE-04).
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// The protection mask.
    pub fn prot_mask(&self) -> Prot {
        Prot(self.mask.load(Ordering::Relaxed))
    }

    /// Whether the backing file exists. Acquires, so that a reader of `true` also sees the file
    /// that the shell stored.
    pub fn is_mapped(&self) -> bool {
        self.mapped.load(Ordering::Acquire)
    }

    /// The region's share of the purge order.
    pub fn share(&self) -> &Share {
        &self.share
    }

    /// What read(2) shall do (READ-01, READ-02).
    ///
    /// # Errors
    /// EBADF with a size and no backing file.
    pub fn read(&self) -> Result<Read, Errno> {
        match (self.size(), self.is_mapped()) {
            (0, _) => Ok(Read::EndOfFile),
            (_, false) => Err(Errno::BadF),
            (_, true) => Ok(Read::Backing),
        }
    }

    /// Whether lseek(2) may go on to the backing file (SEEK-01, SEEK-02).
    ///
    /// # Errors
    /// EINVAL without a size, EBADF without a backing file.
    pub fn seek(&self) -> Result<(), Errno> {
        match (self.size(), self.is_mapped()) {
            (0, _) => Err(Errno::Inval),
            (_, false) => Err(Errno::BadF),
            (_, true) => Ok(()),
        }
    }

    /// Whether the backing file may be asked for its inode number (FID-01).
    ///
    /// # Errors
    /// EINVAL without a backing file.
    pub fn file_id(&self) -> Result<(), Errno> {
        if self.is_mapped() { Ok(()) } else { Err(Errno::Inval) }
    }

    /// The pages that `pin` names, once it has passed the reference's checks (section 8, steps 4 to
    /// 9); `None` for an interval without a page.
    ///
    /// Two departures from the reference: an empty interval is no range (BUG-11), and a length of 0
    /// reaches to the end of regions of 4 GiB and more too (BUG-12).
    ///
    /// # Errors
    /// EINVAL: not mapped, not page aligned, beyond the end, or beyond 32 bits.
    pub fn interval(&self, page: PageSize, pin: Pin) -> Result<Option<Span>, Errno> {
        if !self.is_mapped() {
            return Err(Errno::Inval);
        }
        let end = page.align(self.size());
        let offset = u64::from(pin.offset);
        let len = match u64::from(pin.len) {
            0 => end.checked_sub(offset).ok_or(Errno::Inval)?,
            len if u64::from(u32::MAX).wrapping_sub(offset) < len => return Err(Errno::Inval),
            len => len,
        };
        let limit = offset.checked_add(len).ok_or(Errno::Inval)?;
        if page.offset_in(offset | len) != 0 || end < limit {
            return Err(Errno::Inval);
        }
        if len == 0 {
            return Ok(None);
        }
        Span::new(page.number(offset), page.number(limit.wrapping_sub(1)))
            .map(Some)
            .ok_or(Errno::Inval)
    }
}

impl Default for Facts {
    fn default() -> Self {
        Self::new()
    }
}

/// What read(2) shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// Return 0.
    EndOfFile,
    /// Read the backing file at the descriptor's position.
    Backing,
}

/// A mapping that the device allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Rights that the mapping must never get: take VM_MAYREAD, VM_MAYWRITE, VM_MAYEXEC away
    /// (MMAP-08).
    pub withheld: Prot,
    /// The backing file does not exist yet: create it, full size, then call [`State::set_mapped`].
    pub creates_backing: bool,
}

/// Why a pin request did not go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The answer to the caller.
    Errno(Errno),
    /// Allocate a spare range outside the lock and come again.
    NeedSpare,
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<NeedSpare> for Refusal {
    fn from(NeedSpare: NeedSpare) -> Self {
        Self::NeedSpare
    }
}

/// What a region's lock guards. `Name` is the shell's own buffer, without a NUL, 1 to 255 bytes.
pub struct State<Name, Id> {
    name: Option<Name>,
    pins: Pins<Id>,
}

impl<Name: AsRef<[u8]>, Id: Copy + Eq> State<Name, Id> {
    /// A new region's: no name, nothing unpinned.
    pub const fn new() -> Self {
        Self { name: None, pins: Pins::new() }
    }

    /// The name as GET_NAME returns it, without NUL (NAME-01, NAME-02).
    pub fn name(&self) -> &[u8] {
        self.given().map_or(abi::DEFAULT_NAME, AsRef::as_ref)
    }

    /// The name that was set, if one was.
    pub fn given(&self) -> Option<&Name> {
        self.name.as_ref()
    }

    /// SET_NAME; `None` is the empty string, which unsets (NAME-10). Afterwards `name` holds what
    /// the caller has to drop outside the lock: the old name, or the new one if it was refused.
    ///
    /// # Errors
    /// EINVAL once mapped (NAME-07).
    pub fn set_name(&mut self, facts: &Facts, name: &mut Option<Name>) -> Result<(), Errno> {
        if facts.is_mapped() {
            return Err(Errno::Inval);
        }
        core::mem::swap(&mut self.name, name);
        Ok(())
    }

    /// SET_SIZE, in bytes; any value will do until the region is mapped (SIZE-02).
    ///
    /// # Errors
    /// EINVAL once mapped (SIZE-03). Test and store are one under the lock (BUG-01,
    /// CVE-2017-13216).
    pub fn set_size(&mut self, facts: &Facts, size: u64) -> Result<(), Errno> {
        if facts.is_mapped() {
            return Err(Errno::Inval);
        }
        facts.size.store(size, Ordering::Relaxed);
        Ok(())
    }

    /// SET_PROT_MASK: rights can only be given up (PROT-03). Answers the mask now in force.
    ///
    /// Under READ_IMPLIES_EXEC a mask with READ gets EXEC as well, after the check, so that a right
    /// given up comes back: the reference does so too (PROT-07, BUG-19).
    ///
    /// # Errors
    /// EINVAL for a bit that the mask has not.
    pub fn set_prot_mask(
        &mut self,
        facts: &Facts,
        mask: u64,
        read_implies_exec: bool,
    ) -> Result<Prot, Errno> {
        if mask & !u64::from(facts.prot_mask().bits()) != 0 {
            return Err(Errno::Inval);
        }
        let mut mask = Prot::from_bits(mask as u32);
        if read_implies_exec && mask.contains(Prot::READ) {
            mask = Prot(mask.0 | Prot::EXEC.0);
        }
        facts.mask.store(mask.0, Ordering::Relaxed);
        Ok(mask)
    }

    /// mmap of `len` bytes, a multiple of the page size, with `prot` as the kernel is about to
    /// grant it (MMAP-02 to MMAP-08). The offset is not looked at (MMAP-16).
    ///
    /// # Errors
    /// EINVAL: no size, or longer than the region (MMAP-02, MMAP-03). EPERM: beyond the mask
    /// (MMAP-05).
    pub fn map(
        &self,
        facts: &Facts,
        page: PageSize,
        len: u64,
        prot: Prot,
    ) -> Result<Mapping, Errno> {
        let size = facts.size();
        if size == 0 || len > page.align(size) {
            return Err(Errno::Inval);
        }
        let mask = facts.prot_mask();
        if !mask.contains(prot) {
            return Err(Errno::Perm);
        }
        Ok(Mapping { withheld: Prot::ALL.without(mask), creates_backing: !facts.is_mapped() })
    }

    /// The backing file exists and the shell has stored it: name and size are frozen from here on.
    pub fn set_mapped(&mut self, facts: &Facts) {
        facts.mapped.store(true, Ordering::Release);
    }

    /// PIN: [`abi::NOT_PURGED`] or [`abi::WAS_PURGED`].
    ///
    /// # Errors
    /// Those of [`Facts::interval`]; [`Refusal::NeedSpare`] if a range must be split.
    pub fn pin<S: Store<Id = Id>>(
        &mut self,
        facts: &Facts,
        store: &S,
        pin: Pin,
        spare: &mut Option<Id>,
    ) -> Result<i64, Refusal> {
        let Some(span) = facts.interval(store.page_size(), pin)? else {
            return Ok(abi::NOT_PURGED);
        };
        Ok(self.pins.pin(store, facts.share(), span, spare, usize::MAX)?.pinned.answer())
    }

    /// UNPIN: 0, whatever was unpinned before (PIN-10).
    ///
    /// # Errors
    /// Those of [`Facts::interval`]; [`Refusal::NeedSpare`] if nothing unpinned overlaps.
    pub fn unpin<S: Store<Id = Id>>(
        &mut self,
        facts: &Facts,
        store: &S,
        pin: Pin,
        spare: &mut Option<Id>,
    ) -> Result<i64, Refusal> {
        if let Some(span) = facts.interval(store.page_size(), pin)? {
            self.pins.unpin(store, facts.share(), span, spare, usize::MAX)?;
        }
        Ok(0)
    }

    /// GET_PIN_STATUS: [`abi::IS_PINNED`] or [`abi::IS_UNPINNED`].
    ///
    /// # Errors
    /// Those of [`Facts::interval`].
    pub fn pin_status<S: Store<Id = Id>>(
        &self,
        facts: &Facts,
        store: &S,
        pin: Pin,
    ) -> Result<i64, Errno> {
        Ok(match facts.interval(store.page_size(), pin)? {
            Some(span) if !self.pins.all_pinned(store, span) => abi::IS_UNPINNED,
            _ => abi::IS_PINNED,
        })
    }

    /// The unpinned ranges.
    pub fn pins(&mut self) -> &mut Pins<Id> {
        &mut self.pins
    }
}

impl<Name: AsRef<[u8]>, Id: Copy + Eq> Default for State<Name, Id> {
    fn default() -> Self {
        Self::new()
    }
}
