// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults of a mapping answered by the program itself, or by nobody.

use crate::actor::Actor;
use crate::step::Step;
use crate::value::PAGE;

const API: u64 = 0xaa;
/// `UFFD_FEATURE_SIGBUS`: a fault is an error at once and waits for nobody.
const SIGBUS: u64 = 1 << 7;
/// `_IOWR(0xaa, 0x3f, struct uffdio_api)` and its like.
const UFFDIO_API: libc::c_ulong = 0xc018_aa3f;
const UFFDIO_REGISTER: libc::c_ulong = 0xc020_aa00;
const UFFDIO_UNREGISTER: libc::c_ulong = 0x8010_aa01;
const UFFDIO_WAKE: libc::c_ulong = 0x8010_aa02;
const UFFDIO_COPY: libc::c_ulong = 0xc028_aa03;
const UFFDIO_ZEROPAGE: libc::c_ulong = 0xc020_aa04;
const UFFDIO_WRITEPROTECT: libc::c_ulong = 0xc018_aa06;
const UFFDIO_CONTINUE: libc::c_ulong = 0xc020_aa07;

fn request(file: i32, number: libc::c_ulong, words: &mut [u64; 5]) -> i64 {
    // SAFETY: no structure of these requests is longer than five words; addresses in it are the
    // world's.
    unsafe { libc::ioctl(file, number as _, words.as_mut_ptr()) }.into()
}

/// Registers a part of a mapping: for missing pages, write protection, minor faults, or a mixture.
pub(crate) fn register(actor: &Actor<'_>, step: &Step) -> i64 {
    let (start, length) = actor.world.part(step.map, step.b, step.c);
    // SAFETY: takes flags alone.
    let file =
        unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK) } as i32;
    if file < 0 {
        return -1;
    }
    let features = if actor.alone || step.d & 1 == 0 { SIGBUS } else { 0 };
    request(file, UFFDIO_API, &mut [API, features, 0, 0, 0]);
    let mode = u64::from(step.a % 7) + 1;
    let result = request(file, UFFDIO_REGISTER, &mut [start as u64, length as u64, mode, 0, 0]);
    actor.world.set_userfault(file);
    result
}

/// Answers a fault at the start of a part of a mapping, whether there is one or not.
pub(crate) fn answer(actor: &Actor<'_>, step: &Step) -> i64 {
    let (start, length) = actor.world.part(step.map, step.b, step.c);
    let (file, start, length) = (actor.world.userfault(), start as u64, length as u64);
    let few = length.min(8 * PAGE);
    let source = actor.world.buffer() as u64 & !(PAGE - 1);
    match step.a % 6 {
        0 => request(file, UFFDIO_COPY, &mut [start, source, few, u64::from(step.d & 3), 0]),
        1 => request(file, UFFDIO_ZEROPAGE, &mut [start, length, 0, 0, 0]),
        2 => request(file, UFFDIO_CONTINUE, &mut [start, length, 0, 0, 0]),
        3 => request(file, UFFDIO_WRITEPROTECT, &mut [start, length, u64::from(step.d & 1), 0, 0]),
        4 => request(file, UFFDIO_WAKE, &mut [start, length, 0, 0, 0]),
        _ => request(file, UFFDIO_UNREGISTER, &mut [start, length, 0, 0, 0]),
    }
}

pub(crate) fn close(actor: &Actor<'_>, _step: &Step) -> i64 {
    actor.world.set_userfault(-1)
}
