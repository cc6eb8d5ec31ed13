// SPDX-License-Identifier: MIT OR Apache-2.0
//! Instructions of each library call beside those of the bare calls it stands for, as a C program
//! would make them.
//!
//! Counted by valgrind through gungraun: user space alone, so the kernel's share, the same on both
//! sides, is left out and nothing hides in it. Wants a device (`ashmem run`, or the module),
//! valgrind and `cargo install gungraun-runner`: `ashmem run -- cargo bench -p libashmem`.

#![allow(missing_docs, reason = "what gungraun's macros make is public")]

use ashmem_core::abi;
use gungraun::prelude::*;
use libashmem::cutils::{
    ashmem_create_region, ashmem_pin_region, ashmem_set_prot_region, ashmem_unpin_region,
};
use libashmem::sharedmem::{ASharedMemory_create, ASharedMemory_getSize, ASharedMemory_setProt};
use std::ffi::{c_int, c_ulong};
use std::hint::black_box;

const SIZE: usize = 16 * 4096;
const MASK: c_int = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;

/// A mapped region of the device.
fn region() -> c_int {
    let fd = bare_create();
    assert!(fd >= 0, "no /dev/ashmem here: use `ashmem run -- cargo bench -p libashmem`");
    let (anywhere, prot, flags) = (std::ptr::null_mut(), libc::PROT_READ, libc::MAP_SHARED);
    // SAFETY: a new mapping, which stays.
    let memory = unsafe { libc::mmap(anywhere, SIZE, prot, flags, fd, 0) };
    assert!(memory != libc::MAP_FAILED, "the region cannot be mapped");
    fd
}

/// The process has decided for the device.
fn device() {
    // SAFETY: the name is terminated.
    assert!(unsafe { ashmem_create_region(c"first".as_ptr(), SIZE) } >= 0);
}

/// The process has decided for memfd.
fn memfd() {
    // SAFETY: the process has one thread.
    unsafe { std::env::set_var("ASHMEM_BACKEND", "memfd") };
    device();
}

fn request(number: u32) -> c_ulong {
    c_ulong::from(number)
}

#[inline(never)]
fn bare_create() -> c_int {
    // SAFETY: the strings are terminated.
    unsafe {
        let fd = libc::open(c"/dev/ashmem".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        if fd < 0 {
            return -1;
        }
        if libc::ioctl(fd, request(abi::SET_NAME), c"bench".as_ptr()) < 0
            || libc::ioctl(fd, request(abi::SET_SIZE), SIZE) < 0
        {
            libc::close(fd);
            return -1;
        }
        fd
    }
}

#[library_benchmark]
#[bench::device(setup = region)]
fn bare_get_size(fd: c_int) -> c_int {
    // SAFETY: no argument.
    unsafe { black_box(libc::ioctl(black_box(fd), request(abi::GET_SIZE), 0)) }
}

#[library_benchmark]
#[bench::device(setup = region)]
fn library_get_size(fd: c_int) -> usize {
    black_box(ASharedMemory_getSize(black_box(fd)))
}

#[library_benchmark]
#[bench::device(setup = region)]
fn bare_set_prot(fd: c_int) -> c_int {
    // SAFETY: the argument is a number.
    unsafe { black_box(libc::ioctl(black_box(fd), request(abi::SET_PROT_MASK), black_box(MASK))) }
}

#[library_benchmark]
#[bench::device(setup = region)]
fn library_set_prot(fd: c_int) -> c_int {
    black_box(ASharedMemory_setProt(black_box(fd), black_box(MASK)))
}

#[library_benchmark]
#[bench::device(setup = region)]
fn bare_pins(fd: c_int) -> c_int {
    let pin = black_box(abi::Pin { offset: 4096, len: 4096 });
    // SAFETY: the argument is a pin.
    unsafe {
        black_box(libc::ioctl(black_box(fd), request(abi::UNPIN), &pin));
        black_box(libc::ioctl(black_box(fd), request(abi::PIN), &pin))
    }
}

#[library_benchmark]
#[bench::device(setup = region)]
fn library_pins(fd: c_int) -> c_int {
    black_box(ashmem_unpin_region(black_box(fd), black_box(4096), black_box(4096)));
    black_box(ashmem_pin_region(black_box(fd), black_box(4096), black_box(4096)))
}

#[library_benchmark]
#[bench::device(setup = device)]
fn bare_create_device(_: ()) -> c_int {
    black_box(bare_create())
}

#[library_benchmark]
#[bench::device(setup = device)]
fn library_create_device(_: ()) -> c_int {
    // SAFETY: the name is terminated.
    unsafe { black_box(ASharedMemory_create(black_box(c"bench".as_ptr()), black_box(SIZE))) }
}

#[library_benchmark]
#[bench::memfd(setup = memfd)]
fn bare_create_memfd(_: ()) -> c_int {
    // SAFETY: the name is terminated.
    unsafe {
        let fd = libc::memfd_create(
            black_box(c"bench".as_ptr()),
            libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING,
        );
        if fd < 0 {
            return -1;
        }
        if libc::ftruncate(fd, black_box(SIZE as libc::off_t)) < 0
            || libc::fcntl(fd, libc::F_ADD_SEALS, libc::F_SEAL_GROW | libc::F_SEAL_SHRINK) < 0
        {
            libc::close(fd);
            return -1;
        }
        black_box(fd)
    }
}

#[library_benchmark]
#[bench::memfd(setup = memfd)]
fn library_create_memfd(_: ()) -> c_int {
    // SAFETY: the name is terminated.
    unsafe { black_box(ASharedMemory_create(black_box(c"bench".as_ptr()), black_box(SIZE))) }
}

// A whole life but for the mapping.
#[library_benchmark]
#[bench::device(setup = device)]
fn bare_life(_: ()) -> c_int {
    let fd = bare_create();
    // SAFETY: numbers, and a descriptor of ours.
    unsafe {
        black_box(libc::ioctl(fd, request(abi::GET_SIZE), 0));
        black_box(libc::ioctl(fd, request(abi::SET_PROT_MASK), black_box(libc::PROT_READ)));
        libc::close(fd)
    }
}

#[library_benchmark]
#[bench::device(setup = device)]
fn library_life(_: ()) -> c_int {
    // SAFETY: the name is terminated, and the descriptor is ours.
    unsafe {
        let fd = ASharedMemory_create(black_box(c"bench".as_ptr()), black_box(SIZE));
        black_box(ASharedMemory_getSize(fd));
        black_box(ashmem_set_prot_region(fd, black_box(libc::PROT_READ)));
        libc::close(fd)
    }
}

library_benchmark_group!(
    name = calls,
    benchmarks = [
        bare_get_size,
        library_get_size,
        bare_set_prot,
        library_set_prot,
        bare_pins,
        library_pins,
        bare_create_device,
        library_create_device,
        bare_life,
        library_life,
        bare_create_memfd,
        library_create_memfd
    ]
);

main!(library_benchmark_groups = calls);
