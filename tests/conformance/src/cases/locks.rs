// SPDX-License-Identifier: MIT OR Apache-2.0
//! Locks of a descriptor, by fcntl(2) and flock(2): the kernel's, on the file that was opened.

use crate::case::{Case, Differs, Provider, equal, refused};
use ashmem_test_client::errno::{Answer, answer};
use ashmem_test_client::region::Region;

/// A lock of the descriptor's own (`F_OFD_SETLK`) or of the process (`F_SETLK`), for writing, on
/// all bytes.
fn record(region: &Region, command: libc::c_int, kind: libc::c_int) -> Answer {
    let lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    // SAFETY: both commands read a whole `flock`, which this is.
    answer("fcntl", unsafe { libc::fcntl(region.fd(), command, &lock) }.into())
}

fn flock(region: &Region, operation: libc::c_int) -> Answer {
    // SAFETY: no pointer is passed.
    answer("flock", unsafe { libc::flock(region.fd(), operation | libc::LOCK_NB) }.into())
}

const PER_REGION: &str = "a region is a memfd, a file of its own: containers that share a node \
                          cannot lock each other out";

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "locks.record",
        &["OPEN-13"],
        "Record locks are the node's: two regions exclude each other",
        |env| {
            let (one, other) = (env.region(4096)?, env.region(4096)?);
            equal("the lock of one", record(&one, libc::F_OFD_SETLK, libc::F_WRLCK)?, 0)?;
            for command in [libc::F_OFD_SETLK, libc::F_SETLK] {
                refused("the other's", record(&other, command, libc::F_WRLCK), libc::EAGAIN)?;
            }
            equal("giving it up", record(&one, libc::F_OFD_SETLK, libc::F_UNLCK)?, 0)?;
            equal("the other's then", record(&other, libc::F_OFD_SETLK, libc::F_WRLCK)?, 0)
        },
    )
    .differs(&[Differs {
        providers: Provider::AGENT,
        what: "Record locks are the region's: two regions do not exclude each other",
        reason: PER_REGION,
        check: Some(|env| {
            let (one, other) = (env.region(4096)?, env.region(4096)?);
            equal("the lock of one", record(&one, libc::F_OFD_SETLK, libc::F_WRLCK)?, 0)?;
            equal("the other's", record(&other, libc::F_OFD_SETLK, libc::F_WRLCK)?, 0)?;
            // The process is another owner than the descriptor.
            let again = record(&one.dup()?, libc::F_SETLK, libc::F_WRLCK);
            refused("the same region's again", again, libc::EAGAIN)
        }),
    }]),
    Case::new(
        "locks.flock",
        &["OPEN-14"],
        "flock locks the node: two regions exclude each other, a descriptor's copies do not",
        |env| {
            let (one, other) = (env.region(4096)?, env.region(4096)?);
            equal("the lock of one", flock(&one, libc::LOCK_EX)?, 0)?;
            equal("of its copy", flock(&one.dup()?, libc::LOCK_EX)?, 0)?;
            refused("the other's", flock(&other, libc::LOCK_EX), libc::EAGAIN)?;
            equal("giving it up", flock(&one, libc::LOCK_UN)?, 0)?;
            equal("the other's then", flock(&other, libc::LOCK_EX)?, 0)
        },
    )
    .differs(&[Differs {
        providers: Provider::AGENT,
        what: "flock locks the region: two regions do not exclude each other",
        reason: PER_REGION,
        check: Some(|env| {
            let (one, other) = (env.region(4096)?, env.region(4096)?);
            equal("the lock of one", flock(&one, libc::LOCK_EX)?, 0)?;
            equal("of its copy", flock(&one.dup()?, libc::LOCK_EX)?, 0)?;
            equal("the other's", flock(&other, libc::LOCK_EX)?, 0)
        }),
    }]),
];
