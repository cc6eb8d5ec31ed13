// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the first regions of a new process cost it: the supervisor does not know it yet.

use std::io::{Read, Write, pipe};
use std::time::Instant;

/// The fastest of so many processes counts.
const PROCESSES: usize = 100;

/// Times so many runs in a new process; nanoseconds of one.
pub(crate) fn first(times: usize, run: impl Fn()) -> f64 {
    (0..PROCESSES).map(|_| in_new_process(times, &run)).fold(f64::INFINITY, f64::min)
}

fn in_new_process(times: usize, run: &impl Fn()) -> f64 {
    let (mut reading, mut writing) = pipe().expect("a pipe");
    // SAFETY: the process has one thread, so the child finds every lock as it was left.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        let start = Instant::now();
        (0..times).for_each(|_| run());
        let nanos = start.elapsed().as_nanos() as f64 / times as f64;
        writing.write_all(&nanos.to_ne_bytes()).expect("the parent reads");
        std::process::exit(0);
    }
    drop(writing);
    let mut nanos = [0; size_of::<f64>()];
    reading.read_exact(&mut nanos).expect("the child's figure");
    // SAFETY: the status is not wanted.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    f64::from_ne_bytes(nanos)
}
