// SPDX-License-Identifier: MIT OR Apache-2.0
//! The device's own requests, with arguments good and bad.

use ashmem_core::abi::{self, Pin};

use crate::actor::Actor;
use crate::step::Step;
use crate::value::{PAGE, narrow, pick, wide};

fn ioctl(file: i32, number: u32, argument: usize) -> i64 {
    // SAFETY: addresses are the world's buffer, the world's mappings, or meant to be bad, which the
    // kernel answers.
    unsafe { libc::syscall(libc::SYS_ioctl, file, u64::from(number), argument) }
}

pub(crate) fn set_name(actor: &Actor<'_>, step: &Step) -> i64 {
    let world = actor.world;
    let name = match step.b {
        // A name of this many bytes, of a kind, in the buffer; longer ones than a name may be, too.
        0..192 => {
            let fill = pick(step.c, b"aZ/\n \x01\xff%");
            let length = usize::from(step.b) * 2;
            // SAFETY: the buffer has room for more than 384 bytes; the other thread may write there
            // too, as raw bytes.
            unsafe {
                std::ptr::write_bytes(world.buffer() as *mut u8, fill, length);
                (world.buffer() as *mut u8).add(length).write_volatile(0);
            }
            world.buffer()
        }
        _ => world.pointer(step.a, step.map),
    };
    ioctl(actor.file(step), abi::SET_NAME, name)
}

pub(crate) fn get_name(actor: &Actor<'_>, step: &Step) -> i64 {
    ioctl(actor.file(step), abi::GET_NAME, actor.world.pointer(step.a, step.map))
}

pub(crate) fn set_size(actor: &Actor<'_>, step: &Step) -> i64 {
    ioctl(actor.file(step), abi::SET_SIZE, wide(step.a) as usize)
}

pub(crate) fn get_size(actor: &Actor<'_>, step: &Step) -> i64 {
    ioctl(actor.file(step), abi::GET_SIZE, 0)
}

pub(crate) fn set_prot_mask(actor: &Actor<'_>, step: &Step) -> i64 {
    let mask = if step.b < 224 { usize::from(step.a & 7) } else { wide(step.a) as usize | 7 };
    ioctl(actor.file(step), abi::SET_PROT_MASK, mask)
}

pub(crate) fn get_prot_mask(actor: &Actor<'_>, step: &Step) -> i64 {
    ioctl(actor.file(step), abi::GET_PROT_MASK, 0)
}

fn interval(file: i32, number: u32, offset: u32, len: u32) -> i64 {
    let pin = Pin { offset, len };
    ioctl(file, number, &raw const pin as usize)
}

fn range(actor: &Actor<'_>, step: &Step, number: u32) -> i64 {
    interval(actor.file(step), number, narrow(step.a), narrow(step.b))
}

pub(crate) fn pin(actor: &Actor<'_>, step: &Step) -> i64 {
    range(actor, step, abi::PIN)
}

pub(crate) fn unpin(actor: &Actor<'_>, step: &Step) -> i64 {
    range(actor, step, abi::UNPIN)
}

pub(crate) fn pin_status(actor: &Actor<'_>, step: &Step) -> i64 {
    range(actor, step, abi::GET_PIN_STATUS)
}

/// Ranges of some pages with some pages between them, so many that the region's tree is deep.
fn many(actor: &Actor<'_>, step: &Step, number: u32) -> i64 {
    let (pages, stride) = (u32::from(step.c % 4) + 1, u32::from(step.d % 8) + 1);
    let first = narrow(step.a);
    let mut done = 0;
    for place in 0..=u32::from(step.b) {
        // Every other time from the end, for the tree grows on both sides.
        let place = if step.c & 0x80 == 0 { place } else { 255 - place };
        let offset = first.wrapping_add((place * stride).wrapping_mul(PAGE as u32));
        done += i64::from(interval(actor.file(step), number, offset, pages * PAGE as u32) >= 0);
    }
    done
}

pub(crate) fn unpin_many(actor: &Actor<'_>, step: &Step) -> i64 {
    many(actor, step, abi::UNPIN)
}

pub(crate) fn pin_many(actor: &Actor<'_>, step: &Step) -> i64 {
    many(actor, step, abi::PIN)
}

pub(crate) fn pin_at(actor: &Actor<'_>, step: &Step) -> i64 {
    let number = pick(step.b, &[abi::PIN, abi::UNPIN, abi::GET_PIN_STATUS]);
    ioctl(actor.file(step), number, actor.world.pointer(step.a, step.map))
}

pub(crate) fn purge(actor: &Actor<'_>, step: &Step) -> i64 {
    ioctl(actor.file(step), abi::PURGE_ALL_CACHES, 0)
}

pub(crate) fn file_id(actor: &Actor<'_>, step: &Step) -> i64 {
    let number = pick(step.b, &[abi::GET_FILE_ID, abi::GET_FILE_ID_32]);
    ioctl(actor.file(step), number, actor.world.pointer(step.a, step.map))
}

/// A number near the device's own: each direction, size and letter in turn.
fn any_number(step: &Step) -> u32 {
    let letter = if step.c < 224 { abi::MAGIC } else { u32::from(step.d) };
    let size = pick(step.d, &[0, 1, 4, 8, 256, 0x3fff]);
    u32::from(step.c >> 3 & 3) << 30 | size << 16 | letter << 8 | u32::from(step.a % 16)
}

pub(crate) fn any(actor: &Actor<'_>, step: &Step) -> i64 {
    ioctl(actor.file(step), any_number(step), actor.world.pointer(step.b, step.map))
}

/// The number of a compat caller: a known one most often.
fn compat_number(step: &Step) -> u32 {
    const NUMBERS: [u32; 14] = [
        abi::SET_NAME,
        abi::GET_NAME,
        abi::SET_SIZE,
        abi::GET_SIZE,
        abi::SET_PROT_MASK,
        abi::GET_PROT_MASK,
        abi::PIN,
        abi::UNPIN,
        abi::GET_PIN_STATUS,
        abi::PURGE_ALL_CACHES,
        abi::GET_FILE_ID,
        abi::SET_SIZE_32,
        abi::SET_PROT_MASK_32,
        abi::GET_FILE_ID_32,
    ];
    if step.c < 224 { pick(step.c, &NUMBERS) } else { any_number(step) }
}

#[cfg(target_arch = "x86_64")]
pub(crate) fn compat(actor: &Actor<'_>, step: &Step) -> i64 {
    const IOCTL_32: u64 = 54;
    let world = actor.world;
    let number = compat_number(step);
    let argument = match number {
        abi::SET_SIZE | abi::SET_SIZE_32 => wide(step.a) as usize,
        abi::SET_PROT_MASK | abi::SET_PROT_MASK_32 => usize::from(step.a & 7),
        abi::PIN | abi::UNPIN | abi::GET_PIN_STATUS if step.d < 224 => {
            let pin = world.buffer() as *mut Pin;
            // SAFETY: the buffer is aligned and has room; the other thread may write there too, as
            // raw bytes.
            unsafe { pin.write_volatile(Pin { offset: narrow(step.a), len: narrow(step.b) }) };
            pin as usize
        }
        _ => world.pointer(step.a, step.map),
    };
    let result: i64;
    // SAFETY: the 32-bit call takes its arguments in these registers and changes rax alone beside
    // r8 to r11; rbx, which the compiler keeps for itself, is given back.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {file}",
            "int 0x80",
            "xchg rbx, {file}",
            file = inout(reg) actor.file(step) as u32 as u64 => _,
            inlateout("rax") IOCTL_32 => result,
            in("rcx") u64::from(number),
            in("rdx") argument as u64,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    // The answer is 32 bits wide.
    i64::from(result as i32)
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn compat(actor: &Actor<'_>, step: &Step) -> i64 {
    // No way into the 32-bit table from a 64-bit program here: the number is tried as it is.
    ioctl(actor.file(step), compat_number(step), actor.world.pointer(step.a, step.map))
}
