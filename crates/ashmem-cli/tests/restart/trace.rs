// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem trace` of an agent's containers: it tells of all of them, comes back to the agent that
//! follows, and holds nobody up.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::running_client::Guarded;
use crate::{End, World};

/// Longer than any test lasts: the client is killed when enough was seen.
const LONG: Duration = Duration::from_secs(600);

/// A tracer that writes JSON.
struct Tracer {
    process: Guarded,
    file: PathBuf,
}

fn trace(world: &World, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ashmem"));
    let socket = format!("unix:{}", world.folder.join("agent.sock").display());
    command.args(["trace", "--source", "agent", "--agent", &socket]).args(words);
    command
}

impl Tracer {
    fn start(world: &World, name: &str, words: &[&str]) -> Self {
        let file = world.folder.join(name);
        let mut command = trace(world, words);
        command.args(["--json", "-o"]).arg(&file);
        let process = Guarded(command.stderr(Stdio::null()).spawn().expect("the tracer starts"));
        let tracer = Self { process, file };
        tracer.wait_until("it begins", |lines| !lines.is_empty());
        tracer
    }

    fn pid(&self) -> i32 {
        self.process.0.id() as i32
    }

    /// What it wrote so far; the last line may not be whole yet.
    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn wait_until(&self, what: &str, holds: impl Fn(&[Value]) -> bool) {
        let late = Instant::now() + Duration::from_secs(120);
        while !holds(&self.lines()) {
            assert!(
                Instant::now() < late,
                "waited in vain until {what}: {:?}",
                self.lines().last()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn wait_until_written(&self, bytes: u64) {
        let late = Instant::now() + Duration::from_secs(300);
        while std::fs::metadata(&self.file).expect("its file").len() < bytes {
            assert!(Instant::now() < late, "it does not go on");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Tells it to end, which it must do well; all that it wrote.
    fn end(mut self) -> Vec<Value> {
        signal(self.pid(), libc::SIGTERM);
        assert!(self.process.0.wait().expect("our child").success(), "it ends well");
        self.lines()
    }
}

fn signal(pid: i32, signal: i32) {
    // SAFETY: the process is ours and not yet waited for.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

/// How many regions a process has named.
fn rounds(lines: &[Value], pid: u32) -> usize {
    lines.iter().filter(|line| line["op"] == "SET_NAME" && line["pid"] == pid).count()
}

#[test]
fn all_containers_are_told_of_and_after_a_restart_too() {
    let world = World::new("trace");
    let agent = world.start();
    let early = world.container("early", LONG);
    let all = Tracer::start(&world, "all.json", &[]);
    let one = Tracer::start(&world, "one.json", &["-p", &early.process.0.id().to_string()]);
    let late = world.container("late", LONG);
    let pids = [early.process.0.id(), late.process.0.id()];
    all.wait_until("both have named three regions", |lines| {
        pids.iter().all(|pid| rounds(lines, *pid) >= 3)
    });
    End::Killed.of(agent);
    let _agent = world.start();
    let is_lost = |line: &Value| line["type"] == "lost" && line["events"].is_null();
    all.wait_until("both have named three more with the next agent", |lines| {
        let Some(gap) = lines.iter().position(is_lost) else { return false };
        pids.iter().all(|pid| rounds(&lines[gap..], *pid) >= 3)
    });
    one.wait_until("it is told by the next agent too", |lines| {
        lines.iter().position(is_lost).is_some_and(|gap| rounds(&lines[gap..], pids[0]) >= 3)
    });
    let lines = all.end();
    // Two containers' regions have the same keys there, and are never taken for each other.
    for pid in pids {
        let of = |is_mine: bool| {
            let events =
                lines.iter().filter(move |line| line["type"] == "event" && line["pid"] != 0);
            events
                .filter(move |line| (line["pid"] == pid) == is_mine)
                .map(|line| &line["region"]["id"])
        };
        let others: std::collections::HashSet<_> = of(false).map(Value::to_string).collect();
        assert!(
            of(true).all(|id| !others.contains(&id.to_string())),
            "a region is told as another container's"
        );
    }
    let kept = lines
        .iter()
        .find(|line| line["region"]["name"] == "kept over restarts")
        .expect("it is used in each round");
    assert_eq!(kept["region"]["size"], 8 * 4096);
    let lines = one.end();
    assert!(
        rounds(&lines, pids[0]) >= 6 && rounds(&lines, pids[1]) == 0,
        "only the one that was asked for"
    );
}

#[test]
fn a_tracer_that_stalls_or_dies_holds_no_container_up() {
    let world = World::new("stall");
    let _agent = world.start();
    let (stalled, killed) =
        (Tracer::start(&world, "stalled.json", &[]), Tracer::start(&world, "killed.json", &[]));
    signal(stalled.pid(), libc::SIGSTOP);
    let client = world.container("one", LONG);
    // Several times what the other's pipe holds.
    killed.wait_until_written(8 << 20);
    drop(killed);
    // And one that comes while nobody reads.
    world.container("two", Duration::from_secs(1)).finish();
    // Nothing happens from now on that would have to be told.
    signal(client.process.0.id().cast_signed(), libc::SIGSTOP);
    signal(stalled.pid(), libc::SIGCONT);
    stalled.wait_until("it says what it lost", |lines| {
        lines.iter().any(|line| {
            line["type"] == "lost" && line["events"].as_u64().is_some_and(|lost| lost > 1000)
        })
    });
    stalled.end();
}

#[test]
fn who_may_not_trace_is_told_why() {
    let world = World::new("refused");
    let said = |command: &mut Command| {
        let output = command.output().expect("the tracer starts");
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    };
    let mut elsewhere = Command::new(env!("CARGO_BIN_EXE_ashmem"));
    elsewhere.args(["trace", "--source", "agent", "--agent", "unix:/nowhere/agent.sock"]);
    let text = said(&mut elsewhere);
    assert!(
        text.contains("no agent to trace at unix:/nowhere/agent.sock") && text.contains("--oci"),
        "{text}"
    );
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root can be somebody else");
    }
    let _agent = world.start();
    use std::os::unix::process::CommandExt as _;
    let copy = world.folder.join("ashmem");
    std::fs::copy(env!("CARGO_BIN_EXE_ashmem"), &copy).expect("a copy where anybody finds it");
    let mut nobodys = Command::new(&copy);
    let socket = format!("unix:{}", world.folder.join("agent.sock").display());
    nobodys.args(["trace", "--source", "agent", "--agent", &socket]).uid(65534).gid(65534);
    let text = said(&mut nobodys);
    assert!(text.contains("only root and the agent's own user may trace it"), "{text}");
}
