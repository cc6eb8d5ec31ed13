// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads of several processes race over the same descriptors with everything a region answers.
//!
//! What each call answers is not foreseen; that it is one of the errnos the device knows, that
//! nobody dies, and that it all ends in time, is. The kernel's own complaints are for whoever
//! watches the console.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ashmem_core::abi;

use crate::case::{Env, Stop, Verdict, failed};
use crate::process::Child;
use crate::random::Random;
use ashmem_test_client::errno::{self, Answer};
use ashmem_test_client::fault;
use ashmem_test_client::map::page_size;
use ashmem_test_client::region::Region;

const PROCESSES: u64 = 2;
const THREADS: u64 = 3;
const SLOTS: usize = 6;
const PAGES: usize = 32;
/// How long after the end the last thread may need, on a slow machine whose host is busy.
const GRACE: Duration = Duration::from_secs(240);

/// The errnos that a race over valid descriptors may end in.
const EXPECTED: [i32; 9] = [
    libc::EACCES,
    libc::EAGAIN,
    libc::EBADF,
    libc::EFAULT,
    libc::EINVAL,
    libc::ENOMEM,
    libc::ENOTTY,
    libc::ENXIO,
    libc::EPERM,
];

/// The descriptors of one process; a thread may replace one while others use it.
type Slots = [Mutex<Arc<Region>>; SLOTS];

/// Races for so long; prints how much was done and the closing line.
pub(crate) fn run(env: &Env, length: Duration) -> ExitCode {
    fault::install();
    match race(env, length) {
        Ok(operations) => {
            println!("stress: {operations} operations\n1 passed, 0 failed");
            ExitCode::SUCCESS
        }
        Err(Stop::Failed(why) | Stop::Skipped(why)) => {
            println!("stress: {why}\n0 passed, 1 failed");
            ExitCode::FAILURE
        }
    }
}

fn race(env: &Env, length: Duration) -> Result<u64, Stop> {
    let shared: Vec<Region> = (0..SLOTS).map(|_| env.open()).collect::<Result<_, _>>()?;
    let end = Instant::now() + length;
    let children: Vec<Child> = (0..PROCESSES)
        .map(|process| {
            Child::start(|link| {
                let twins = shared.iter().map(Region::dup).collect::<Result<Vec<_>, _>>()?;
                let count = AtomicU64::new(0);
                let verdict = race_threads(env, process, twins, end, &count);
                link.send(&count.into_inner().to_ne_bytes())?;
                verdict
            })
        })
        .collect::<Result<_, _>>()?;
    let mut operations = 0;
    for child in children {
        let counted = child.link.dup()?;
        let left = end.saturating_duration_since(Instant::now()) + GRACE;
        let over = child.wait(Some(left));
        match (over.late, over.signal, over.verdict) {
            (true, ..) => {
                return failed(format!("a process still ran {} s after the end", GRACE.as_secs()));
            }
            (_, Some(signal), _) => {
                return failed(format!("a process died of {}", errno::signal_name(signal)));
            }
            (_, _, verdict) => {
                verdict.unwrap_or_else(|| failed("a process ended without a verdict"))?
            }
        }
        operations += counted.receive()?.try_into().map_or(0, u64::from_ne_bytes);
    }
    Ok(operations)
}

fn race_threads(
    env: &Env,
    process: u64,
    regions: Vec<Region>,
    end: Instant,
    count: &AtomicU64,
) -> Verdict {
    let mut regions = regions.into_iter();
    let slots: Slots = std::array::from_fn(|_| {
        let region = regions.next().map(Arc::new);
        Mutex::new(region.unwrap_or_else(|| unreachable!("there are as many regions as slots")))
    });
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (slots, mut random) = (&slots, Random::new(process * THREADS + thread));
                scope.spawn(move || -> Verdict {
                    while Instant::now() < end {
                        step(env, slots, &mut random)?;
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| failed("a thread panicked")))
    })
}

/// One operation on one of the descriptors.
fn step(env: &Env, slots: &Slots, random: &mut Random) -> Verdict {
    let slot = &slots[random.below(SLOTS)];
    let region = Arc::clone(&slot.lock().unwrap_or_else(PoisonError::into_inner));
    let (offset, len) =
        ((random.below(PAGES) * page_size()) as u32, (random.below(PAGES) * page_size()) as u32);
    match random.below(24) {
        0 => expected(region.set_name(c"stress")),
        1 => expected(region.name()),
        2 => expected(region.set_size(((random.below(PAGES) + 1) * page_size()) as u64)),
        3 => expected(region.size()),
        4 if random.one_in(20) => expected(region.set_mask(random.below(8) as u64)),
        4 | 5 => expected(region.mask()),
        6 | 7 => expected(region.pin(offset, len)),
        8..=10 => expected(region.unpin(offset, len)),
        11 => expected(region.status(offset, len)),
        12 => expected(region.purge()),
        13 => expected(region.file_id()),
        14 => expected(region.ioctl("unknown", 0x770c, 0)),
        15 => expected(region.ioctl("PIN", abi::PIN, 0)),
        16 => expected(region.read(random.below(2 * page_size()))),
        17 => expected(
            region.pread(random.below(2 * page_size()), random.below(PAGES * page_size()) as i64),
        ),
        18 => {
            expected(region.seek(random.below(PAGES * page_size()) as i64, random.below(6) as i32))
        }
        19 => Ok(region.fdinfo().map(drop)?),
        20 if random.one_in(8) => {
            let fresh = Arc::new(env.region(((random.below(PAGES) + 1) * page_size()) as u64)?);
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
            Ok(())
        }
        20 => expected(region.dup()),
        21 if random.one_in(40) => forked(&region),
        _ => touch(&region, random),
    }
}

/// Maps some pages, privately at times, touches them, and unmaps them, whatever the mask and the
/// size have become.
fn touch(region: &Region, random: &mut Random) -> Verdict {
    let flags = if random.one_in(4) { libc::MAP_PRIVATE } else { libc::MAP_SHARED };
    let map = region.map((random.below(PAGES) + 1) * page_size(), random.below(8) as i32, flags, 0);
    if let Ok(map) = &map {
        for _ in 0..random.below(8) {
            let at = random.below(map.len());
            // Faults are part of the race: the page may be behind the size, the mapping without
            // that right.
            let _ = if random.one_in(2) { map.store(at, 1) } else { map.load(at).map(|_| ()) };
        }
        expected(map.protect(random.below(8) as i32))?;
    }
    expected(map)
}

/// A process that inherits the region in the middle of everything, uses it and ends.
fn forked(region: &Region) -> Verdict {
    // SAFETY: the child makes system calls alone (nothing that allocates or locks) and leaves by
    // _exit.
    let pid = errno::answer("fork", unsafe { libc::fork() }.into())? as libc::pid_t;
    if pid == 0 {
        let fine = [region.unpin(0, 0), region.pin(0, 0), region.purge()].iter().all(is_expected);
        // SAFETY: as above.
        unsafe { libc::_exit(i32::from(!fine)) };
    }
    let mut status = 0;
    // SAFETY: waits for our own child.
    errno::answer("waitpid", unsafe { libc::waitpid(pid, &mut status, 0) }.into())?;
    if status == 0 {
        Ok(())
    } else {
        failed(format!("a forked process ended with status {status:#x}"))
    }
}

fn is_expected<T>(answer: &Answer<T>) -> bool {
    answer.as_ref().err().is_none_or(|refused| EXPECTED.contains(&refused.code))
}

fn expected<T>(answer: Answer<T>) -> Verdict {
    match answer {
        Err(refused) if !EXPECTED.contains(&refused.code) => Err(refused.into()),
        _ => Ok(()),
    }
}
