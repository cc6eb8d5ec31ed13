// SPDX-License-Identifier: MIT OR Apache-2.0
//! A crowd to look at: `crowd PROCESSES REGIONS` starts so many processes, which hold and map so
//! many memfds together, prints `ready` and stays until its standard input ends.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, IntoRawFd};

use rustix::fs::MemfdFlags;

/// Bytes of each region; one page of it is touched.
const SIZE: usize = 64 << 10;

fn main() {
    let mut words = std::env::args().skip(1).map_while(|word| word.parse::<usize>().ok());
    let (Some(processes), Some(regions)) = (words.next(), words.next()) else {
        eprintln!("usage: crowd PROCESSES REGIONS");
        std::process::exit(2);
    };
    let (mut ready, each) = std::io::pipe().expect("a pipe");
    for process in 0..processes {
        // SAFETY: this process has one thread, so that the child finds every lock as it was left.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
        if child == 0 {
            // SAFETY: no pointer is passed. The crowd goes with who started it.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let from = process * regions / processes;
            (from..(process + 1) * regions / processes).for_each(make);
            (&each).write_all(b".").expect("room in the pipe");
            loop {
                // SAFETY: sleeps until a signal ends this process.
                unsafe { libc::pause() };
            }
        }
    }
    drop(each);
    ready.read_exact(&mut vec![0; processes]).expect("every process is ready");
    println!("ready");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Makes a region and maps it; both stay until the process ends.
fn make(number: usize) {
    let memory =
        rustix::fs::memfd_create(format!("CursorWindow: /data/{number}"), MemfdFlags::CLOEXEC)
            .expect("a memfd");
    rustix::fs::ftruncate(&memory, SIZE as u64).expect("a size");
    let (prot, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: a new mapping, where the kernel finds room.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), SIZE, prot, shared, memory.as_raw_fd(), 0) };
    assert_ne!(at, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    // SAFETY: the page was just mapped.
    unsafe { at.cast::<u8>().write_volatile(1) };
    let _stays = memory.into_raw_fd();
}
