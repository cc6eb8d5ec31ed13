// SPDX-License-Identifier: MIT OR Apache-2.0
//! The calls that are timed, without a library around them.

use std::ffi::CStr;

use ashmem_core::abi;

/// Opens a file and closes it.
pub(crate) fn open_close(path: &CStr, flags: i32) {
    close(call(
        libc::SYS_openat,
        [libc::AT_FDCWD.into(), path.as_ptr() as i64, flags.into(), 0, 0, 0],
    ) as i32);
}

/// stat(2) of a path.
pub(crate) fn stat_of(path: &CStr) -> i64 {
    let mut stat = [0_u64; 32];
    call(
        libc::SYS_newfstatat,
        [libc::AT_FDCWD.into(), path.as_ptr() as i64, stat.as_mut_ptr() as i64, 0, 0, 0],
    )
}

/// fstat(2).
pub(crate) fn fstat(fd: i32) -> i64 {
    let mut stat = [0_u64; 32];
    call(libc::SYS_fstat, [fd.into(), stat.as_mut_ptr() as i64, 0, 0, 0, 0])
}

/// ioctl(2).
pub(crate) fn ioctl(fd: i32, cmd: i64, arg: i64) -> i64 {
    call(libc::SYS_ioctl, [fd.into(), cmd, arg, 0, 0, 0])
}

/// mmap(2), shared, readable and writable.
pub(crate) fn map(fd: i32, len: usize) -> *mut u8 {
    let (prot, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    let at = call(libc::SYS_mmap, [0, len as i64, prot.into(), shared.into(), fd.into(), 0]);
    assert!(at > 0, "mmap: {}", std::io::Error::last_os_error());
    at as *mut u8
}

/// mmap(2) of a file, private and readable.
pub(crate) fn map_file(fd: i32, len: usize) -> *mut u8 {
    let (prot, private) = (libc::PROT_READ.into(), libc::MAP_PRIVATE.into());
    call(libc::SYS_mmap, [0, len as i64, prot, private, fd.into(), 0]) as *mut u8
}

/// munmap(2).
pub(crate) fn unmap(at: *mut u8, len: usize) {
    call(libc::SYS_munmap, [at as i64, len as i64, 0, 0, 0, 0]);
}

/// close(2).
pub(crate) fn close(fd: i32) {
    call(libc::SYS_close, [fd.into(), 0, 0, 0, 0, 0]);
}

/// syscall(2): any call, by its number.
pub(crate) fn call(number: i64, args: [i64; 6]) -> i64 {
    let [a, b, c, d, e, f] = args;
    // SAFETY: every pointer passed above is to memory that lives and is as long as the call needs.
    unsafe { libc::syscall(number, a, b, c, d, e, f) }
}

/// Opens the device.
pub(crate) fn ashmem() -> i32 {
    let flags = (libc::O_RDWR | libc::O_CLOEXEC).into();
    let fd = call(
        libc::SYS_openat,
        [libc::AT_FDCWD.into(), c"/dev/ashmem".as_ptr() as i64, flags, 0, 0, 0],
    );
    assert!(fd >= 0, "/dev/ashmem cannot be opened; start this under `ashmem run`");
    fd as i32
}

/// SET_SIZE.
pub(crate) fn set_size(fd: i32, size: usize) {
    assert_eq!(ioctl(fd, abi::SET_SIZE.into(), size as i64), 0, "SET_SIZE");
}
