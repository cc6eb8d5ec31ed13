// SPDX-License-Identifier: MIT OR Apache-2.0
//! One region: its state, which ashmem-core defines, and where its memory was last seen.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use ashmem_core::abi::NAME_LEN;
use ashmem_core::region::{Facts, Refusal, State};
use rustix::io::Errno;

use crate::ids::Key;
use crate::regions::arena::Arena;
use crate::target_thread::fd_budget::FdBudget;
use ashmem_trace_wire::record;

/// A name without its NUL, 1 to 255 bytes.
pub type RegionName = Box<[u8]>;

/// A region's state. Its memory belongs to its clients (see [`crate::regions::memfd`]).
pub struct EmulatedRegion {
    /// Size, mask, and whether it was ever mapped.
    pub facts: Facts,
    /// Name and unpinned ranges.
    pub state: State<RegionName, u32>,
    /// The inode that mappings show.
    pub inode: u64,
    /// Inodes that belong to the region: more than one after a name was set while several
    /// descriptors were open.
    pub memories: u32,
    /// The last caller: the first place to look for a descriptor when the agent needs one.
    pub last_caller: LastCaller,
    /// The memory that mappings show, while clients hold an older one of the region.
    pub(crate) kept: Option<KeptMemory>,
    /// A newer memory is on its way to the descriptor of whoever asked for it.
    pub(crate) is_moving: bool,
    /// Pages of it are being taken away, without the table's lock: until that is over, its ranges
    /// do not change, and no first mapping is granted.
    pub is_losing_pages: bool,
}

/// A region's memory that is kept: those who have mapped it may have closed their descriptors, and
/// nobody could bring it to those who hold an older one then.
pub(crate) struct KeptMemory {
    inode: u64,
    memory: OwnedFd,
    _budget: FdBudget,
}

impl KeptMemory {
    /// A copy of this memory; `None` where descriptors are few.
    pub(crate) fn of(inode: u64, memory: BorrowedFd<'_>) -> Option<Self> {
        let budget = FdBudget::take()?;
        Some(Self { inode, memory: memory.try_clone_to_owned().ok()?, _budget: budget })
    }
}

/// The thread and the descriptor of the last call about a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastCaller {
    /// A thread of the client.
    pub tid: i32,
    /// The number.
    pub fd: RawFd,
}

impl EmulatedRegion {
    /// A new one: no name, no size, every right (OPEN-01).
    pub fn new(last_caller: LastCaller) -> Self {
        Self {
            facts: Facts::new(),
            state: State::new(),
            inode: 0,
            memories: 0,
            last_caller,
            kept: None,
            is_moving: false,
            is_losing_pages: false,
        }
    }

    /// The memory that mappings show, if it is kept.
    pub(crate) fn kept_memory(&self) -> Option<BorrowedFd<'_>> {
        let kept = self.kept.as_ref().filter(|kept| kept.inode == self.inode)?;
        Some(kept.memory.as_fd())
    }

    /// The region as tracers see it.
    pub(crate) fn traced(&self, key: Key) -> record::RegionInfo {
        let name = self.state.given().map_or_else(Vec::new, |name| name.to_vec());
        record::RegionInfo { key: Some(key), inode: self.inode, name, size: self.facts.size() }
    }

    /// Runs PIN or UNPIN, which may need a spare range.
    ///
    /// # Errors
    /// Those of the request; ENOMEM.
    pub fn with_spare(
        &mut self,
        arena: &mut Arena,
        key: Key,
        mut run: impl FnMut(&mut Self, &Arena, &mut Option<u32>) -> Result<i64, Refusal>,
    ) -> Result<i64, Errno> {
        use ashmem_core::store::Store;
        let mut spare = None;
        loop {
            match run(self, arena, &mut spare) {
                Err(Refusal::NeedSpare) => spare = Some(arena.spare(key).ok_or(Errno::NOMEM)?),
                other => {
                    if let Some(unused) = spare {
                        arena.free(unused);
                    }
                    return other.map_err(|refusal| match refusal {
                        Refusal::Errno(errno) => host(errno),
                        Refusal::NeedSpare => Errno::NOMEM,
                    });
                }
            }
        }
    }
}

/// The name that SET_NAME stores: cut to what fits, `None` if it is empty (NAME-04, NAME-10).
pub fn stored_name(mut string: Vec<u8>) -> Option<RegionName> {
    string.truncate(NAME_LEN - 1);
    (!string.is_empty()).then(|| string.into_boxed_slice())
}

/// The device's error number as the system's.
pub fn host(errno: ashmem_core::Errno) -> Errno {
    Errno::from_raw_os_error(errno as i32)
}
