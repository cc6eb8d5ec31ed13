// SPDX-License-Identifier: MIT OR Apache-2.0
//! The same calls by io_uring: from a worker of the kernel's, which is no thread of the program's.

use io_uring::{IoUring, opcode, squeue, types};

use crate::actor::Actor;
use crate::step::Step;
use crate::value::{PAGE, pick, wide};
use crate::world::BUFFER;

pub(crate) fn submit(actor: &Actor<'_>, step: &Step) -> i64 {
    let Ok(mut ring) = IoUring::new(4) else { return -1 };
    let (file, buffer) = (types::Fd(actor.file(step)), actor.world.buffer());
    let length = (usize::from(step.b) * 257).min(BUFFER) as u32;
    let offset = if step.c < 64 { u64::MAX } else { wide(step.c) };
    let (start, part) = actor.world.part(step.map, step.b, step.c);
    let entry = match step.a % 6 {
        0 => opcode::Read::new(file, buffer as *mut u8, length).offset(offset).build(),
        1 => opcode::Write::new(file, buffer as *const u8, length).offset(offset).build(),
        2 => opcode::Madvise::new(start as *mut _, part as libc::off_t, pick(step.c, &ADVICE))
            .build(),
        3 => opcode::Fallocate::new(file, u64::from(step.b) * PAGE)
            .offset(u64::from(step.c) * PAGE)
            .mode(3)
            .build(),
        4 => opcode::Fsync::new(file).build(),
        // Into the mapping itself.
        _ => opcode::Read::new(file, start as *mut u8, length.min(part as u32))
            .offset(offset)
            .build(),
    };
    let entry = if step.d & 1 == 0 { entry.flags(squeue::Flags::ASYNC) } else { entry };
    // SAFETY: the buffer and the mappings outlive the ring, or are gone by another step, which the
    // kernel answers.
    let pushed = unsafe { ring.submission().push(&entry) };
    if pushed.is_err() {
        return -1;
    }
    // Left to the ring's end now and then: the request is then cancelled, or ends without its
    // program.
    let wanted = usize::from(step.d & 6 != 0);
    if ring.submit_and_wait(wanted).is_err() {
        return -1;
    }
    ring.completion().next().map_or(0, |done| done.result().into())
}

const ADVICE: [i32; 4] =
    [libc::MADV_REMOVE, libc::MADV_DONTNEED, libc::MADV_PAGEOUT, libc::MADV_WILLNEED];
