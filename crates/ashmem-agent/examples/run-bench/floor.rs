// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel alone asks: for a notification, of a supervisor that answers without looking at
//! anything; for a call that is let through, of a filter that lets everything through. No
//! supervisor and no filter can ask for less.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};

use ashmem_agent::notification::{Answer, Channel};
use ashmem_agent::seccomp::filter::{Fidelity, Filter, NodeLookup};
use ashmem_agent::seccomp::listener::{Listener, Privileges, install};
use ashmem_core::abi;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::calls::ioctl;
use crate::others;
use crate::timing::best;

/// Times one ioctl of the device that such a supervisor answers.
///
/// The client is another process, as it is under `ashmem run`: a switch between two threads of one
/// costs less.
pub(crate) fn notification() -> f64 {
    let (mut reading, mut writing) = std::io::pipe().expect("a pipe");
    // SAFETY: the process has one thread, so the child finds every lock as it was left.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        drop(reading);
        let filter = Filter { fidelity: Fidelity::Fast, node: NodeLookup::Present };
        let listener = install(&filter.program(), Privileges::Renounce).expect("a filter");
        writing.write_all(&listener.as_raw_fd().to_ne_bytes()).expect("room in the pipe");
        let nanos = best(5_000, || ioctl(0, abi::GET_SIZE.into(), 0));
        writing.write_all(&nanos.to_ne_bytes()).expect("room in the pipe");
        std::process::exit(0);
    }
    drop(writing);
    let mut number = [0; size_of::<RawFd>()];
    reading.read_exact(&mut number).expect("the client's listener");
    let client = pidfd_open(Pid::from_raw(pid).expect("a process"), PidfdFlags::empty())
        .expect("the client");
    let listener = pidfd_getfd(client, RawFd::from_ne_bytes(number), PidfdGetfdFlags::empty())
        .expect("its listener");
    answer(&Listener::new(listener).expect("a listener"));
    let mut nanos = [0; size_of::<f64>()];
    reading.read_exact(&mut nanos).expect("the client's figure");
    // SAFETY: the status is not wanted.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    f64::from_ne_bytes(nanos)
}

/// Times calls under a filter of one instruction, which allows them.
pub(crate) fn allowed() -> Vec<(&'static str, f64)> {
    let everything = libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ALLOW,
    };
    // The filter is this process's to the end: it is the last thing that is timed.
    install(&[everything], Privileges::Renounce).expect("a filter");
    vec![
        ("allowed_getppid", others::getppid()),
        ("allowed_read", others::read()),
        ("allowed_write", others::write()),
        ("allowed_ioctl_not_ours", others::ioctl_not_ours()),
    ]
}

/// Answers 0 to everything until the client ends.
fn answer(listener: &Listener) {
    loop {
        // Where the kernel does not end a receive with its last client, only poll tells.
        if !listener.waits() && has_hung_up(listener, None) {
            return;
        }
        match listener.receive() {
            Ok(Some(notification)) => {
                listener.answer(notification.id, Answer::Value(0)).expect("an answer")
            }
            _ if has_hung_up(listener, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) => return,
            _ => {}
        }
    }
}

fn has_hung_up(listener: &Listener, limit: Option<&Timespec>) -> bool {
    let descriptor = listener.as_fd();
    let mut events = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    poll(&mut events, limit).expect("poll");
    events[0].revents().contains(PollFlags::HUP)
}
