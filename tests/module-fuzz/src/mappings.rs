// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be done with memory once it is mapped.

use crate::actor::Actor;
use crate::step::Step;
use crate::value::{PAGE, length, pick, protection, wide};

pub(crate) fn map(actor: &Actor<'_>, step: &Step) -> i64 {
    const FLAGS: [i32; 8] = [
        libc::MAP_SHARED,
        libc::MAP_SHARED,
        libc::MAP_SHARED,
        libc::MAP_PRIVATE,
        libc::MAP_SHARED | libc::MAP_NORESERVE,
        libc::MAP_SHARED | libc::MAP_POPULATE,
        libc::MAP_PRIVATE | libc::MAP_NORESERVE,
        libc::MAP_SHARED_VALIDATE,
    ];
    let length = if step.a < 240 { length(step.a) } else { wide(step.a) as usize };
    let offset = if step.d < 192 { 0 } else { wide(step.d) & !(PAGE - 1) };
    let (old, mapped) = actor.world.map(step.map);
    let (rights, flags) = (protection(step.b), pick(step.c, &FLAGS));
    let (file, offset) = (actor.file(step), offset as libc::off_t);
    // SAFETY: new memory at an address of the kernel's choice.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), length, rights, flags, file, offset) };
    if start == libc::MAP_FAILED {
        return -1;
    }
    actor.world.set_map(step.map, start as usize, length);
    // What was there would be nobody's.
    // SAFETY: the world's mappings hold no Rust object.
    unsafe { libc::munmap(old as *mut _, mapped) };
    0
}

pub(crate) fn unmap(actor: &Actor<'_>, step: &Step) -> i64 {
    let (start, length) = actor.world.part(step.map, if step.a < 128 { 0 } else { step.a }, step.b);
    // SAFETY: the world's mappings hold no Rust object.
    unsafe { libc::munmap(start as *mut _, length) }.into()
}

pub(crate) fn remap(actor: &Actor<'_>, step: &Step) -> i64 {
    const DONTUNMAP: i32 = 4;
    let (start, old) = actor.world.part(step.map, if step.d < 192 { 0 } else { step.d }, step.c);
    let flags = pick(step.b, &[libc::MREMAP_MAYMOVE, 0, libc::MREMAP_MAYMOVE | DONTUNMAP]);
    let new = if step.a < 16 { old } else { length(step.a) };
    // SAFETY: the world's mappings hold no Rust object.
    let moved = unsafe { libc::mremap(start as *mut _, old, new, flags) };
    if moved == libc::MAP_FAILED {
        return -1;
    }
    actor.world.set_map(step.map, moved as usize, new);
    0
}

pub(crate) fn advise(actor: &Actor<'_>, step: &Step) -> i64 {
    const COLLAPSE: i32 = 25;
    const ADVICE: [i32; 18] = [
        libc::MADV_REMOVE,
        libc::MADV_DONTNEED,
        COLLAPSE,
        libc::MADV_PAGEOUT,
        libc::MADV_FREE,
        libc::MADV_WILLNEED,
        libc::MADV_COLD,
        libc::MADV_HUGEPAGE,
        libc::MADV_NOHUGEPAGE,
        libc::MADV_DONTFORK,
        libc::MADV_DOFORK,
        libc::MADV_WIPEONFORK,
        libc::MADV_MERGEABLE,
        libc::MADV_POPULATE_READ,
        libc::MADV_POPULATE_WRITE,
        libc::MADV_SEQUENTIAL,
        libc::MADV_RANDOM,
        libc::MADV_DONTDUMP,
    ];
    let (start, length) = actor.world.part(step.map, step.b, step.c);
    // SAFETY: the world's mappings hold no Rust object.
    unsafe { libc::madvise(start as *mut _, length, pick(step.a, &ADVICE)) }.into()
}

pub(crate) fn protect(actor: &Actor<'_>, step: &Step) -> i64 {
    let (start, length) = actor.world.part(step.map, step.b, step.c);
    // SAFETY: the world's mappings hold no Rust object.
    unsafe { libc::mprotect(start as *mut _, length, protection(step.a)) }.into()
}

pub(crate) fn bind(actor: &Actor<'_>, step: &Step) -> i64 {
    let (start, length) = actor.world.part(step.map, step.c, step.d);
    let nodes = u64::from(step.b & 3);
    let mode = i64::from(step.a % 6);
    // MPOL_MF_STRICT, MPOL_MF_MOVE and MPOL_MF_MOVE_ALL.
    let flags = i64::from(step.a >> 5);
    // SAFETY: one word of nodes is read.
    unsafe { libc::syscall(libc::SYS_mbind, start, length, mode, &raw const nodes, 64, flags) }
}

pub(crate) fn move_pages(actor: &Actor<'_>, step: &Step) -> i64 {
    const MOST: usize = 16;
    let (start, length) = actor.world.part(step.map, step.c, step.d);
    let count = (length / PAGE as usize).min(MOST);
    let pages: [usize; MOST] = std::array::from_fn(|page| start + page * PAGE as usize);
    let nodes = [i32::from(step.a & 1); MOST];
    let mut status = [0_i32; MOST];
    // MPOL_MF_MOVE or MPOL_MF_MOVE_ALL.
    let flags = pick(step.b, &[2_i64, 4]);
    // SAFETY: each array has at least `count` elements.
    unsafe {
        libc::syscall(
            libc::SYS_move_pages,
            0,
            count,
            pages.as_ptr(),
            nodes.as_ptr(),
            status.as_mut_ptr(),
            flags,
        )
    }
}

pub(crate) fn lock(actor: &Actor<'_>, step: &Step) -> i64 {
    let (start, length) = actor.world.part(step.map, step.b, step.c);
    // SAFETY: the calls take addresses of the world's mappings and write nothing there.
    unsafe {
        match step.a % 3 {
            0 => libc::mlock(start as *const _, length).into(),
            1 => libc::munlock(start as *const _, length).into(),
            // MLOCK_ONFAULT.
            _ => libc::syscall(libc::SYS_mlock2, start, length, 1),
        }
    }
}

pub(crate) fn sync(actor: &Actor<'_>, step: &Step) -> i64 {
    let (start, length) = actor.world.part(step.map, step.b, step.c);
    let flags = pick(step.a, &[libc::MS_SYNC, libc::MS_ASYNC, libc::MS_SYNC | libc::MS_INVALIDATE]);
    // SAFETY: writes nothing of ours.
    unsafe { libc::msync(start as *mut _, length, flags) }.into()
}

pub(crate) fn in_core(actor: &Actor<'_>, step: &Step) -> i64 {
    let (start, length) = actor.world.part(step.map, step.b, step.c);
    // One byte a page, of which the buffer holds as many as this.
    let length = length.min(crate::world::BUFFER * PAGE as usize);
    // SAFETY: the buffer is long enough.
    unsafe { libc::mincore(start as *mut _, length, actor.world.buffer() as *mut _) }.into()
}

pub(crate) fn remap_file_pages(actor: &Actor<'_>, step: &Step) -> i64 {
    let (start, length) = actor.world.part(step.map, step.b, step.c);
    // SAFETY: the world's mappings hold no Rust object.
    unsafe {
        libc::syscall(libc::SYS_remap_file_pages, start, length, 0, u64::from(step.a % 64), 0)
    }
}

/// Reads or writes a byte of each page: by a system call, to which a page that cannot be had is an
/// error and no signal.
pub(crate) fn touch(actor: &Actor<'_>, step: &Step) -> i64 {
    let (start, length) = actor.world.part(step.map, step.a, step.b);
    // Not all of what was mapped sparsely.
    const MOST: usize = 0x60_0000;
    let stride = if step.d < 128 { PAGE as usize } else { 16 * PAGE as usize };
    let mut touched = 0;
    let source = if step.c & 1 == 0 { c"/dev/zero" } else { c"/proc/self/comm" };
    // SAFETY: a NUL-terminated path.
    let file = unsafe { libc::open(source.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    for place in (start..start + length.min(MOST)).step_by(stride) {
        // SAFETY: the world's mappings hold no Rust object; the kernel writes or reads one byte
        // there.
        let done = unsafe {
            match step.c & 1 {
                0 => libc::pread(file, place as *mut _, 1, 0),
                _ => libc::pwrite(file, place as *const _, 1, 0),
            }
        };
        if done != 1 {
            break;
        }
        touched += 1;
    }
    // SAFETY: opened above.
    unsafe { libc::close(file) };
    touched
}

/// The mapping from outside, as a debugger has it: without regard to its rights.
pub(crate) fn foreign(actor: &Actor<'_>, step: &Step) -> i64 {
    let (start, length) = actor.world.part(step.map, step.b, step.c);
    let length = length.min(crate::world::BUFFER);
    // SAFETY: the buffer is long enough.
    unsafe {
        let file = libc::open(c"/proc/self/mem".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        let buffer = actor.world.buffer() as *mut libc::c_void;
        let done = match step.a & 1 {
            0 => libc::pread(file, buffer, length, start as libc::off_t),
            _ => libc::pwrite(file, buffer, length, start as libc::off_t),
        };
        libc::close(file);
        done as i64
    }
}

pub(crate) fn vm_read(actor: &Actor<'_>, step: &Step) -> i64 {
    let (start, length) = actor.world.part(step.map, step.b, step.c);
    let length = length.min(crate::world::BUFFER);
    let local = libc::iovec { iov_base: actor.world.buffer() as *mut _, iov_len: length };
    let remote = libc::iovec { iov_base: start as *mut _, iov_len: length };
    // SAFETY: the buffer is long enough.
    unsafe {
        let me = libc::getpid();
        match step.a & 1 {
            0 => libc::process_vm_readv(me, &local, 1, &remote, 1, 0) as i64,
            _ => libc::process_vm_writev(me, &local, 1, &remote, 1, 0) as i64,
        }
    }
}
