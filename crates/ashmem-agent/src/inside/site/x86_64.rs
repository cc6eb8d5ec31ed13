// SPDX-License-Identifier: MIT OR Apache-2.0
//! x86-64: a site is five bytes in front of a `syscall` that are one instruction of their own.

use ashmem_inside::layout::{ENTRY, WINDOW};

use crate::inside::site::slot::{SLOT, slot};

/// Bytes of a page of jumps.
pub(crate) const PAGE: u64 = 4096;
/// How far a jump surely leads.
pub(crate) const NEAR: u64 = 1 << 30;
/// The highest address that programs may map.
pub(crate) const HIGHEST: u64 = 0x7fff_ffff_0000;
/// An address that no program has memory at.
pub(crate) const NOWHERE: u64 = 0x7fff_ffff_f000;
/// Bytes in front of a `syscall` that are replaced.
pub(crate) const PATCHED: usize = 5;
/// A site: what is replaced, and the `syscall`.
pub(crate) const SITE: usize = PATCHED + 2;
const SYSCALL: [u8; 2] = [0x0f, 0x05];
/// Bytes in front of a site that are looked at.
pub(crate) const FRONT: usize = 32;
/// `mov r9, [rsp + 8]`: how the C library's syscall() ends.
const LOAD_SIXTH: [u8; PATCHED] = [0x4c, 0x8b, 0x4c, 0x24, 0x08];
/// What that function does before: `mov rax, rdi` and the like, for five registers more.
const SHIFT_ARGUMENTS: [u8; 18] = [
    0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xd6, 0x48, 0x89, 0xca, 0x4d, 0x89, 0xc2, 0x4d,
    0x89, 0xc8,
];
/// `mov eax, imm32`.
const MOV_EAX: u8 = 0xb8;
const JUMP: u8 = 0xe9;

/// Where the head has what switches all jumps of the page off, and its two values.
pub(crate) const SWITCH: u64 = 1;
pub(crate) const ON: [u8; 1] = [0];
pub(crate) const OFF: [u8; 1] = [6];

/// Whether these bytes in front of a call's return address, with those in front of them, are a site
/// of this call: whether the five that are replaced are one instruction, and not a longer one's
/// end.
pub(crate) fn is_site(front: &[u8], bytes: &[u8; SITE], number: u32) -> bool {
    let (patched, syscall) = bytes.split_at(PATCHED);
    let loads_number = patched[0] == MOV_EAX && patched[1..] == number.to_le_bytes();
    syscall == SYSCALL
        && (loads_number && !may_be_longer(front)
            || patched == LOAD_SIXTH && front.ends_with(&SHIFT_ARGUMENTS))
}

/// Whether this site loads its own number. If not, it is that of syscall(2), where no call can be
/// cancelled.
pub(crate) fn loads_number(bytes: &[u8; SITE]) -> bool {
    bytes[0] == MOV_EAX
}

/// Whether an instruction that begins in these bytes could have `b8 imm32` as its end. A thread was
/// seen behind the `syscall`, so one instruction ends in front of it; where the one before that
/// ends is not known. Where it is in doubt, the answer is yes.
fn may_be_longer(front: &[u8]) -> bool {
    let Some(front) = front.last_chunk::<10>() else { return true };
    // Counted from the end: at(1) is the byte in front of `b8`.
    let at = |back: usize| front[front.len() - back];
    // mov, test, and arithmetic that end with an immediate of 32 bits.
    let has_immediate = |opcode: u8| matches!(opcode, 0xc7 | 0x81 | 0x69 | 0xf7);
    let mode = |modrm: u8| modrm >> 6;
    let has_sib = |modrm: u8| modrm & 7 == 4;
    // A prefix, or the escape to a longer opcode: with REX this is `mov r8d`, with 66 another
    // length.
    let is_prefix = matches!(
        at(1),
        0x0f | 0x40..=0x4f | 0x26 | 0x2e | 0x36 | 0x3e | 0x62 | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3
    );
    // `b8` as an operand byte with a displacement of 32 bits behind it: `8b b8 disp32`. Its opcode
    // may be the displacement of an access to the stack as well: `89 44 24 10`, after which no
    // instruction of another length ends.
    let is_opcode = matches!(at(1),
        0x00..=0x3f if at(1) & 7 < 4)
        || matches!(at(1), 0x63 | 0x69 | 0x6b | 0x80..=0x8f | 0xc4 | 0xc5 | 0xc7 | 0xd0..=0xd3)
        || matches!(at(1), 0xd8..=0xdf | 0xf6 | 0xf7);
    let is_of_stack = matches!(at(4), 0x89 | 0x8b | 0x8d) && at(3) & 0xc7 == 0x44 && at(2) == 0x24;
    let is_operand = is_opcode && !is_of_stack
        // With two or three bytes of opcode, and of VEX and EVEX.
        || at(2) == 0x0f
        || at(3) == 0x0f && matches!(at(2), 0x38 | 0x3a)
        || at(3) == 0xc5
        || at(4) == 0xc4
        || at(5) == 0x62;
    // `b8` as an index byte with a displacement of 32 bits behind it.
    let is_index = mode(at(1)) == 2 && has_sib(at(1)) && !is_of_stack;
    // `b8` as an index byte, or the end of a displacement, with an immediate behind it.
    let is_short = has_immediate(at(2))
        && (mode(at(1)) == 1 && !has_sib(at(1)) || mode(at(1)) == 0 && has_sib(at(1)))
        || has_immediate(at(3)) && mode(at(2)) == 1 && has_sib(at(2));
    let is_long = has_immediate(at(5))
        && (mode(at(4)) == 2 && !has_sib(at(4)) || mode(at(4)) == 0 && at(4) & 7 == 5)
        || has_immediate(at(6))
            && has_sib(at(5))
            && (mode(at(5)) == 2 || mode(at(5)) == 0 && at(4) & 7 == 5);
    // `b8` in the middle of 64 bits: movabs.
    let is_wide = matches!(at(5), 0x48..=0x4f) && matches!(at(4), 0xb8..=0xbf)
        || matches!(at(4), 0xa0..=0xa3);
    is_prefix || is_operand || is_index || is_short || is_long || is_wide
}

/// Where the C library has the byte that is not 0 while a process has one thread, if this site of
/// open(2) is behind a jump that only such a process does not take: `cmp byte [rip + disp32], 0`,
/// `je`. The library's other site is that of threads, where a call can be cancelled: what does that
/// unwinds from wherever the thread is, and finds no way out of code that belongs to no file.
pub(crate) fn single_thread_flag(front: &[u8], from: u64) -> Option<u64> {
    /// Bytes of the two.
    const TEST: usize = 9;
    let start = from - front.len() as u64;
    front.windows(TEST).enumerate().rev().find_map(|(index, test)| {
        let [0x80, 0x3d, a, b, c, d, 0, 0x74, over] = *test else { return None };
        let rest = front.len() - index - TEST + SITE;
        let leads_past = usize::from(over) >= rest && over < 0x80;
        let distance = i64::from(i32::from_le_bytes([a, b, c, d]));
        let next = start + index as u64 + 7;
        leads_past.then(|| next.wrapping_add_signed(distance))
    })
}

/// The head of a page: a jump over nothing, then one to the blob, or one back to the site.
pub(crate) fn head() -> [u8; SLOT] {
    let mut head = [0; SLOT];
    // jmp +0, or over what follows; jmp [rip + 8]; jmp rcx.
    head[..10].copy_from_slice(&[0xeb, ON[0], 0xff, 0x25, 8, 0, 0, 0, 0xff, 0xe1]);
    head[16..24].copy_from_slice(&(WINDOW + ENTRY as u64).to_le_bytes());
    head[24..].copy_from_slice(&1_u64.to_le_bytes());
    head
}

/// One jump: what the site did, then to the page's head with the site's `syscall` in rcx.
pub(crate) fn jump(
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
pub(crate) fn jump_to(from: u64, to: u64) -> Option<[u8; PATCHED]> {
    let distance = i128::from(to) - i128::from(from) - PATCHED as i128;
    let distance = i32::try_from(distance).ok()?;
    let mut bytes = [JUMP, 0, 0, 0, 0];
    bytes[1..].copy_from_slice(&distance.to_le_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How the C library's ioctl() stores and loads before its site.
    const STORES: [u8; 10] = [0x48, 0x8d, 0x44, 0x24, 0x20, 0x48, 0x89, 0x44, 0x24, 0x10];

    #[test]
    fn only_the_two_known_forms_are_sites() {
        assert!(is_site(&STORES, &[0xb8, 16, 0, 0, 0, 0x0f, 0x05], 16));
        assert!(is_site(&STORES, &[0xb8, 1, 1, 0, 0, 0x0f, 0x05], 257));
        let sixth = [0x4c, 0x8b, 0x4c, 0x24, 0x08, 0x0f, 0x05];
        assert!(is_site(&SHIFT_ARGUMENTS, &sixth, 9));
        assert!(!is_site(&STORES, &sixth, 9));
        for other in [
            [0xb8, 16, 0, 0, 0, 0x0f, 0x34],
            [0xb8, 17, 0, 0, 0, 0x0f, 0x05],
            [0xb9, 16, 0, 0, 0, 0x0f, 0x05],
            [0xe9, 16, 0, 0, 0, 0x0f, 0x05],
            [0x4c, 0x8b, 0x4c, 0x24, 0x10, 0x0f, 0x05],
        ] {
            assert!(!is_site(&STORES, &other, 16), "{other:x?}");
        }
        assert!(
            !is_site(&STORES[1..], &[0xb8, 16, 0, 0, 0, 0x0f, 0x05], 16),
            "too little is known"
        );
    }

    #[test]
    fn the_end_of_a_longer_instruction_is_no_site() {
        let with = |end: &[u8]| {
            let mut front = [0x90; 16];
            front[16 - end.len()..].copy_from_slice(end);
            is_site(&front, &[0xb8, 9, 0, 0, 0, 0x0f, 0x05], 9)
        };
        for longer in [
            &[0x41][..],                     // mov r8d, 9
            &[0x66],                         // mov ax, 9, and two bytes more
            &[0xc7, 0x45],                   // mov dword [rbp - 0x48], 9
            &[0x81, 0x7d],                   // cmp dword [rbp - 0x48], 9
            &[0x69, 0x45],                   // imul eax, [rbp - 0x48], 9
            &[0xc7, 0x44, 0x24],             // mov dword [rsp - 0x48], 9
            &[0xc7, 0x04],                   // mov dword [rax + rdi * 4], 9
            &[0xc7, 0x85, 0x10, 0xff, 0xff], // mov dword [rbp + disp32], 9
            &[0xc7, 0x84, 0x24, 0x10, 0, 0], // mov dword [rsp + disp32], 9
            &[0xc7, 0x05, 1, 2, 3],          // mov dword [rip + disp32], 9
            &[0xc7, 0x04, 0x25, 1, 2, 3],    // mov dword [disp32], 9
            &[0x8b],                         // mov edi, [rax + 9]
            &[0x48, 0x8d],                   // lea rdi, [rax + 9]
            &[0x48, 0x8b, 0x84],             // mov rax, [rax + rdi * 4 + 9]
            &[0x0f, 0xb6],                   // movzx edi, byte [rax + 9]
            &[0x66, 0x0f, 0x38, 0x17],       // ptest xmm7, [rax + 9]
            &[0xc5, 0xf8, 0x28],             // vmovaps xmm7, [rax + 9]
            &[0x48, 0xb8, 1, 2, 3],          // movabs rax, imm64
            &[0x48, 0xa1, 1, 2, 3],          // mov rax, [imm64]
        ] {
            assert!(!with(longer), "{longer:x?}");
        }
        for whole in [
            &[0x41, 0x89, 0xca][..],         // mov r10d, ecx
            &[0x48, 0x89, 0xe2],             // mov rdx, rsp
            &[0x75, 0x14],                   // jne
            &[0xbf, 0x9c, 0xff, 0xff, 0xff], // mov edi, -100
            &[0x48, 0x89, 0x44, 0x24, 0x10], // mov [rsp + 16], rax
        ] {
            assert!(with(whole), "{whole:x?}");
        }
    }

    #[test]
    fn of_open_only_the_site_of_one_thread_is_known() {
        // As in glibc 2.36, behind each other.
        let alone = [
            0x80, 0x3d, 0xda, 0x35, 0x0e, 0, 0, 0x74, 0x6d, 0x89, 0xda, 0x48, 0x89, 0xee, 0xbf,
            0x9c, 0xff, 0xff, 0xff,
        ];
        assert_eq!(single_thread_flag(&alone, 0xf_800a), Some(0x1d_b5d8));
        let threaded = [
            0x44, 0x8b, 0x54, 0x24, 0x0c, 0x89, 0xda, 0x48, 0x89, 0xee, 0x41, 0x89, 0xc0, 0xbf,
            0x9c, 0xff, 0xff, 0xff,
        ];
        assert_eq!(single_thread_flag(&threaded, 0xf_8089), None);
        let mut over = alone;
        over[8] = 4;
        assert_eq!(single_thread_flag(&over, 0xf_800a), None, "both ways lead here");
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
}
