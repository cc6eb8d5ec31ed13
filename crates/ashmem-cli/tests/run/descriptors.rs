// SPDX-License-Identifier: MIT OR Apache-2.0
//! A supervisor that may have few descriptors keeps fewer, and answers as well.

use super::{ASHMEM, builds, finish};
use std::io::Write;
use std::process::{Command, Stdio};

/// From little more than a supervisor cannot do without to fewer than two hundred callers would
/// have it keep.
const LIMITS: [u32; 3] = [20, 32, 64];

/// Runs a verb of the client to its end, with so few descriptors for the supervisor and each of its
/// processes.
fn within(limit: u32, verb: &str, level: &str) {
    let Some(client) = &builds()[0].program else { return };
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\""), ASHMEM]);
    command.args(["run", "--fidelity", level, "--"]).arg(client).arg(verb);
    if level == "fast" {
        command.env("ASHMEM_TEST_FAST", "1");
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starting");
    // One turn of those that are made for several.
    child.stdin.take().expect("its input").write_all(b"\n").expect("it reads or ends");
    let output = finish(child);
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let done = output.status.success() && said[0].trim_end().ends_with("ok");
    assert!(done, "{verb}, {level}, {limit} descriptors: {:?}\n{}", output.status, said.concat());
}

#[test]
fn two_hundred_processes_at_once_are_answered_by_few_descriptors() {
    for limit in LIMITS {
        within(limit, "crowd", "full");
        within(limit, "crowd", "fast");
    }
}

#[test]
fn regions_that_come_and_go_are_answered_by_few_descriptors() {
    for limit in LIMITS {
        within(limit, "churn", "full");
        within(limit, "churn", "fast");
    }
}
