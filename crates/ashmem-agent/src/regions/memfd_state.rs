// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state of a region as its memfd holds it, where programs answer calls themselves.
//!
//! Then a program may have changed it since the last request, and made regions that no request was
//! about. So it is read with every request, and written with every change. It is believed as far as
//! the program's own user could have done the same through the device: a mask that lost a right
//! does not get it back.

use std::os::fd::AsFd;

use ashmem_core::abi::NAME_PREFIX;
use ashmem_core::region::Prot;
use ashmem_inside::state::{self, KernelState};
use rustix::fs::Mode;
use rustix::io::Result;

use crate::regions::memfd;
use crate::regions::region::{EmulatedRegion, LastCaller, stored_name};
use crate::target_thread::FileStatus;

/// What a memfd says of its region.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemfdState {
    state: KernelState,
    /// Whether it says all; if not, the table knows the size.
    is_complete: bool,
}

/// Whether a program has made this memfd a region.
pub(crate) fn is_region(file: &FileStatus) -> bool {
    memfd::keeps_state() && state::is_region(file.mode)
}

impl MemfdState {
    /// F_GET_SEALS: reads it; `None` where memfds hold no state, or for one that is no region.
    pub(crate) fn read(memory: impl AsFd, file: &FileStatus) -> Option<Self> {
        if !is_region(file) {
            return None;
        }
        let seals = rustix::fs::fcntl_get_seals(memory).ok()?;
        let state = KernelState::new(file.mode, file.size, seals.bits());
        Some(Self { state, is_complete: state::is_complete(file.mode) })
    }

    /// The region that a program has made itself.
    pub(crate) fn region(self, memory: impl AsFd, last_caller: LastCaller) -> EmulatedRegion {
        let mut region = EmulatedRegion::new(last_caller);
        let shown = memfd::name(memory).unwrap_or_default();
        let mut name = stored_name(shown.strip_prefix(NAME_PREFIX).unwrap_or_default().to_vec());
        // A new region takes any name.
        let _ = region.state.set_name(&region.facts, &mut name);
        self.refresh(&mut region);
        region
    }

    /// Brings a region up to what programs have changed themselves.
    pub(crate) fn refresh(mut self, region: &mut EmulatedRegion) {
        // A mapped one's is the file's whatever the mode says.
        if !self.is_complete && !self.state.is_mapped {
            self.state.size = region.facts.size();
        }
        self.state.apply(&region.facts, &mut region.state);
    }
}

/// fchmod(2): has programs leave the region of this memfd to the supervisor until
/// [`Stored::write`].
///
/// # Errors
/// EPERM: another user made the memfd.
pub(crate) fn withdraw(memory: impl AsFd) -> Result<()> {
    let mode = rustix::fs::fstat(&memory)?.st_mode;
    rustix::fs::fchmod(memory, Mode::from_bits_retain(state::incomplete(mode)))
}

/// What a request may change of a region, and a memfd holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    size: u64,
    mask: Prot,
}

impl Stored {
    pub(crate) fn of(region: &EmulatedRegion) -> Self {
        Self { size: region.facts.size(), mask: region.facts.prot_mask() }
    }

    /// fchmod(2): writes the mask, and has programs leave the region to the supervisor until
    /// [`Self::write`].
    ///
    /// # Errors
    /// EPERM: another user made the memfd.
    pub(crate) fn withhold(self, memory: impl AsFd) -> Result<()> {
        rustix::fs::fchmod(memory, Mode::from_bits_retain(state::mode(self.mask, false)))
    }

    /// fchmod(2): writes the mask, and whether the memfd has the region's size: any size is allowed
    /// until the first mapping, though no file can be so long.
    pub(crate) fn write(self, memory: impl AsFd) {
        let written = FileStatus::of(&memory).and_then(|file| {
            let seals = rustix::fs::fcntl_get_seals(&memory)?;
            let held = KernelState::new(file.mode, file.size, seals.bits()).size;
            let mode = state::mode(self.mask, held == self.size);
            rustix::fs::fchmod(memory, Mode::from_bits_retain(mode))
        });
        if let Err(error) = written {
            tracing::debug!(%error, "a region's state is not in its memfd");
        }
    }
}
