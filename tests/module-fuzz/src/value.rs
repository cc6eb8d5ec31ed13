// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an operand's byte stands for: small ordinary values mostly, and the ends of every range.

/// A page of every x86 kernel, and of the arm64 kernels that are tried.
pub(crate) const PAGE: u64 = 4096;

/// Bytes from which on a byte stands for an end of a range.
const ENDS: u8 = 208;

fn end<T: Copy>(byte: u8, ends: &[T]) -> Option<T> {
    byte.checked_sub(ENDS).map(|place| ends[usize::from(place) % ends.len()])
}

/// A size or place of 64 bits, in bytes.
pub(crate) fn wide(byte: u8) -> u64 {
    const EDGES: [u64; 20] = [
        1,
        PAGE - 1,
        PAGE + 1,
        0x20_0000,
        0x40_0000,
        0x40_0000 + PAGE,
        0x8000_0000,
        0xffff_f000,
        0xffff_ffff,
        0x1_0000_0000,
        0x1_0000_1000,
        0x7fff_ffff_ffff_f000,
        0x7fff_ffff_ffff_efff,
        0x7fff_ffff_ffff_ffff,
        0x8000_0000_0000_0000,
        0xffff_ffff_ffff_f000,
        0xffff_ffff_ffff_f001,
        0xffff_ffff_ffff_ffff,
        0x7fff_ffff,
        0x100_0000_0000,
    ];
    end(byte, &EDGES).unwrap_or(u64::from(byte % 64) * PAGE)
}

/// An offset or a length of 32 bits, as PIN and its like take them.
pub(crate) fn narrow(byte: u8) -> u32 {
    const EDGES: [u32; 8] =
        [1, 4095, 0x7fff_f000, 0x8000_0000, 0xffff_e000, 0xffff_f000, 0xffff_ffff, 0x20_0000];
    end(byte, &EDGES).unwrap_or(u32::from(byte % 64) * PAGE as u32)
}

/// A length of memory that may be touched page by page.
pub(crate) fn length(byte: u8) -> usize {
    const EDGES: [usize; 4] = [0x20_0000, 0x40_0000, 0x60_0000, 0];
    end(byte, &EDGES).unwrap_or((usize::from(byte % 64) + 1) * PAGE as usize)
}

/// One of these.
pub(crate) fn pick<T: Copy>(byte: u8, from: &[T]) -> T {
    from[usize::from(byte) % from.len()]
}

/// PROT_READ, PROT_WRITE and PROT_EXEC, in any mixture; full rights most often.
pub(crate) fn protection(byte: u8) -> i32 {
    if byte < 128 { libc::PROT_READ | libc::PROT_WRITE } else { i32::from(byte & 7) }
}
