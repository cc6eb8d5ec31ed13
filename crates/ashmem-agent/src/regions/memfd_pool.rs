//! Memories made ahead, while opens come thick and fast.
//!
//! To make a memory and to watch for its end takes longer than the notification itself, and is the same for every open,
//! for none has a name yet. So the keeper makes some ahead, beside the loop that answers. A program that
//! opens the device a few times never has any, and when it falls silent they are let go.

use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use ashmem_core::abi::DEFAULT_NAME;

use crate::regions::memfd;
use crate::sys::lock;
use crate::target::fd_budget::Allowance;

/// Opens since the last silence from which on memories are made ahead.
const BURST: u32 = 8;
/// How many are made ahead at most.
const MOST: usize = 32;
/// With no more than so many left, more are asked for.
const LOW: usize = MOST / 2;

/// A memory that no region has yet, and the watch for its end.
pub(crate) struct Ready {
    pub(crate) memory: OwnedFd,
    pub(crate) inode: u64,
    pub(crate) watch: i32,
    /// For as long as the descriptor is kept.
    _allowance: Allowance,
}

/// The memories that are ready for one table.
pub(crate) struct Reserve {
    /// The table's own, so that their ends are told there.
    inotify: OwnedFd,
    shelf: Mutex<Shelf>,
    /// More are wanted, which nobody has told the keeper yet.
    is_wanted: AtomicBool,
}

#[derive(Default)]
struct Shelf {
    ready: Vec<Ready>,
    /// Opens since the last silence.
    opens: u32,
    /// More were asked for and are not all there. Stays where none can be made: the keeper tries again when it next looks.
    is_asked: bool,
}

impl Reserve {
    pub(crate) fn new(inotify: OwnedFd) -> Self {
        Self { inotify, shelf: Mutex::default(), is_wanted: AtomicBool::new(false) }
    }

    /// One for an open, if there is any.
    pub(crate) fn take(&self) -> Option<Ready> {
        let mut shelf = self.shelf();
        shelf.opens = shelf.opens.saturating_add(1);
        let ready = shelf.ready.pop();
        if shelf.opens >= BURST && shelf.ready.len() <= LOW && !shelf.is_asked {
            shelf.is_asked = true;
            self.is_wanted.store(true, Ordering::Relaxed);
        }
        ready
    }

    /// Whether the keeper must be told to make more; said once.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed) && self.is_wanted.swap(false, Ordering::Relaxed)
    }

    /// Makes what was asked for.
    pub(crate) fn fill(&self) {
        if !self.shelf().is_asked {
            return;
        }
        let wanted = MOST.saturating_sub(self.shelf().ready.len());
        for _ in 0..wanted {
            // Without the lock: the loop takes what is there already.
            let Some(ready) = self.make() else { return };
            self.shelf().ready.push(ready);
        }
        self.shelf().is_asked = false;
    }

    /// Lets go of all.
    pub(crate) fn clear(&self) {
        *self.shelf() = Shelf::default();
    }

    fn make(&self) -> Option<Ready> {
        let allowance = Allowance::take()?;
        let memory = memfd::create(DEFAULT_NAME).ok()?;
        let (inode, watch) = memfd::watch(&self.inotify, &memory).ok()?;
        Some(Ready { memory, inode, watch, _allowance: allowance })
    }

    fn shelf(&self) -> std::sync::MutexGuard<'_, Shelf> {
        lock(&self.shelf)
    }
}

#[cfg(test)]
mod tests {
    use super::{BURST, LOW, MOST, Reserve};
    use crate::regions::region::{Holder, Region};
    use crate::regions::table::Table;
    use rustix::fs::inotify::{self, CreateFlags};

    fn reserve() -> Reserve {
        Reserve::new(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).expect("an inotify instance"))
    }

    #[test]
    fn a_few_opens_have_nothing_made_ahead_and_many_have() {
        let reserve = reserve();
        for _ in 1..BURST {
            assert!(reserve.take().is_none() && !reserve.is_wanted());
        }
        assert!(reserve.take().is_none() && reserve.is_wanted());
        assert!(!reserve.is_wanted(), "said once");
        reserve.fill();
        for left in (0..MOST).rev() {
            assert!(reserve.take().is_some());
            assert_eq!(reserve.is_wanted(), left == LOW, "asked for once, at {LOW}");
        }
        assert!(reserve.take().is_none());
        reserve.fill();
        reserve.clear();
        assert!(reserve.take().is_none() && !reserve.is_wanted(), "after a silence it begins anew");
    }

    #[test]
    fn what_was_made_ahead_lives_as_long_as_its_region_and_no_longer() {
        let mut table = Table::new().expect("a table");
        let reserve = table.make_ahead().expect("a reserve");
        let region = || Region::new(Holder { tid: 0, fd: -1 });
        let admitted = |table: &mut Table| table.admit_ready(None, region).expect("room for a watch");
        while !reserve.is_wanted() {
            assert!(admitted(&mut table).is_none());
        }
        reserve.fill();
        let (memory, key) = admitted(&mut table).expect("one is ready");
        let inode = rustix::fs::fstat(&memory).expect("a memfd").st_ino;
        assert_eq!((table.find(inode), table.len()), (Some(key), 1));
        // The end of a memory that no region ever had is nobody's.
        reserve.clear();
        table.reap();
        assert_eq!(table.len(), 1);
        drop(memory);
        table.reap();
        assert_eq!((table.find(inode), table.len()), (None, 0));
    }
}
