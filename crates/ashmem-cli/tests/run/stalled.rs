// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file server that stalls holds up only who asks it.

use super::{ASHMEM, builds, is_ok, output, wait_for_line};
use crate::stalling::{FLUSH, GETATTR, LOOKUP, ROOT, Stalling};
use rustix::fs::{Mode, OFlags};
use std::path::Path;
use std::process::{Command, Stdio};

/// The client's verb with that file, at a level, traced or not.
fn client(client: &Path, level: &str, trace: bool, file: &Path) -> Command {
    let mut command = Command::new(ASHMEM);
    if trace {
        command.args(["trace", "-o", "/dev/null", "--"]);
    } else {
        command.args(["run", "--fidelity", level, "--"]);
    }
    command.arg(client).arg("stalled").arg(file);
    if level == "fast" {
        command.env("ASHMEM_TEST_FAST", "1");
    }
    command
}

/// What fstat(2) and close(2) of the file ask.
fn is_about_the_file(operation: u32, node: u64, _: &[u8]) -> bool {
    operation == FLUSH || operation == GETATTR && node != ROOT
}

/// Whether there is a folder `dev`.
fn is_lookup_of_dev(operation: u32, _: u64, argument: &[u8]) -> bool {
    operation == LOOKUP && argument.starts_with(b"dev\0")
}

#[test]
fn a_file_server_that_stalls_holds_up_nobody_else() {
    let Some(program) = &builds()[0].program else { return };
    for (level, trace) in [("full", false), ("fast", false), ("full", true)] {
        let Some(stalling) = Stalling::mount(is_about_the_file) else {
            return eprintln!("skipped: only root may mount a file system that stalls");
        };
        let output = output(client(program, level, trace, &stalling.path("file")));
        is_ok(&format!("stalled, {level}, traced: {trace}"), &output);
        assert!(stalling.asked() > 0, "the client asks the server itself");
    }
}

/// Root's `list` looks at every descriptor of everybody.
#[test]
fn a_file_server_that_stalls_holds_up_no_list() {
    let Some(stalling) = Stalling::mount(is_about_the_file) else {
        return eprintln!("skipped: only root may mount a file system that stalls");
    };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let held = rustix::fs::open(stalling.path("file"), flags, Mode::empty()).expect("it is there");
    let mut command = Command::new(ASHMEM);
    command.arg("list");
    assert!(output(command).status.success());
    drop(held);
}

/// A container's root directory that stalls is told of, and does not hold the doctor up.
#[test]
fn a_container_on_a_file_server_that_stalls_holds_up_no_doctor() {
    let Some(stalling) = Stalling::mount(is_lookup_of_dev) else {
        return eprintln!("skipped: only root may mount a file system that stalls");
    };
    const CONTAINER: &str = "import os, sys, time; os.chroot(sys.argv[1]); \
                             print('up', flush=True); time.sleep(1000)";
    let mut container = Command::new("unshare")
        .args(["--pid", "--mount", "--fork", "--kill-child", "python3", "-c", CONTAINER])
        .arg(stalling.path(""))
        .stdout(Stdio::piped())
        .spawn()
        .expect("util-linux' unshare");
    wait_for_line(&mut container);
    let mut command = Command::new(ASHMEM);
    command.args(["doctor", "--json"]);
    let said = String::from_utf8_lossy(&output(command).stdout).into_owned();
    assert!(said.contains("its file system does not answer"), "{said}");
    container.kill().expect("it runs");
    container.wait().expect("its end");
}
