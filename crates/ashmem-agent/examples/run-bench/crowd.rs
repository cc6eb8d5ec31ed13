// SPDX-License-Identifier: MIT OR Apache-2.0
//! How much processes get done that call at the same time, each about a region of its own.

use std::io::{Read, Write, pipe};
use std::time::Instant;

use ashmem_core::abi;

use crate::calls::{ashmem, fstat, ioctl, map, set_size, unmap};
use rustix::param::page_size;

/// The fastest of so many turns counts.
const TURNS: usize = 7;
/// What each process does in a turn, so often.
const ROUNDS: usize = 300;

/// Times so many processes that make the same calls at the same time; nanoseconds of the time that
/// passes, for each round that one of them makes.
pub(crate) fn round(processes: usize) -> f64 {
    (0..TURNS).map(|_| turn(processes)).fold(f64::INFINITY, f64::min)
}

fn turn(processes: usize) -> f64 {
    let (mut told_ready, mut ready) = pipe().expect("a pipe");
    let (mut told_go, go) = pipe().expect("a pipe");
    // Given to whoever works; a process that still had it would wait for itself.
    let mut go = Some(go);
    let children: Vec<_> = (0..processes)
        .map(|_| {
            // SAFETY: the process has one thread, so the child finds every lock as it was left.
            let pid = unsafe { libc::fork() };
            assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
            if pid == 0 {
                drop(go.take());
                let own = ashmem();
                set_size(own, 2 * page_size());
                let _ = map(own, 2 * page_size());
                ready.write_all(b"!").expect("the parent reads");
                told_go.read_to_end(&mut Vec::new()).expect("the parent closes it");
                (0..ROUNDS).for_each(|_| calls(own));
                std::process::exit(0);
            }
            pid
        })
        .collect();
    told_ready.read_exact(&mut vec![0; processes]).expect("every process is ready");
    let start = Instant::now();
    drop(go.take());
    for pid in children {
        let mut status = 1;
        // SAFETY: waits for a child of this process and writes to `status`.
        let waited = unsafe { libc::waitpid(pid, &mut status, 0) };
        assert!(waited == pid && status == 0, "a process failed: {status}");
    }
    start.elapsed().as_nanos() as f64 / (ROUNDS * processes) as f64
}

fn calls(own: i32) {
    let page = [0_u32, page_size() as u32];
    ioctl(own, abi::GET_SIZE.into(), 0);
    ioctl(own, abi::UNPIN.into(), page.as_ptr() as i64);
    ioctl(own, abi::PIN.into(), page.as_ptr() as i64);
    unmap(map(own, 2 * page_size()), 2 * page_size());
    fstat(own);
}
