// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the steps of one input work on: descriptors, mappings, and memory to hand to the kernel.
//!
//! The two threads share it without any order between them, for that is what is tried: a descriptor
//! may be closed, and a mapping be gone, while the other thread uses its number.

use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::Relaxed};

use crate::step::PLACES;
use crate::value::PAGE;

/// Bytes of the memory that valid pointers lead to.
pub(crate) const BUFFER: usize = 16 * PAGE as usize;

/// The most processes an input may leave running.
const CHILDREN: usize = 8;

/// A mapping's place: where it begins and how long it is, both 0 for none.
#[derive(Default)]
struct Mapping {
    start: AtomicUsize,
    length: AtomicUsize,
}

/// All that the steps of an input share.
pub(crate) struct World {
    files: [AtomicI32; PLACES],
    maps: [Mapping; PLACES],
    userfault: AtomicI32,
    children: [AtomicI32; CHILDREN],
    /// How many children there were; more than there is room for in a forked process, which has
    /// none.
    forks: AtomicUsize,
    /// Memory below 4 GiB, for 32-bit callers too; what follows it is mapped nowhere.
    buffer: usize,
}

impl World {
    /// An empty one, with its buffer.
    pub(crate) fn new() -> Self {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        #[cfg(target_arch = "x86_64")]
        let flags = flags | libc::MAP_32BIT;
        let whole = BUFFER + PAGE as usize;
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: new memory at an address of the kernel's choice, whose last page loses its
        // rights.
        let buffer = unsafe {
            let start = libc::mmap(std::ptr::null_mut(), whole, rights, flags, -1, 0);
            libc::mprotect(start.byte_add(BUFFER), PAGE as usize, libc::PROT_NONE);
            start as usize
        };
        Self {
            files: std::array::from_fn(|_| AtomicI32::new(-1)),
            maps: Default::default(),
            userfault: AtomicI32::new(-1),
            children: Default::default(),
            forks: AtomicUsize::new(0),
            buffer,
        }
    }

    /// The descriptor at a place, -1 for none.
    pub(crate) fn file(&self, place: usize) -> i32 {
        self.files[place % PLACES].load(Relaxed)
    }

    /// Puts a descriptor at a place and closes what was there. A failed call's -1 changes nothing.
    pub(crate) fn set_file(&self, place: usize, file: i32) {
        if file >= 0 {
            close(self.files[place % PLACES].swap(file, Relaxed));
        }
    }

    /// Closes the descriptor of a place.
    pub(crate) fn close(&self, place: usize) -> i64 {
        close(self.files[place % PLACES].swap(-1, Relaxed))
    }

    /// The mapping at a place: start and length.
    pub(crate) fn map(&self, place: usize) -> (usize, usize) {
        let map = &self.maps[place % PLACES];
        (map.start.load(Relaxed), map.length.load(Relaxed))
    }

    /// Puts a mapping at a place; what was there stays mapped.
    pub(crate) fn set_map(&self, place: usize, start: usize, length: usize) {
        let map = &self.maps[place % PLACES];
        map.start.store(start, Relaxed);
        map.length.store(length, Relaxed);
    }

    /// A part of a mapping: from a page of it, so many pages, ending where it ends at the latest.
    pub(crate) fn part(&self, place: usize, first: u8, pages: u8) -> (usize, usize) {
        let (start, length) = self.map(place);
        let skipped = (usize::from(first % 64) * PAGE as usize).min(length);
        let wanted = match pages {
            0 | 128.. => usize::MAX,
            pages => usize::from(pages) * PAGE as usize,
        };
        (start + skipped, wanted.min(length - skipped))
    }

    /// The userfaultfd, -1 for none.
    pub(crate) fn userfault(&self) -> i32 {
        self.userfault.load(Relaxed)
    }

    /// Puts a userfaultfd into its place and closes the one before it, which releases whatever
    /// waits for it.
    pub(crate) fn set_userfault(&self, file: i32) -> i64 {
        close(self.userfault.swap(file, Relaxed))
    }

    /// Whether the calling process may fork once more.
    pub(crate) fn may_fork(&self) -> bool {
        self.forks.load(Relaxed) < CHILDREN
    }

    /// The calling process is a forked one.
    pub(crate) fn set_forked(&self) {
        self.forks.store(CHILDREN, Relaxed);
    }

    /// Another process that goes on by itself.
    pub(crate) fn add_child(&self, child: libc::pid_t) {
        // The two threads may both pass by `may_fork`; a child too many is the reaper's.
        if let Some(place) = self.children.get(self.forks.fetch_add(1, Relaxed)) {
            place.store(child, Relaxed);
        }
    }

    /// Ends the processes that go on by themselves.
    pub(crate) fn end_children(&self) {
        for child in &self.children {
            let child = child.swap(0, Relaxed);
            if child > 0 {
                // SAFETY: a child of this process, which nobody else waits for.
                unsafe {
                    libc::kill(child, libc::SIGKILL);
                    libc::waitpid(child, std::ptr::null_mut(), 0);
                }
            }
        }
        self.forks.store(0, Relaxed);
    }

    /// Memory to hand to the kernel.
    pub(crate) fn buffer(&self) -> usize {
        self.buffer
    }

    /// An address as a hostile caller gives it: valid for most bytes, else one of the kinds that
    /// are not, or memory of the mapping at `map`.
    pub(crate) fn pointer(&self, byte: u8, map: usize) -> usize {
        let (start, length) = self.map(map);
        match byte {
            0..128 => self.buffer + usize::from(byte) * 8,
            128..160 => self.buffer + BUFFER - usize::from(byte - 128),
            160..192 => start + usize::from(byte - 160) * PAGE as usize / 2,
            192..208 => (start + length).saturating_sub(usize::from(byte - 192)),
            _ => crate::value::pick(
                byte,
                &[
                    0,
                    8,
                    0xfff,
                    0x7fff_ffff_f000,
                    0x8000_0000_0000_0000,
                    0xffff_8880_0000_0000,
                    usize::MAX,
                    usize::MAX - 7,
                ],
            ),
        }
    }
}

fn close(file: i32) -> i64 {
    if file < 0 {
        return -1;
    }
    // SAFETY: every descriptor of a world was made by one of its steps.
    unsafe { libc::close(file) }.into()
}
