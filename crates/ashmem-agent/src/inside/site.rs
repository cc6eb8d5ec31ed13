// SPDX-License-Identifier: MIT OR Apache-2.0
//! Call sites that can be patched, and the pages of jumps that they lead to.
//!
//! A site is five bytes in front of a `syscall` instruction that are one instruction of their own.
//! Only these five change, into a jump. The `syscall` stays where it is: a thread that stood
//! between the two goes on as it would have, the kernel restarts interrupted calls there, and what
//! is not answered inside is called from there.

use ashmem_inside::layout::{ENTRY, WINDOW};

/// Bytes of a page of jumps.
pub(super) const PAGE: u64 = 4096;
/// Bytes in front of a `syscall` that are replaced.
pub(super) const PATCHED: usize = 5;
/// A site: what is replaced, and the `syscall`.
pub(super) const SITE: usize = PATCHED + 2;
const SYSCALL: [u8; 2] = [0x0f, 0x05];
/// `mov r9, [rsp + 8]`: how the C library's syscall() ends.
const LOAD_SIXTH: [u8; PATCHED] = [0x4c, 0x8b, 0x4c, 0x24, 0x08];
/// `mov eax, imm32`.
const MOV_EAX: u8 = 0xb8;
const JUMP: u8 = 0xe9;

/// Bytes of one jump, and of what stands before the first.
const SLOT: usize = 32;
/// Slots of a page; the first is the head.
pub(super) const SLOTS: u64 = PAGE / SLOT as u64;
/// Where the head has the byte that switches all jumps of the page off, and its two values.
pub(super) const SWITCH: u64 = 1;
pub(super) const ON: u8 = 0;
pub(super) const OFF: u8 = 6;
/// Where the head counts the page's slots in use, itself among them.
pub(super) const COUNT: u64 = 24;

/// Whether these bytes in front of a call's return address are a site of this call.
pub(super) fn is_site(bytes: &[u8; SITE], number: u32) -> bool {
    let (patched, syscall) = bytes.split_at(PATCHED);
    let loads_number = patched[0] == MOV_EAX && patched[1..] == number.to_le_bytes();
    syscall == SYSCALL && (loads_number || patched == LOAD_SIXTH)
}

/// The head of a page: a jump over nothing, then one to the blob, or one back to the site.
pub(super) fn head() -> [u8; SLOT] {
    let mut head = [0; SLOT];
    // jmp +0, or over what follows; jmp [rip + 8]; jmp rcx.
    head[..10].copy_from_slice(&[0xeb, ON, 0xff, 0x25, 8, 0, 0, 0, 0xff, 0xe1]);
    head[16..24].copy_from_slice(&(WINDOW + ENTRY as u64).to_le_bytes());
    head[24..].copy_from_slice(&1_u64.to_le_bytes());
    head
}

/// The address of a page's slot.
pub(super) fn slot(page: u64, index: u64) -> u64 {
    page + index * SLOT as u64
}

/// One jump: what the site did, then to the page's head with the site's `syscall` in rcx.
pub(super) fn jump(
    page: u64,
    index: u64,
    patched: &[u8; PATCHED],
    syscall: u64,
) -> Option<[u8; SLOT]> {
    let mut bytes = [0xcc; SLOT];
    bytes[..PATCHED].copy_from_slice(patched);
    bytes[5..7].copy_from_slice(&[0x48, 0xb9]);
    bytes[7..15].copy_from_slice(&syscall.to_le_bytes());
    bytes[15..20].copy_from_slice(&jump_to(slot(page, index) + 15, page)?);
    Some(bytes)
}

/// The jump at `from` that leads to `to`, if it is near enough.
pub(super) fn jump_to(from: u64, to: u64) -> Option<[u8; PATCHED]> {
    let distance = i128::from(to) - i128::from(from) - PATCHED as i128;
    let distance = i32::try_from(distance).ok()?;
    let mut bytes = [JUMP, 0, 0, 0, 0];
    bytes[1..].copy_from_slice(&distance.to_le_bytes());
    Some(bytes)
}

/// A place for a page near a site: in the gap nearest below it, or else above, so that a page stays
/// free on both sides. `mappings` are starts and ends, rising.
pub(super) fn place(mappings: &[(u64, u64)], site: u64) -> Option<u64> {
    /// How far a jump surely leads.
    const NEAR: u64 = 1 << 30;
    /// The lowest address that programs may map, and more.
    const LOWEST: u64 = 0x10_0000;
    /// The highest.
    const HIGHEST: u64 = 0x7fff_ffff_0000;
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
    fn only_the_two_known_forms_are_sites() {
        assert!(is_site(&[0xb8, 16, 0, 0, 0, 0x0f, 0x05], 16));
        assert!(is_site(&[0xb8, 1, 1, 0, 0, 0x0f, 0x05], 257));
        assert!(is_site(&[0x4c, 0x8b, 0x4c, 0x24, 0x08, 0x0f, 0x05], 9));
        for other in [
            [0xb8, 16, 0, 0, 0, 0x0f, 0x34],
            [0xb8, 17, 0, 0, 0, 0x0f, 0x05],
            [0xb9, 16, 0, 0, 0, 0x0f, 0x05],
            [0xe9, 16, 0, 0, 0, 0x0f, 0x05],
            [0x4c, 0x8b, 0x4c, 0x24, 0x10, 0x0f, 0x05],
        ] {
            assert!(!is_site(&other, 16), "{other:x?}");
        }
    }

    #[test]
    fn jumps_lead_there_and_no_further() {
        assert_eq!(jump_to(0x1000, 0x1005), Some([0xe9, 0, 0, 0, 0]));
        assert_eq!(jump_to(0x2000, 0x1000), Some([0xe9, 0xfb, 0xef, 0xff, 0xff]));
        assert_eq!(jump_to(0x1000, 0x1000 + (1 << 31)), jump_to(0x1000, 0x8000_1000));
        assert_eq!(jump_to(0x1000, 0x1_0000_0000), None);
        let bytes = jump(0x5000, 2, &LOAD_SIXTH, 0x1122_3344).expect("it is near");
        assert_eq!(bytes[..5], LOAD_SIXTH);
        assert_eq!(bytes[7..15], 0x1122_3344_u64.to_le_bytes());
        let back = i32::from_le_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]);
        assert_eq!(0x5040 + 20 + i64::from(back), 0x5000);
    }

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
