// SPDX-License-Identifier: MIT OR Apache-2.0
//! arm64: a site is one instruction in front of a `svc` that means the same elsewhere.
//!
//! A call changes `x0` alone, so a jump has no register to itself: it puts two on the stack, where
//! no program may have anything below the pointer, and takes them back on both ways out.

use ashmem_inside::layout::{ENTRY, WINDOW};

use crate::inside::site::slot::{SLOT, slot};

/// Bytes of a page of jumps: the largest page that kernels have.
pub(crate) const PAGE: u64 = 65536;
/// How far a jump surely leads.
pub(crate) const NEAR: u64 = 100 << 20;
/// The highest address that programs may map.
pub(crate) const HIGHEST: u64 = 0xffff_ffff_0000;
/// An address that no program has memory at.
pub(crate) const NOWHERE: u64 = 0x00ff_ffff_ffff_0000;
/// Bytes in front of a `svc` that are replaced: one instruction.
pub(crate) const PATCHED: usize = 4;
/// A site: what is replaced, and the `svc`.
pub(crate) const SITE: usize = PATCHED + 4;
/// Every instruction is as long: nothing in front of a site has to be looked at.
pub(crate) const FRONT: usize = 0;
/// `svc #0`.
const SVC: u32 = 0xd400_0001;
/// `movz x8, #0` and `movz w8, #0`.
const LOADS: [u32; 2] = [0xd280_0008, 0x5280_0008];
const NOP: u32 = 0xd503_201f;
const BRANCH: u32 = 0x1400_0000;

/// Where the head has what switches all jumps of the page off, and its two values: `nop`, and a
/// branch over what follows. A processor may run the one while the other is written.
pub(crate) const SWITCH: u64 = 0;
pub(crate) const ON: [u8; 4] = NOP.to_le_bytes();
pub(crate) const OFF: [u8; 4] = (BRANCH | 3).to_le_bytes();

/// Whether these bytes in front of a call's return address are a site of this call.
pub(crate) fn is_site(_: &[u8], bytes: &[u8; SITE], number: u32) -> bool {
    let [patched, call] = words(bytes);
    let loads_another = number_in(patched).is_some_and(|loaded| loaded != number);
    call == SVC && is_movable(patched) && !loads_another
}

/// Whether this site loads its own number. If not, it may be that of any call.
pub(crate) fn loads_number(bytes: &[u8; SITE]) -> bool {
    number_in(words(bytes)[0]).is_some()
}

/// The C library waits in open(2) where it can be cancelled, and nothing in front of a site tells
/// whether it does: such sites are left alone.
pub(crate) fn single_thread_flag(_: &[u8], _: u64) -> Option<u64> {
    None
}

fn words(bytes: &[u8; SITE]) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = *bytes;
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

/// The number that an instruction loads for a call.
fn number_in(instruction: u32) -> Option<u32> {
    const NUMBER: u32 = 0xffff << 5;
    LOADS.contains(&(instruction & !NUMBER)).then_some((instruction & NUMBER) >> 5)
}

/// Whether an instruction computes with registers and constants alone: it means the same at another
/// address.
fn is_movable(instruction: u32) -> bool {
    let is_of_constant = instruction >> 26 & 0b111 == 0b100;
    let is_of_address = instruction >> 24 & 0b1_1111 == 0b1_0000;
    let is_of_registers = instruction >> 25 & 0b111 == 0b101;
    is_of_constant && !is_of_address || is_of_registers
}

/// The head of a page: nothing, or a branch over what follows; one to the blob, or one back.
pub(crate) fn head() -> [u8; SLOT] {
    let mut head = [0; SLOT];
    // ldr x17, [pc, #12]; br x17; br x16.
    let code = [NOP, 0x5800_0071, 0xd61f_0220, 0xd61f_0200];
    for (bytes, word) in head.chunks_exact_mut(4).zip(code) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    head[16..24].copy_from_slice(&(WINDOW + ENTRY as u64).to_le_bytes());
    head[24..].copy_from_slice(&1_u64.to_le_bytes());
    head
}

/// One jump: what the site did, then to the page's head with x16 at the way back to the site's
/// `svc`; 8 bytes further is the way behind it.
pub(crate) fn jump(page: u64, index: u64, patched: &[u8; PATCHED], svc: u64) -> Option<[u8; SLOT]> {
    /// `stp x16, x17, [sp, #-48]!` and `ldp x16, x17, [sp], #48`.
    const PUSH: u32 = 0xa9bd_47f0;
    const POP: u32 = 0xa8c3_47f0;
    /// `adr x16, #8`.
    const WAY_BACK: u32 = 0x1000_0050;
    let at = |instruction: u64| slot(page, index) + 4 * instruction;
    let branch = |from, to| jump_to(at(from), to).map(u32::from_le_bytes);
    let code = [
        u32::from_le_bytes(*patched),
        PUSH,
        WAY_BACK,
        branch(3, page)?,
        POP,
        branch(5, svc)?,
        POP,
        branch(7, svc + 4)?,
    ];
    let mut bytes = [0; SLOT];
    for (bytes, word) in bytes.chunks_exact_mut(4).zip(code) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    Some(bytes)
}

/// The branch at `from` that leads to `to`, if it is near enough.
pub(crate) fn jump_to(from: u64, to: u64) -> Option<[u8; PATCHED]> {
    const REACH: i64 = 1 << 25;
    let distance = to.wrapping_sub(from).cast_signed() / 4;
    let is_near = (-REACH..REACH).contains(&distance);
    is_near.then(|| (BRANCH | distance as u32 & 0x03ff_ffff).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(patched: u32, call: u32) -> [u8; SITE] {
        let mut bytes = [0; SITE];
        bytes[..4].copy_from_slice(&patched.to_le_bytes());
        bytes[4..].copy_from_slice(&call.to_le_bytes());
        bytes
    }

    #[test]
    fn what_means_the_same_elsewhere_is_a_site() {
        const IOCTL: u32 = 29;
        for patched in [
            0xd280_03a8, // mov x8, #29
            0x5280_03a8, // mov w8, #29
            0x9340_7c00, // sxtw x0, w0
            0xaa07_03e6, // mov x6, x7
            0x2a01_03e1, // mov w1, w1
            0x9100_83e0, // add x0, sp, #32
        ] {
            assert!(is_site(&[], &site(patched, SVC), IOCTL), "{patched:x}");
            assert!(!is_site(&[], &site(patched, 0xd400_0021), IOCTL), "svc #1");
        }
        for patched in [
            0xd280_0ba8, // mov x8, #93
            0x1000_0040, // adr x0, #8
            0x9000_0000, // adrp x0, #0
            0x1400_0002, // b
            0x5400_0041, // b.ne
            0xb400_0040, // cbz
            0x5800_0040, // ldr x0, [pc, #8]
            0xf940_07e0, // ldr x0, [sp, #8]
            0xd65f_03c0, // ret
            0xd503_233f, // paciasp
            SVC,
        ] {
            assert!(!is_site(&[], &site(patched, SVC), IOCTL), "{patched:x}");
        }
        assert!(loads_number(&site(0xd280_03a8, SVC)) && !loads_number(&site(0xaa07_03e6, SVC)));
    }

    #[test]
    fn jumps_lead_there_and_no_further() {
        assert_eq!(jump_to(0x1000, 0x1008), Some(0x1400_0002_u32.to_le_bytes()));
        assert_eq!(jump_to(0x2000, 0x1ffc), Some(0x17ff_ffff_u32.to_le_bytes()));
        assert_eq!(jump_to(0x1000, 0x1000 + (128 << 20)), None);
        assert_eq!(jump_to(0x0800_1000, 0x1000), Some(0x1600_0000_u32.to_le_bytes()));
        let bytes = jump(0x10_0000, 2, &0xd280_03a8_u32.to_le_bytes(), 0x8_0000).expect("near");
        let word = |index: usize| {
            let bytes = bytes[4 * index..][..4].try_into().expect("four bytes");
            u32::from_le_bytes(bytes)
        };
        let leads_to = |index: usize| {
            let offset = ((word(index) << 6) as i32 >> 6) as i64 * 4;
            (0x10_0040 + 4 * index as i64 + offset) as u64
        };
        assert_eq!([leads_to(3), leads_to(5), leads_to(7)], [0x10_0000, 0x8_0000, 0x8_0004]);
    }
}
