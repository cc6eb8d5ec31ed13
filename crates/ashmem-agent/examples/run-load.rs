// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client half of the agent's load test: many regions, many processes, and what is left of them
//! in the supervisor.
//!
//! Runs under `ashmem run`, as root, since it looks at the supervisor, its parent. `run-load churn
//! PROCESSES REGIONS` makes and drops so many regions in all; `run-load crowd PROCESSES` lets so
//! many processes make and map some at once. Prints one JSON object.
//!
//! `run-load filtered PROGRAM [ARGS…]` runs bare: it executes the program under `full`'s filter, in
//! which nothing is notified. So what the filter costs is told from what its notifications cost.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use ashmem_agent::seccomp::filter::{Fidelity, Filter, NodeLookup};
use ashmem_agent::seccomp::listener::{Privileges, install};
use ashmem_core::abi;
use rustix::param::page_size;

/// What each process of a crowd makes.
const LIVES: usize = 20;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| {
        words.get(at).and_then(|word| word.parse::<usize>().ok()).filter(|number| *number > 0)
    };
    if let Some(("filtered", program)) = words.split_first().map(|(what, rest)| (&**what, rest)) {
        return filtered(program);
    }
    match (words.first().map(String::as_str), number(1), number(2)) {
        (Some("churn"), Some(processes), Some(regions)) => churn(processes, regions),
        (Some("crowd"), Some(processes), None) => {
            println!("{{ \"failed_processes\": {} }}", each(processes, LIVES));
        }
        _ => {
            eprintln!(
                "usage: run-load churn PROCESSES REGIONS | crowd PROCESSES | filtered PROGRAM"
            );
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Becomes the program, under the filter without its notifications.
fn filtered(words: &[String]) -> ExitCode {
    let Some((program, arguments)) = words.split_first() else {
        eprintln!("run-load filtered: which program?");
        return ExitCode::from(2);
    };
    let filter = Filter { fidelity: Fidelity::Full, node: NodeLookup::Present };
    let mut instructions = filter.program().to_vec();
    let notify = libc::SECCOMP_RET_USER_NOTIF;
    for end in instructions.iter_mut().filter(|code| code.k == notify) {
        end.k = libc::SECCOMP_RET_ALLOW;
    }
    // Closed as the program is executed, and never asked.
    let _listener = install(&instructions, Privileges::Renounce).expect("a filter");
    eprintln!("{program}: {}", Command::new(program).args(arguments).exec());
    ExitCode::FAILURE
}

/// What the supervisor has, before and after.
fn churn(processes: usize, regions: usize) {
    // What a supervisor grows to with a little work is not what it loses with much.
    let mut failed = each(processes, 1000);
    let before = Supervisor::at_rest();
    failed += each(processes, regions.div_ceil(processes));
    let after = Supervisor::at_rest();
    println!(
        "{{ \"failed_processes\": {failed}, \"growth_kib\": {}, \"descriptors\": {}, \"watches\": \
         {} }}",
        after.resident_kib - before.resident_kib,
        after.descriptors - before.descriptors,
        after.watches - before.watches
    );
}

/// So many processes at once, each with so many regions' lives; how many failed.
fn each(processes: usize, lives: usize) -> usize {
    let start = || {
        // SAFETY: this program has one thread.
        match unsafe { libc::fork() } {
            0 => {
                let done = (0..lives).all(|_| life().is_some());
                // SAFETY: ends this process.
                unsafe { libc::_exit(i32::from(!done)) }
            }
            pid => pid,
        }
    };
    let children: Vec<_> = (0..processes).map(|_| start()).collect();
    let is_well = |pid: &&i32| {
        let mut status = 1;
        // SAFETY: waits for a child of this process and writes to `status`.
        **pid > 0 && unsafe { libc::waitpid(**pid, &mut status, 0) } == **pid && status == 0
    };
    processes - children.iter().filter(is_well).count()
}

/// Open, name, size, map, touch, unmap, close.
fn life() -> Option<()> {
    let file = fs::File::options().read(true).write(true).open("/dev/ashmem").ok()?;
    let fd = file.as_raw_fd();
    // SAFETY: the name ends in NUL, and SET_SIZE takes no pointer.
    let set = unsafe {
        libc::ioctl(fd, u64::from(abi::SET_NAME), c"load".as_ptr()) == 0
            && libc::ioctl(fd, u64::from(abi::SET_SIZE), page_size()) == 0
    };
    // SAFETY: a mapping at a place of the kernel's choice.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            page_size(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            fd,
            0,
        )
    };
    if !set || at == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the page was just mapped, readable and writable, and nobody else knows of it.
    unsafe {
        at.cast::<u8>().write_volatile(1);
        libc::munmap(at, page_size());
    }
    Some(())
}

/// This program's parent, from `/proc`.
struct Supervisor {
    resident_kib: i64,
    descriptors: i64,
    watches: i64,
}

impl Supervisor {
    fn look() -> Self {
        let parent = format!("/proc/{}", std::os::unix::process::parent_id());
        let status =
            fs::read_to_string(format!("{parent}/status")).expect("the supervisor's status");
        let resident =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        let resident_kib =
            resident.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
        let descriptors =
            fs::read_dir(format!("{parent}/fd")).expect("its descriptors").count() as i64;
        let infos =
            fs::read_dir(format!("{parent}/fdinfo")).expect("its descriptors' state").flatten();
        let watches = |info: fs::DirEntry| {
            let text = fs::read_to_string(info.path()).unwrap_or_default();
            text.lines().filter(|line| line.starts_with("inotify ")).count() as i64
        };
        Self { resident_kib, descriptors, watches: infos.map(watches).sum() }
    }

    /// As it is when it has rested: looking at it is work for it too.
    fn at_rest() -> Self {
        std::thread::sleep(Duration::from_secs(3));
        Self::look()
    }
}
