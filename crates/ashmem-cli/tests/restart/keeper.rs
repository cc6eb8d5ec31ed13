// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem agent --keep`: its agents are killed and replaced, and its containers go on.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use crate::running_client::{Client, Guarded};

/// A keeper with an agent, in a folder of its own.
pub(crate) struct Kept {
    folder: PathBuf,
    keeper: Guarded,
}

impl Kept {
    pub(crate) fn start(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("ashmem-keep-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let keeper = spawn(&folder);
        let kept = Self { folder, keeper: Guarded(keeper) };
        assert!(eventually(|| kept.agent().is_some()), "no agent was started");
        kept
    }

    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The number of the agent's process, which is the keeper's only child.
    pub(crate) fn agent(&self) -> Option<i32> {
        let keeper = self.keeper.0.id();
        let children = std::fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children"));
        children.ok()?.split_whitespace().next()?.parse().ok()
    }

    /// Has the agent ended by this, and waits for the next.
    pub(crate) fn replace(&self, end: impl FnOnce(i32)) {
        let before = self.agent();
        end(before.expect("an agent runs"));
        let is_next = || self.agent().is_some_and(|agent| Some(agent) != before);
        assert!(eventually(is_next), "no other agent followed {before:?}");
    }

    /// Sends the keeper a signal.
    pub(crate) fn signal(&self, signal: i32) {
        send(self.keeper.0.id() as i32, signal);
    }

    /// Asks the keeper to end, which must go well and leave nothing.
    pub(crate) fn stop(mut self) {
        self.signal(libc::SIGTERM);
        assert!(self.keeper.0.wait().expect("our child").success(), "an orderly end");
        let left: Vec<_> = std::fs::read_dir(&self.folder).expect("the folder").collect();
        assert!(left.is_empty(), "it left {left:?}");
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn spawn(folder: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ashmem"));
    command.args(["agent", "--keep"]);
    for (option, name) in [("--oci", "agent.sock"), ("--join", "join.sock")] {
        command.arg(option).arg(format!("unix:{}", folder.join(name).display()));
    }
    command.spawn().expect("the keeper starts")
}

pub(crate) fn send(pid: i32, signal: i32) {
    // SAFETY: no memory is touched; the process is a child of ours, or a child's.
    unsafe { libc::kill(pid, signal) };
}

fn eventually(holds: impl Fn() -> bool) -> bool {
    (0..3000).any(|_| {
        thread::sleep(Duration::from_millis(10));
        holds()
    })
}

#[test]
fn a_killed_keepers_socket_can_be_had_again_and_its_agent_is_gone() {
    let mut kept = Kept::start("again");
    let agent = kept.agent().expect("an agent runs");
    kept.keeper.0.kill().expect("our child");
    kept.keeper.0.wait().expect("our child");
    let is_gone = || !Path::new(&format!("/proc/{agent}")).exists() || is_dead(agent);
    assert!(eventually(is_gone), "the agent outlived its keeper");
    kept.keeper = Guarded(spawn(&kept.folder));
    assert!(eventually(|| kept.agent().is_some()), "no agent was started");
    let mode = |name| {
        let status = std::fs::metadata(kept.socket(name)).expect("a socket");
        status.permissions().mode() & 0o777
    };
    let modes = ["agent.sock", "agent.sock.keeper", "join.sock"].map(mode);
    assert_eq!(modes, [0o600, 0o600, 0o666]);
    kept.stop();
}

/// Whether it has ended and was not waited for yet.
fn is_dead(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit_once(')').is_none_or(|(_, rest)| rest.starts_with(" Z"))
}

/// Every other agent is killed, the rest are replaced as for an upgrade.
pub(crate) fn replaced_under(kept: &Kept, clients: Vec<Client>) {
    for turn in 0..12 {
        // At ever other moments of a request.
        thread::sleep(Duration::from_micros(100_000 + 7_919 * turn));
        if turn % 2 == 0 {
            kept.replace(|agent| send(agent, libc::SIGKILL));
        } else {
            kept.replace(|_| kept.signal(libc::SIGHUP));
        }
    }
    let rounds: Vec<u64> = clients.into_iter().map(Client::finish).collect();
    assert!(rounds.iter().all(|rounds| *rounds > 20), "{rounds:?}");
}
