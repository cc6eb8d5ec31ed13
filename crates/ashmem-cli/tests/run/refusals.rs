// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the program cannot be supervised it is not started, and one sentence says why; what a
//! sandbox around `ashmem run` takes away and can be done without, is.

use super::{ASHMEM, LIMIT, builds, is_ok, output, run, unprivileged};
use crate::sandbox::{Call, Verdict, sandboxed};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// `SECCOMP_IOCTL_NOTIF_ADDFD`.
const ADDFD: u32 = 0x4018_2103;

#[test]
#[cfg(target_arch = "x86_64")]
fn what_cannot_be_supervised_is_not_started() {
    let seccomp = Call::from(libc::SYS_seccomp);
    for (call, errno, words) in [
        // A kernel before 5.0, one without seccomp's filters, a sandbox.
        (seccomp, libc::EINVAL, "Invalid argument"),
        (seccomp, libc::ENOSYS, "not implemented"),
        (seccomp, libc::EPERM, "needs Linux 5.9 or newer"),
        // A kernel before 5.9.
        (Call { number: libc::SYS_ioctl, second: Some(ADDFD) }, libc::EINVAL, "5.9"),
        (libc::SYS_process_vm_readv.into(), libc::EPERM, "ptrace_scope"),
        (libc::SYS_process_vm_readv.into(), libc::ENOSYS, "ashmem doctor"),
        (libc::SYS_inotify_init1.into(), libc::EMFILE, "inotify"),
    ] {
        let output = output(sandboxed(run(&["echo", "unfiltered"]), call, Verdict::Refuse(errno)));
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), &output.stdout[..]),
            (Some(125), &b""[..]),
            "{words}: {error}"
        );
        assert!(error.contains(words) && error.trim_end().lines().count() == 1, "{words}: {error}");
    }
}

/// Docker's default profile, where the container has no CAP_SYS_PTRACE and no CAP_SYS_ADMIN.
fn in_docker(command: Command) -> Command {
    let refused = [
        libc::SYS_pidfd_getfd,
        libc::SYS_unshare,
        libc::SYS_mount,
        libc::SYS_open_tree,
        libc::SYS_setns,
    ];
    refused
        .into_iter()
        .fold(command, |command, call| sandboxed(command, call, Verdict::Refuse(libc::EPERM)))
}

#[test]
#[cfg(target_arch = "x86_64")]
fn what_dockers_default_profile_refuses_is_done_without() {
    let Some(program) = &builds()[0].program else { return };
    for verb in
        ["round-trip", "private", "relative", "pass", "inherit", "threads", "memfd", "malformed"]
    {
        let mut words = Command::new(ASHMEM);
        words.args(["run", "--"]).arg(program).arg(verb);
        let Some(command) = unprivileged(words) else { continue };
        is_ok(&format!("{verb}, in Docker's sandbox"), &output(in_docker(command)));
    }
}

#[test]
fn a_killed_supervisor_ends_its_program_and_says_so() {
    for build in builds() {
        let Some(program) = build.program.as_ref().and_then(|program| program.to_str()) else {
            continue;
        };
        let output = output(run(&[program, "alone"]));
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(122), "{}: {error}", build.what);
        assert!(
            error.contains("supervisor was killed") && error.trim_end().lines().count() == 1,
            "{error}"
        );
        let text = String::from_utf8_lossy(&output.stdout);
        let processes: Vec<i32> =
            text.split_whitespace().map(|number| number.parse().expect("a number")).collect();
        assert_eq!(processes.len(), 2, "{text}");
        for pid in processes {
            let deadline = Instant::now() + LIMIT;
            while is_running(pid) {
                assert!(Instant::now() < deadline, "{}: {pid} lives on", build.what);
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// Whether a process is there and no zombie, which waits for its reaper.
fn is_running(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

#[test]
fn a_process_that_may_not_be_looked_at_has_no_device_until_it_may() {
    let Some(program) = &builds()[0].program else { return };
    let mut command = Command::new(ASHMEM);
    command.args(["run", "--namespace", "never", "--"]).arg(program).arg("undumpable");
    let Some(command) = unprivileged(command) else { return };
    assert_eq!(String::from_utf8_lossy(&output(command).stdout), "unseen\nok\n");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_sandbox_that_kills_leaves_nothing_running() {
    let output = output(sandboxed(run(&["echo", "unfiltered"]), libc::SYS_seccomp, Verdict::Kill));
    assert_eq!((output.status.signal(), &output.stdout[..]), (Some(libc::SIGSYS), &b""[..]));
}
