// SPDX-License-Identifier: MIT OR Apache-2.0
//! 32-bit calls of ARM: a process has one width for all its life, so each call is made by a program
//! of its own. It is so short that it is written here word by word, and made anew for each call,
//! which it holds.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};

use ashmem_test_client::errno::{Answer, Refused};
use ashmem_test_client::map::{Map, RW, page_size};

/// Why there may be no such calls.
pub(super) const NONE: &str = "this processor or kernel runs no 32-bit programs (CONFIG_COMPAT)";

/// Where the page lies, here and in the program.
const ADDRESS: usize = 0x1000_0000;
/// Where the program lies.
const PROGRAM: u32 = 0x2_0000;
/// How long the headers of its file are.
const HEADERS: u32 = 52 + 2 * 32;
/// The page's memory that programs share; -1 while there is none.
static SHARED: AtomicI32 = AtomicI32::new(-1);

/// A page below 2 GiB that those programs map too. There is one at a time.
pub(super) struct Memory {
    map: Map,
    _file: File,
}

impl Memory {
    pub(super) fn new() -> Answer<Self> {
        let (file, size) = (memfd()?, page_size());
        file.set_len(size as u64).map_err(|error| refused("ftruncate", &error))?;
        let flags = libc::MAP_SHARED | libc::MAP_FIXED_NOREPLACE;
        let map = Map::at(ADDRESS, file.as_raw_fd(), size, RW, flags, 0)?;
        SHARED.store(file.as_raw_fd(), Ordering::Relaxed);
        Ok(Self { map, _file: file })
    }

    pub(super) fn map(&self) -> &Map {
        &self.map
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        SHARED.store(-1, Ordering::Relaxed);
    }
}

/// A call with three arguments, the first of them a descriptor, and the int that it returns.
pub(super) fn call(number: u32, a: u32, b: u32, c: u32) -> Answer<i32> {
    let shared = SHARED.load(Ordering::Relaxed);
    let words = one_call([a, b, c, number], mapping(shared, libc::MAP_SHARED | libc::MAP_FIXED));
    run(&words, [a as RawFd, shared]).map(i32::from_ne_bytes)
}

/// The first bytes that a private mapping of a descriptor shows.
pub(super) fn private_bytes(fd: RawFd) -> Answer<[u8; 4]> {
    run(&one_mapping(mapping(fd, libc::MAP_PRIVATE)), [fd, fd])
}

/// Runs a program that inherits these descriptors; the four bytes that it writes.
fn run(words: &[u32], inherited: [RawFd; 2]) -> Answer<[u8; 4]> {
    let mut program = memfd()?;
    program.write_all(&file(words)).map_err(|error| refused("write", &error))?;
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    // SAFETY: fcntl is one of the calls that a forked process may make.
    unsafe { command.pre_exec(move || inherited.into_iter().try_for_each(inherit)) };
    let output = command.output().map_err(|error| refused("starting a 32-bit program", &error))?;
    match output.stdout.as_slice().try_into() {
        Ok(bytes) if output.status.success() => Ok(bytes),
        _ => Err(Refused { call: "a 32-bit program's call", code: libc::EPROTO }),
    }
}

/// Keeps a descriptor open in the program that is executed.
fn inherit(fd: RawFd) -> io::Result<()> {
    // SAFETY: the command takes a number.
    let got = unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
    // What is no descriptor is what the call is asked about.
    if got < 0 && fd > 2 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn memfd() -> Answer<File> {
    // SAFETY: the name is a string with its end; the descriptor is new.
    unsafe {
        match libc::memfd_create(c"32-bit".as_ptr(), libc::MFD_CLOEXEC) {
            -1 => Err(Refused::last("memfd_create")),
            fd => Ok(File::from_raw_fd(fd)),
        }
    }
}

fn refused(call: &'static str, error: &io::Error) -> Refused {
    Refused { call, code: error.raw_os_error().unwrap_or(libc::EIO) }
}

/// The arguments of mmap2 for a page of a descriptor, and its number.
fn mapping(fd: RawFd, flags: i32) -> [u32; 7] {
    const MMAP2: u32 = 192;
    [ADDRESS as u32, page_size() as u32, RW as u32, flags as u32, fd as u32, 0, MMAP2]
}

/// A program that maps the page, makes a call, and writes what it returned to standard output.
fn one_call(call: [u32; 4], mapping: [u32; 7]) -> Vec<u32> {
    let code = [
        0xe28f_8034, // add r8, pc, #52: the words behind this code
        0xe898_00bf, // ldm r8, {r0-r5, r7}
        0xef00_0000, // svc #0: mmap2, which fails where there is no page
        0xe288_801c, // add r8, r8, #28
        0xe898_0087, // ldm r8, {r0-r2, r7}
        0xef00_0000, // svc #0: the call
        0xe52d_0004, // push {r0}
        0xe3a0_0001, // mov r0, #1: standard output
        0xe1a0_100d, // mov r1, sp
        0xe3a0_2004, // mov r2, #4
        0xe3a0_7004, // mov r7, #4: write
        0xef00_0000, // svc #0
        0xe3a0_0000, // mov r0, #0
        0xe3a0_7001, // mov r7, #1: exit
        0xef00_0000, // svc #0
    ];
    code.into_iter().chain(mapping).chain(call).collect()
}

/// A program that makes a mapping and writes its first bytes to standard output.
fn one_mapping(mapping: [u32; 7]) -> Vec<u32> {
    let code = [
        0xe28f_8024, // add r8, pc, #36: the words behind this code
        0xe898_00bf, // ldm r8, {r0-r5, r7}
        0xef00_0000, // svc #0: mmap2
        0xe1a0_1000, // mov r1, r0
        0xe3a0_0001, // mov r0, #1: standard output
        0xe3a0_2004, // mov r2, #4
        0xe3a0_7004, // mov r7, #4: write
        0xef00_0000, // svc #0
        0xe3a0_0000, // mov r0, #0
        0xe3a0_7001, // mov r7, #1: exit
        0xef00_0000, // svc #0
    ];
    code.into_iter().chain(mapping).collect()
}

/// An executable file of 32-bit ARM that is this program and nothing else.
fn file(words: &[u32]) -> Vec<u8> {
    const EXECUTABLE: u16 = 2;
    const ARM: u16 = 40;
    const EABI_5: u32 = 0x0500_0000;
    const LOAD: u32 = 1;
    const STACK: u32 = 0x6474_e551;
    const READ_AND_EXECUTE: u32 = 5;
    const READ_AND_WRITE: u32 = 6;
    let size = HEADERS + 4 * words.len() as u32;
    let mut bytes = b"\x7fELF\x01\x01\x01".to_vec();
    bytes.resize(16, 0);
    let halves = |halves: &[u16]| halves.iter().flat_map(|half| half.to_ne_bytes()).collect();
    let all = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let parts: [Vec<u8>; 6] = [
        halves(&[EXECUTABLE, ARM]),
        // Version, where it begins, where the headers of segments begin, no sections.
        all(&[1, PROGRAM + HEADERS, 52, 0, EABI_5]),
        // The sizes of both headers, how many there are of the second kind, no sections.
        halves(&[52, 32, 2, 40, 0, 0]),
        all(&[LOAD, 0, PROGRAM, PROGRAM, size, size, READ_AND_EXECUTE, 0x1000]),
        // Without this one the program would run under READ_IMPLIES_EXEC (PROT-07).
        all(&[STACK, 0, 0, 0, 0, 0, READ_AND_WRITE, 16]),
        all(words),
    ];
    bytes.extend(parts.into_iter().flatten());
    bytes
}
