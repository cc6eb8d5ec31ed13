// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be done with descriptors: of the device, of its backing files opened again, and of what
//! they lead to.

use std::ffi::{CStr, CString};
use std::fs;

use crate::actor::Actor;
use crate::step::Step;
use crate::value::{PAGE, length, pick, wide};
use crate::world::BUFFER;

const DEVICE: &CStr = c"/dev/ashmem";

fn open_path(path: &CStr, flags: i32) -> i32 {
    // SAFETY: a NUL-terminated path; the mode is for files that are made, and none is.
    unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, 0) }
}

pub(crate) fn open(actor: &Actor<'_>, step: &Step) -> i64 {
    const FLAGS: [i32; 6] = [
        libc::O_RDWR,
        libc::O_RDWR,
        libc::O_RDONLY,
        libc::O_WRONLY,
        libc::O_RDWR | libc::O_NONBLOCK,
        libc::O_RDWR | libc::O_TRUNC,
    ];
    let file = open_path(DEVICE, pick(step.a, &FLAGS));
    actor.world.set_file(step.file, file);
    i64::from(file.min(0))
}

pub(crate) fn close(actor: &Actor<'_>, step: &Step) -> i64 {
    actor.world.close(step.file)
}

pub(crate) fn close_range(actor: &Actor<'_>, step: &Step) -> i64 {
    (0..step.a % 4).map(|next| actor.world.close(step.file + usize::from(next))).sum()
}

pub(crate) fn dup(actor: &Actor<'_>, step: &Step) -> i64 {
    // SAFETY: dup touches no memory.
    let file = unsafe { libc::fcntl(actor.file(step), libc::F_DUPFD_CLOEXEC, 0) };
    actor.world.set_file(step.a.into(), file);
    i64::from(file.min(0))
}

/// Opens the file of a mapping by its entry in map_files: the backing file, whose operations are
/// not the device's.
pub(crate) fn open_mapped(actor: &Actor<'_>, step: &Step) -> i64 {
    const FLAGS: [i32; 6] = [
        libc::O_RDWR,
        libc::O_RDWR,
        libc::O_RDONLY,
        libc::O_WRONLY,
        libc::O_RDWR | libc::O_TRUNC,
        libc::O_PATH,
    ];
    let (start, length) = actor.world.map(step.map);
    let end = start.saturating_add(length).next_multiple_of(PAGE as usize);
    let Ok(path) = CString::new(format!("/proc/self/map_files/{start:x}-{end:x}")) else {
        return -1;
    };
    let file = open_path(&path, pick(step.a, &FLAGS));
    actor.world.set_file(step.file, file);
    i64::from(file.min(0))
}

/// Opens what a descriptor stands for once more.
pub(crate) fn reopen(actor: &Actor<'_>, step: &Step) -> i64 {
    let Ok(path) = CString::new(format!("/proc/self/fd/{}", actor.file(step))) else { return -1 };
    let flags = pick(step.b, &[libc::O_RDWR, libc::O_RDONLY, libc::O_RDWR | libc::O_TRUNC]);
    let file = open_path(&path, flags);
    actor.world.set_file(step.a.into(), file);
    i64::from(file.min(0))
}

/// A place for the bytes of a read or a write, and how many.
fn bytes(actor: &Actor<'_>, step: &Step) -> (usize, usize) {
    let length = if step.b < 224 { usize::from(step.b) * 97 } else { wide(step.b) as usize };
    let place = actor.world.pointer(step.a, step.map);
    let (start, mapped) = actor.world.map(step.map);
    let buffer = actor.world.buffer();
    // Valid ones stay inside of what they lead to; what is none of ours must not be written over.
    let inside = |start: usize, length: usize| {
        (start..start + length).contains(&place).then(|| start + length - place)
    };
    let room = inside(buffer, BUFFER + PAGE as usize).or_else(|| inside(start, mapped));
    (place, room.map_or(length, |room| length.min(room)))
}

pub(crate) fn read(actor: &Actor<'_>, step: &Step) -> i64 {
    let (place, length) = bytes(actor, step);
    // SAFETY: the bytes are the buffer's, a mapping's, or nobody's.
    unsafe { libc::read(actor.file(step), place as *mut _, length) as i64 }
}

pub(crate) fn pread(actor: &Actor<'_>, step: &Step) -> i64 {
    let (place, length) = bytes(actor, step);
    // SAFETY: as for `read`.
    unsafe {
        libc::pread(actor.file(step), place as *mut _, length, wide(step.c) as libc::off_t) as i64
    }
}

pub(crate) fn write(actor: &Actor<'_>, step: &Step) -> i64 {
    let (place, length) = bytes(actor, step);
    // SAFETY: the kernel reads what it may.
    unsafe { libc::write(actor.file(step), place as *const _, length) as i64 }
}

pub(crate) fn pwrite(actor: &Actor<'_>, step: &Step) -> i64 {
    let (place, length) = bytes(actor, step);
    // SAFETY: as for `write`.
    unsafe {
        libc::pwrite(actor.file(step), place as *const _, length, wide(step.c) as libc::off_t)
            as i64
    }
}

pub(crate) fn seek(actor: &Actor<'_>, step: &Step) -> i64 {
    let whence = pick(
        step.b,
        &[libc::SEEK_SET, libc::SEEK_CUR, libc::SEEK_END, libc::SEEK_DATA, libc::SEEK_HOLE, 9],
    );
    // SAFETY: lseek touches no memory.
    unsafe { libc::lseek(actor.file(step), wide(step.a) as libc::off_t, whence) }
}

pub(crate) fn allocate(actor: &Actor<'_>, step: &Step) -> i64 {
    const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    let mode = pick(
        step.a,
        &[PUNCH, PUNCH, 0, libc::FALLOC_FL_KEEP_SIZE, libc::FALLOC_FL_ZERO_RANGE, 0x7f],
    );
    // A hole may be as wide as it likes; memory may not.
    let length = if mode == PUNCH { wide(step.c) } else { length(step.c) as u64 };
    let offset = if mode == PUNCH { wide(step.b) } else { u64::from(step.b) * PAGE };
    // SAFETY: fallocate touches no memory of ours.
    unsafe { libc::fallocate(actor.file(step), mode, offset as libc::off_t, length as libc::off_t) }
        .into()
}

pub(crate) fn truncate(actor: &Actor<'_>, step: &Step) -> i64 {
    // SAFETY: ftruncate touches no memory.
    unsafe { libc::ftruncate(actor.file(step), wide(step.a) as libc::off_t) }.into()
}

pub(crate) fn mode(actor: &Actor<'_>, step: &Step) -> i64 {
    // SAFETY: these touch no memory.
    unsafe {
        match step.b & 1 {
            0 => libc::fchmod(actor.file(step), pick(step.a, &[0o777, 0, 0o200, 0o400, 0o4777]))
                .into(),
            _ => libc::fchown(actor.file(step), u32::from(step.a), u32::MAX).into(),
        }
    }
}

pub(crate) fn attribute(actor: &Actor<'_>, step: &Step) -> i64 {
    let name = pick(step.a, &[c"user.x", c"security.x", c"system.posix_acl_access", c"trusted.x"]);
    let length = usize::from(step.b);
    // SAFETY: the buffer is longer than any of these values.
    unsafe {
        match step.c & 1 {
            0 => libc::fsetxattr(
                actor.file(step),
                name.as_ptr(),
                actor.world.buffer() as *const _,
                length,
                0,
            )
            .into(),
            _ => libc::fgetxattr(
                actor.file(step),
                name.as_ptr(),
                actor.world.buffer() as *mut _,
                length,
            ) as i64,
        }
    }
}

pub(crate) fn control(actor: &Actor<'_>, step: &Step) -> i64 {
    let file = actor.file(step);
    // SAFETY: each of these takes a number.
    unsafe {
        match step.a % 5 {
            0 => libc::fcntl(file, libc::F_ADD_SEALS, i32::from(step.b & 0x1f)),
            1 => libc::fcntl(file, libc::F_GET_SEALS, 0),
            2 => libc::fcntl(
                file,
                libc::F_SETFL,
                pick(step.b, &[0, libc::O_NONBLOCK, libc::O_APPEND, libc::O_DIRECT]),
            ),
            3 => libc::fsync(file),
            _ => libc::posix_fadvise(file, 0, 0, i32::from(step.b % 6)),
        }
        .into()
    }
}

/// Out of the file into a pipe or the other way, without the bytes passing through the program.
pub(crate) fn splice(actor: &Actor<'_>, step: &Step) -> i64 {
    let (file, mut pipe) = (actor.file(step), [-1; 2]);
    let length = usize::from(step.b) * 64;
    // SAFETY: the array has room for two descriptors, which are closed again; the buffer has room
    // for all that is moved.
    unsafe {
        if libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) != 0 {
            return -1;
        }
        let none = std::ptr::null_mut();
        let done = match step.a % 3 {
            0 => libc::splice(file, none, pipe[1], none, length, libc::SPLICE_F_NONBLOCK),
            1 => {
                libc::write(pipe[1], actor.world.buffer() as *const _, length);
                libc::splice(pipe[0], none, file, none, length, libc::SPLICE_F_NONBLOCK)
            }
            _ => libc::sendfile(pipe[1], file, none.cast(), length),
        };
        libc::close(pipe[0]);
        libc::close(pipe[1]);
        done as i64
    }
}

/// A descriptor that lies in a socket only, and is then taken out or left to the socket's end.
pub(crate) fn send(actor: &Actor<'_>, step: &Step) -> i64 {
    let mut sockets = [-1; 2];
    let mut control = [0_u64; 4];
    let mut byte = 0_u8;
    let mut vector = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: zero is valid for a plain C structure; the control buffer is aligned and has room for
    // a header and one descriptor; all of it lives until the last call has returned.
    unsafe {
        if libc::socketpair(
            libc::AF_UNIX,
            libc::SOCK_DGRAM | libc::SOCK_CLOEXEC,
            0,
            sockets.as_mut_ptr(),
        ) != 0
        {
            return -1;
        }
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as _;
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(header).cast::<i32>().write_unaligned(actor.file(step));
        let sent = libc::sendmsg(sockets[0], &message, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT);
        if sent >= 0 && step.a & 1 == 0 {
            actor.world.close(step.file);
            if libc::recvmsg(sockets[1], &mut message, libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT)
                >= 0
            {
                let header = libc::CMSG_FIRSTHDR(&message);
                if !header.is_null() && (*header).cmsg_type == libc::SCM_RIGHTS {
                    actor.world.set_file(
                        step.b.into(),
                        libc::CMSG_DATA(header).cast::<i32>().read_unaligned(),
                    );
                }
            }
        }
        libc::close(sockets[0]);
        libc::close(sockets[1]);
        sent as i64
    }
}

pub(crate) fn stat(actor: &Actor<'_>, step: &Step) -> i64 {
    // SAFETY: zero is valid for a plain C structure, which the kernel fills.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        libc::fstat(actor.file(step), &mut stat).into()
    }
}

pub(crate) fn info(actor: &Actor<'_>, step: &Step) -> i64 {
    look(&format!("/proc/self/fdinfo/{}", actor.file(step)))
}

pub(crate) fn maps(_actor: &Actor<'_>, step: &Step) -> i64 {
    look(pick(
        step.a,
        &["/proc/self/maps", "/proc/self/smaps", "/proc/self/numa_maps", "/proc/self/smaps_rollup"],
    ))
}

fn look(path: &str) -> i64 {
    fs::read(path).map_or(-1, |text| text.len() as i64)
}
