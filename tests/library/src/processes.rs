// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads, children, and a process that has no descriptors left.

use crate::surroundings::{Case, Outcome, PAGE, Surroundings, descriptors, same};
use anyhow::{Result, ensure};
use ashmem::{Protection, Region};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

pub(crate) const CASES: &[Case] = &[
    ("threads: 4 make, map and drop 500 regions each, and nothing stays open", threads),
    ("fork: children of a process whose threads make regions make their own", forks),
    ("fork: parent and child share what was mapped before", shared),
];

const BOTH: Protection = Protection::READ.union(Protection::WRITE);

fn live(number: u8) -> Result<()> {
    let region = Region::create(c"thread", PAGE)?;
    let memory = region.map(BOTH)?;
    memory.write_at(0, &[number; 16]);
    let mut bytes = [0; 16];
    region.map(Protection::READ)?.read_at(0, &mut bytes);
    same("what was written", bytes, [number; 16])
}

fn threads(_: &Surroundings) -> Result<Outcome> {
    let before = descriptors()?;
    thread::scope(|scope| {
        let working: Vec<_> = (0..4)
            .map(|number| scope.spawn(move || (0..500).try_for_each(|_| live(number))))
            .collect();
        working.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(_) => anyhow::bail!("a thread panicked"),
        })
    })?;
    same("descriptors open in the end", descriptors()?, before)?;
    Ok(Outcome::Held)
}

fn forks(_: &Surroundings) -> Result<Outcome> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let maker = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                live(1)?;
            }
            Ok(())
        });
        let result = (0..50).try_for_each(|_| {
            // What the child does after fork is the libraries' alone: they neither lock nor
            // allocate.
            let status = in_child(|| {
                Region::create(c"child", PAGE).and_then(|region| region.map(BOTH)).is_ok()
            })?;
            same("the child's status", status, 0)
        });
        stop.store(true, Ordering::Relaxed);
        let made: Result<()> = match maker.join() {
            Ok(made) => made,
            Err(_) => anyhow::bail!("the thread panicked"),
        };
        result.and(made)
    })?;
    Ok(Outcome::Held)
}

fn shared(_: &Surroundings) -> Result<Outcome> {
    let region = Region::create(c"shared", PAGE)?;
    let memory = region.map(BOTH)?;
    let status = in_child(|| {
        memory.write_at(100, b"child");
        region.set_protection(Protection::READ).is_ok()
    })?;
    same("the child's status", status, 0)?;
    let mut text = [0; 5];
    memory.read_at(100, &mut text);
    same("what the child wrote", &text, b"child")?;
    ensure!(region.map(BOTH).is_err(), "the mask that the child narrowed is wide here");
    Ok(Outcome::Held)
}

/// Does this in a child process; the child's wait status, 0 when it answered true. One that is not
/// done in ten seconds is ended by a signal of its own clock.
fn in_child(work: impl FnOnce() -> bool) -> Result<i32> {
    // SAFETY: the child makes system calls through our libraries and ends; it takes no lock that
    // another thread could have held.
    let child = unsafe { libc::fork() };
    ensure!(child >= 0, "fork: {}", std::io::Error::last_os_error());
    if child == 0 {
        // SAFETY: both may be called after fork.
        unsafe { libc::alarm(10) };
        let done = work();
        // SAFETY: as above.
        unsafe { libc::_exit(i32::from(!done)) };
    }
    let mut status = 0;
    // SAFETY: the child is ours, and the status a number of ours.
    let waited = unsafe { libc::waitpid(child, &mut status, 0) };
    ensure!(waited == child, "waitpid: {}", std::io::Error::last_os_error());
    Ok(status)
}
