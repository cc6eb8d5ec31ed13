// SPDX-License-Identifier: MIT OR Apache-2.0
//! A region that is handed from a program under one supervisor to a program under another one:
//! what its mask withholds from the first, it withholds from the second.
#![cfg(target_arch = "x86_64")]

use super::{ASHMEM, Build, builds, finish, is_ok, unprivileged};
use crate::sandbox::{Call, Verdict, sandboxed};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

fn run(program: &Path, options: &[&str], verb: &str) -> Command {
    let mut command = Command::new(ASHMEM);
    command.arg("run").args(options).arg("--").arg(program).arg(verb);
    command
}

/// One program gives a region, and another one takes it.
fn hand_over(what: &str, mut giver: Command, mut taker: Command) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    for (command, socket) in [(&mut giver, ours), (&mut taker, theirs)] {
        command.stdin(Stdio::from(std::os::fd::OwnedFd::from(socket)));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    let (giving, taking) = (giver.spawn().expect("starting"), taker.spawn().expect("starting"));
    // With the socket's ends of this process: whoever waits for an end that failed gets none.
    drop((giver, taker));
    is_ok(&format!("{what}: who takes it"), &finish(taking));
    is_ok(&format!("{what}: who gives it"), &finish(giving));
}

#[test]
fn a_mask_holds_under_another_supervisor() {
    for Build { what, program } in builds() {
        let Some(program) = program else { continue };
        for inside in ["at-once", "auto"] {
            for namespace in ["auto", "never"] {
                let options = ["--inside", inside, "--namespace", namespace];
                let command = |verb| run(program, &options, verb);
                let text = format!("{what}, inside {inside}, namespace {namespace}");
                hand_over(&text, command("give"), command("take"));
                // Another user's, whose program can change nothing of the memory's state.
                if let Some(taker) = unprivileged(command("take")) {
                    hand_over(&format!("{text}, as nobody"), command("give"), taker);
                }
            }
        }
    }
}

#[test]
fn a_supervisor_in_want_maps_no_region_unchecked() {
    let Some(program) = &builds()[0].program else { return };
    for (call, errno) in [
        // Of descriptors, so that it cannot look at the one that the region gets.
        (Call { number: libc::SYS_pidfd_getfd, second: Some(77) }, libc::EMFILE),
        // Of watches, so that its table takes no region.
        (libc::SYS_inotify_add_watch.into(), libc::ENOSPC),
    ] {
        let taker = run(program, &[], "take-in-want");
        let taker = sandboxed(taker, call, Verdict::Refuse(errno));
        hand_over(&format!("call {}", call.number), run(program, &[], "give"), taker);
    }
}
