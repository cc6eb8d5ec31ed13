// SPDX-License-Identifier: MIT OR Apache-2.0
//! Call sites that can be patched, and the pages of jumps that they lead to.
//!
//! A site is one instruction in front of the one that makes a call. Only that changes, into a jump.
//! The call stays where it is: a thread that stood between the two goes on as it would have, the
//! kernel restarts interrupted calls there, and what is not answered inside is called from there.

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod slot;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub(super) use aarch64::*;
pub(super) use slot::{COUNT, SLOT, slot};
#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::*;

/// Slots of a page; the first is the head.
pub(super) const SLOTS: u64 = PAGE / SLOT as u64;

/// A place for a page near a site: in the gap nearest below it, or else above, so that a page stays
/// free on both sides. `mappings` are starts and ends, rising.
pub(super) fn place(mappings: &[(u64, u64)], site: u64) -> Option<u64> {
    /// The lowest address that programs may map, and more.
    const LOWEST: u64 = 0x10_0000;
    let ends = std::iter::once(LOWEST).chain(mappings.iter().map(|(_, end)| *end));
    let starts = mappings.iter().map(|(start, _)| *start).chain([HIGHEST]);
    let gaps: Vec<(u64, u64)> =
        ends.zip(starts).filter(|(from, to)| from + 3 * PAGE <= *to).collect();
    let below = gaps.iter().rev().find(|(_, to)| *to <= site).map(|(_, to)| to - 2 * PAGE);
    let above = gaps.iter().find(|(from, _)| *from > site).map(|(from, _)| from + PAGE);
    [below, above].into_iter().flatten().find(|page| page.abs_diff(site) < NEAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_its_place_near_its_site_with_room_around() {
        let mappings = [(0x40_0000, 0x48_0000), (0x7f00_0000_0000, 0x7f00_0010_0000)];
        assert_eq!(place(&mappings, 0x40_1000), Some(0x40_0000 - 2 * PAGE));
        assert_eq!(place(&mappings, 0x7f00_0000_1000), Some(0x7f00_0000_0000 - 2 * PAGE));
        let crowded = [(0x10_0000, 0x20_0000), (0x20_1000, 0x30_0000)];
        assert_eq!(place(&crowded, 0x20_2000), Some(0x30_0000 + PAGE));
        let far = [(0x10_0000, 0x7ff0_0000_0000)];
        assert_eq!(place(&far, 0x3000_0000_0000), None);
    }
}
