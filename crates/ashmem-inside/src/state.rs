// SPDX-License-Identifier: MIT OR Apache-2.0
//! A region's state as the kernel keeps it, in the memfd itself.
//!
//! | What | Where |
//! |---|---|
//! | that it is a region | the sticky bit of the inode's mode |
//! | protection mask | the mode's `x` bits: owner READ, group WRITE, others EXEC; and a seal |
//! | size | the file's, with `F_SEAL_GROW`; without, it has none |
//! | that it was mapped | `F_SEAL_SHRINK` as well |
//! | that only the supervisor knows the rest | others may not read it |
//!
//! A mask without WRITE is the seal `F_SEAL_FUTURE_WRITE` as well. Whoever may change the inode's
//! mode can forge all but seals: a program's own user, that is. Nobody's rights follow from these
//! bits but those to mappings that the same user makes.

use ashmem_core::region::{Facts, Prot, State};

/// `S_IFMT` and `S_IFREG`.
const KIND: (u32, u32) = (0o170_000, 0o100_000);
/// `S_ISVTX`: the memfd is a region.
const REGION: u32 = 0o1000;
/// Every user may read and write the file, as with any memfd.
const ACCESS: u32 = 0o666;
/// Whoever sees this bit missing leaves the region's calls to the supervisor.
const COMPLETE: u32 = 0o004;
/// The rights of the mask.
const RIGHTS: [(Prot, u32); 3] = [(Prot::READ, 0o100), (Prot::WRITE, 0o010), (Prot::EXEC, 0o001)];
/// `F_SEAL_GROW`: what is written to it cannot change its size.
pub const SEAL_OF_SIZED: u32 = 0x4;
/// `F_SEAL_SHRINK`: nothing changes its size any more.
pub const SEAL_OF_MAPPED: u32 = 0x2;
/// `F_SEAL_WRITE | F_SEAL_FUTURE_WRITE`.
const SEALS_OF_READ_ONLY: u32 = 0x8 | 0x10;

/// What an inode and its seals say of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelState {
    /// Its size in bytes.
    pub size: u64,
    /// The protection mask.
    pub mask: Prot,
    /// Whether it was ever mapped.
    pub is_mapped: bool,
}

/// A new region's mode.
pub const NEW_MODE: u32 = REGION | ACCESS | 0o111;

/// Whether a mode is that of a region; the caller has compared the file system.
pub const fn is_region(mode: u32) -> bool {
    mode & KIND.0 == KIND.1 && mode & REGION != 0
}

/// Whether the kernel keeps all of a region's state: whether there is no need to ask the
/// supervisor.
pub const fn is_complete(mode: u32) -> bool {
    mode & COMPLETE != 0
}

/// The same mode, of a region that is left to the supervisor.
pub const fn incomplete(mode: u32) -> u32 {
    mode & !COMPLETE & 0o7777
}

/// The mode of a region with this mask.
pub fn mode(mask: Prot, is_complete: bool) -> u32 {
    let access = if is_complete { ACCESS } else { ACCESS & !COMPLETE };
    RIGHTS.iter().fold(
        REGION | access,
        |mode, (right, bit)| {
            if mask.contains(*right) { mode | bit } else { mode }
        },
    )
}

impl KernelState {
    /// Reads a region's state.
    pub fn new(mode: u32, size: u64, seals: u32) -> Self {
        let mask = RIGHTS.iter().fold(Prot::NONE, |mask, (right, bit)| {
            let is_sealed = *right == Prot::WRITE && seals & SEALS_OF_READ_ONLY != 0;
            if mode & bit != 0 && !is_sealed {
                Prot::from_bits(mask.bits() | right.bits())
            } else {
                mask
            }
        });
        let size = if seals & SEAL_OF_SIZED != 0 { size } else { 0 };
        Self { size, mask, is_mapped: seals & SEAL_OF_MAPPED != 0 }
    }

    /// Brings a region's state up to this one, as far as the device's rules lead there: a mask
    /// only loses rights, and after the first mapping size and name stay.
    pub fn apply<Name: AsRef<[u8]>, Id: Copy + Eq>(
        self,
        facts: &Facts,
        state: &mut State<Name, Id>,
    ) {
        let _ = state.set_size(facts, self.size);
        let asked = self.mask.bits() & facts.prot_mask().bits();
        let _ = state.set_prot_mask(facts, asked.into(), false);
        if self.is_mapped {
            state.set_mapped(facts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_says_what_it_was_made_of() {
        assert_eq!(mode(Prot::ALL, true), NEW_MODE);
        for bits in 0..8 {
            for complete in [true, false] {
                let mode = 0o100_000 | mode(Prot::from_bits(bits), complete);
                assert!(is_region(mode) && is_complete(mode) == complete);
                let state = KernelState::new(mode, 5, SEAL_OF_SIZED);
                assert_eq!((state.mask.bits(), state.size, state.is_mapped), (bits, 5, false));
            }
        }
        assert!(!is_region(0o100_777) && !is_region(0o041_777));
    }

    #[test]
    fn a_seal_counts_more_than_a_bit() {
        let state = KernelState::new(NEW_MODE, 0, 0x10 | SEAL_OF_MAPPED);
        assert_eq!((state.mask, state.is_mapped), (Prot::ALL.without(Prot::WRITE), true));
    }

    #[test]
    fn what_is_written_to_a_region_without_a_size_gives_it_none() {
        assert_eq!(KernelState::new(NEW_MODE, 9, 0).size, 0);
    }

    #[test]
    fn a_forged_right_does_not_come_back() {
        let (facts, mut state) = (Facts::new(), State::<&[u8], u32>::new());
        let read = Prot::READ;
        KernelState { size: 1, mask: read, is_mapped: true }.apply(&facts, &mut state);
        KernelState { size: 9, mask: Prot::ALL, is_mapped: false }.apply(&facts, &mut state);
        assert_eq!((facts.size(), facts.prot_mask(), facts.is_mapped()), (1, read, true));
    }
}
