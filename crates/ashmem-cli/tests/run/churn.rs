// SPDX-License-Identifier: MIT OR Apache-2.0
//! Regions that come and go leave nothing behind in the supervisor.

use super::{ASHMEM, LIMIT, builds, output, run, wait_for_line};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a supervisor holds.
#[derive(Clone, Copy, Debug)]
struct Holding {
    descriptors: usize,
    /// inotify watches, one for each region it knows.
    watches: usize,
    /// Its own memory, in KiB.
    memory: u64,
}

impl Holding {
    fn of(pid: i32) -> Self {
        let folder =
            |name| std::fs::read_dir(format!("/proc/{pid}/{name}")).expect("the supervisor lives");
        let infos =
            folder("fdinfo").flatten().filter_map(|file| std::fs::read_to_string(file.path()).ok());
        let status =
            std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the supervisor lives");
        let memory = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))
            .expect("a line of its memory");
        Self {
            descriptors: folder("fd").count(),
            watches: infos
                .map(|info| info.lines().filter(|line| line.starts_with("inotify wd:")).count())
                .sum(),
            memory: memory.trim_end_matches("kB").trim().parse().expect("a number"),
        }
    }
}

#[test]
fn what_a_supervisor_makes_ahead_is_no_leak() {
    let Some(client) = &builds()[0].program else { return };
    let mut command = run(&[&client.to_string_lossy(), "churn"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starting");
    let supervisor = wait_for_line(&mut child);
    child.stdin.as_mut().expect("its input").write_all(b"\n").expect("it reads on");
    let mut list = Command::new(ASHMEM);
    list.args(["list", "--leaks", "--json"]);
    // While it opens regions; a second after the last one nothing made ahead is left.
    for _ in 0..5 {
        let listed = output(std::mem::replace(&mut list, {
            let mut list = Command::new(ASHMEM);
            list.args(["list", "--leaks", "--json"]);
            list
        }));
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(listed.status.success(), "{text}");
        assert!(!text.contains(&format!("\"pid\":{supervisor},")), "{text}");
    }
    drop(child.stdin.take());
    assert!(child.wait().expect("our child").success());
}

#[test]
fn four_thousand_regions_later_the_supervisor_holds_what_it_held() {
    let Some(client) = &builds()[0].program else { return };
    let mut command = run(&[&client.to_string_lossy(), "churn"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starting");
    let supervisor: i32 = wait_for_line(&mut child).parse().expect("a number");
    let mut turn = || {
        child.stdin.as_mut().expect("its input").write_all(b"\n").expect("it reads on");
        assert_eq!(wait_for_line(&mut child), "ok");
    };
    // The first time makes room that the next one finds made.
    turn();
    let settled = |holds: &dyn Fn(Holding) -> bool| {
        let deadline = Instant::now() + LIMIT;
        loop {
            let holding = Holding::of(supervisor);
            if holds(holding) {
                return holding;
            }
            assert!(Instant::now() < deadline, "the supervisor still has {holding:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let before = settled(&|holding| holding.watches == 0);
    turn();
    let after =
        settled(&|holding| holding.watches == 0 && holding.descriptors <= before.descriptors);
    assert!(after.memory < before.memory + 1024, "{before:?}, then {after:?}");
    drop(child.stdin.take());
    assert!(child.wait().expect("our child").success());
}
