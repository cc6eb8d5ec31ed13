// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem agent --keep`: its agents are killed and replaced, and its containers go on.

use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
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
        Self::start_by(name, |_| {})
    }

    /// One whose start this changes.
    pub(crate) fn start_by(name: &str, change: impl FnOnce(&mut Command)) -> Self {
        let folder =
            std::env::temp_dir().join(format!("ashmem-keep-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut command = command(&folder);
        change(&mut command);
        let keeper = Guarded(command.spawn().expect("the keeper starts"));
        let kept = Self { folder, keeper };
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
    pub(crate) fn stop(self) {
        assert_eq!(self.stopped(), [""; 0]);
    }

    /// Asks the keeper to end, which must go well; what it leaves.
    fn stopped(mut self) -> Vec<String> {
        self.signal(libc::SIGTERM);
        assert!(self.keeper.0.wait().expect("our child").success(), "an orderly end");
        self.names()
    }

    /// What lies in the folder of its sockets.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.folder).expect("the folder");
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<_> =
            entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ashmem"));
    command.env_remove("LISTEN_FDS").env_remove("NOTIFY_SOCKET");
    command.args(["agent", "--keep"]);
    for (option, name) in [("--oci", "agent.sock"), ("--join", "join.sock")] {
        command.arg(option).arg(format!("unix:{}", folder.join(name).display()));
    }
    command
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
    // It hears of nothing any more, and is gone all the same.
    send(agent, libc::SIGSTOP);
    kept.keeper.0.kill().expect("our child");
    kept.keeper.0.wait().expect("our child");
    let is_gone = || !Path::new(&format!("/proc/{agent}")).exists() || is_dead(agent);
    assert!(eventually(is_gone), "the agent outlived its keeper");
    kept.keeper = Guarded(command(&kept.folder).spawn().expect("the keeper starts"));
    assert!(eventually(|| kept.agent().is_some()), "no agent was started");
    let mode = |name| {
        let status = std::fs::metadata(kept.socket(name)).expect("a socket");
        status.permissions().mode() & 0o777
    };
    assert_eq!(["agent.sock", "join.sock"].map(mode), [0o600, 0o666]);
    assert_eq!(kept.names(), ["agent.sock", "join.sock"], "and no other socket has a name");
    kept.stop();
}

#[test]
fn an_agent_that_does_not_end_is_killed_and_followed() {
    let kept = Kept::start("stuck");
    kept.replace(|agent| {
        send(agent, libc::SIGSTOP);
        kept.signal(libc::SIGHUP);
    });
    kept.stop();
}

#[test]
fn what_started_the_keeper_leaves_it_nothing() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let number = writer.as_raw_fd();
    let kept = Kept::start_by("inherited", |command| {
        // SAFETY: between fork and exec there are two system calls.
        unsafe {
            command.pre_exec(move || {
                // A child that ends is then forgotten by the kernel.
                libc::signal(libc::SIGCHLD, libc::SIG_IGN);
                libc::fcntl(number, libc::F_SETFD, 0);
                Ok(())
            });
        }
    });
    drop(writer);
    let mut reader = reader;
    let read = std::io::Read::read(&mut reader, &mut [0]).expect("a pipe");
    assert_eq!(read, 0, "nobody has its other end");
    for _ in 0..2 {
        kept.replace(|agent| send(agent, libc::SIGKILL));
    }
    kept.stop();
}

#[test]
fn a_keeper_under_a_service_manager_is_refused() {
    let folder = std::env::temp_dir().join(format!("ashmem-keep-no-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    for name in ["LISTEN_FDS", "NOTIFY_SOCKET"] {
        let output = command(&folder).env(name, "1").output().expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("{name} is set")), "{said}");
    }
    std::fs::remove_dir(folder).expect("no socket was made");
}

#[test]
fn a_keeper_that_cannot_start_leaves_nothing() {
    let folder = std::env::temp_dir().join(format!("ashmem-keep-half-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut command = command(&folder);
    command.args(["--user", "65534:65534"]);
    // SAFETY: between fork and exec there is one system call. Without CAP_SETPCAP, root too cannot
    // change.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_CAPBSET_DROP, 8, 0, 0, 0);
            Ok(())
        });
    }
    let output = command.output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("--user"), "{said}");
    std::fs::remove_dir(folder).expect("the sockets are gone");
}

/// Those lines of `/proc/PID/status` that tell a process's rights.
fn rights(pid: i32) -> Vec<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let names = ["Uid:", "Gid:", "Groups:", "CapEff:", "CapBnd:", "NoNewPrivs:"];
    let is_asked = |line: &&str| names.iter().any(|name| line.starts_with(name));
    status.lines().filter(is_asked).map(|line| line.replace('\t', " ").trim().to_owned()).collect()
}

/// Sets how many processes the user 65534 may have for this one of its own to fork; the bound
/// before. A process of that user sets it, as it may without any right of root's.
fn bound_processes(pid: i32, most: libc::rlim_t) -> libc::rlim_t {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = Command::new("true");
    command.uid(65534).gid(65533).stdout(writer);
    // SAFETY: between fork and exec there are system calls, with structures of that closure.
    unsafe {
        command.pre_exec(move || {
            let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            let got = libc::prlimit(pid, libc::RLIMIT_NPROC, std::ptr::null(), &mut limit);
            let before = limit.rlim_cur.to_ne_bytes();
            libc::write(1, before.as_ptr().cast(), before.len());
            limit.rlim_cur = most;
            let set = libc::prlimit(pid, libc::RLIMIT_NPROC, &limit, std::ptr::null_mut());
            if got == 0 && set == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        });
    }
    assert!(command.status().expect("prlimit").success());
    drop(command);
    let mut before = [0; size_of::<libc::rlim_t>()];
    std::io::Read::read_exact(&mut reader, &mut before).expect("what it was");
    libc::rlim_t::from_ne_bytes(before)
}

#[test]
fn a_service_users_keeper_outlives_a_want_of_processes() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: root alone may change to another user");
    }
    let log = std::env::temp_dir().join(format!("ashmem-keep-log-{}", std::process::id()));
    let file = std::fs::File::create(&log).expect("a file");
    let kept = Kept::start_by("user", |command| {
        command.args(["--user", "65534:65533"]).stderr(file);
    });
    let keeper = kept.keeper.0.id() as i32;
    let client = Client::joined(&kept.socket("join.sock"), Duration::from_secs(3));
    let agent = kept.agent().expect("an agent runs");
    for pid in [keeper, agent] {
        let rights = rights(pid);
        let (uid, gid) = ("Uid: 65534 65534 65534 65534", "Gid: 65533 65533 65533 65533");
        let (effective, bound) = ("CapEff: 0000000000080004", "CapBnd: 0000000000080004");
        assert_eq!(rights, [uid, gid, "Groups:", effective, bound, "NoNewPrivs: 1"]);
    }
    // Root's: no other process of this user may trace it, or take what it stores.
    let owner = |pid| std::fs::metadata(format!("/proc/{pid}/environ")).expect("it runs").uid();
    assert_eq!(owner(keeper), 0);

    let before = bound_processes(keeper, 0);
    send(agent, libc::SIGKILL);
    let said = || std::fs::read_to_string(&log).expect("the log");
    assert!(eventually(|| said().contains("starting the agent failed")), "{}", said());
    bound_processes(keeper, before);
    assert!(eventually(|| kept.agent().is_some()), "no agent followed: {}", said());
    assert!(client.finish() > 0);
    // Their folder is root's.
    assert_eq!(kept.stopped(), ["agent.sock", "join.sock"]);
    std::fs::remove_file(log).expect("it was ours");
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
