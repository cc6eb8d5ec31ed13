// SPDX-License-Identifier: MIT OR Apache-2.0
//! An agent that is killed in the midst of its work, and started anew by its service manager, loses
//! nothing.
//!
//! For most of it no container runtime is needed: the test filters a process of its own and brings
//! its listener to the agent as runc would. LXC's monitor takes part in every call, so that there
//! it is LXC itself.

mod asked;
mod client;
mod keeper;
mod lxc;
mod manager;
mod running_client;
mod trace;

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use ashmem_agent::seccomp::filter::{Fidelity, Filter, NodeLookup};
use ashmem_agent::seccomp::listener::{Privileges, install};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, recvmsg,
    sendmsg, socket_with,
};

use keeper::Kept;
use manager::Manager;
use running_client::{CLIENT, Client, Guarded};

/// Not a test by itself: what the tests below run in their containers.
#[test]
fn the_client() {
    if let Ok(milliseconds) = std::env::var(CLIENT) {
        client::work(Duration::from_millis(milliseconds.parse().expect("a number")));
    }
}

/// The folder of a test, with the sockets of an agent and its service manager.
struct World {
    folder: PathBuf,
    manager: Manager,
    oci: OwnedFd,
    lxc: OwnedFd,
    join: OwnedFd,
}

impl World {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("ashmem-restart-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let oci = listen(&folder.join("agent.sock"), SocketType::STREAM);
        let lxc = listen(&folder.join("lxc.sock"), SocketType::SEQPACKET);
        let join = listen(&folder.join("join.sock"), SocketType::SEQPACKET);
        Self { manager: Manager::new(&folder), folder, oci, lxc, join }
    }

    fn start(&self) -> Guarded {
        Guarded(self.manager.start(&[
            ("ashmem-agent.socket", &self.oci),
            ("ashmem-lxc.socket", &self.lxc),
            ("ashmem-join.socket", &self.join),
        ]))
    }

    /// A client that joins this world's agent by itself.
    fn joined(&self, time: Duration) -> Client {
        Client::joined(&self.folder.join("join.sock"), time)
    }

    /// A client of this world's agent.
    fn container(&self, id: &str, time: Duration) -> Client {
        container(&self.folder.join("agent.sock"), id, time)
    }
}

/// Starts a client under the filter and brings its listener to the agent.
fn container(agent: &Path, id: &str, time: Duration) -> Client {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", "the_client", "--nocapture"])
        .env(CLIENT, time.as_millis().to_string());
    // What is no descriptor of the client's must not look like one: 0 is what a spoilt answer would
    // be.
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let program = Filter { fidelity: Fidelity::Full, node: NodeLookup::Absent }.program();
    // SAFETY: between fork and exec there are system calls and a few allocations, in a process of
    // one thread.
    unsafe {
        command.pre_exec(move || {
            libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY);
            let listener =
                install(&program, Privileges::Renounce).map_err(std::io::Error::other)?;
            pass(&theirs, b"!", Some(&listener));
            Ok(())
        });
    }
    // The call returns when the program is executed, which needs an answer, for the loader opens
    // files.
    let starting = thread::spawn(move || command.spawn().expect("the client starts"));
    let listener = take(&ours);
    let message =
        format!(r#"{{"fds":["seccompFd"],"pid":0,"state":{{"id":"{id}","status":"creating"}}}}"#);
    let runtime = UnixStream::connect(agent).expect("the agent listens");
    pass(&runtime, message.as_bytes(), Some(&listener));
    Client::ready(starting.join().expect("it started"))
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn listen(path: &Path, kind: SocketType) -> OwnedFd {
    let socket =
        socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).expect("a socket");
    bind(&socket, &SocketAddrUnix::new(path).expect("a short path")).expect("a free path");
    rustix::net::listen(&socket, 16).expect("a socket that listens");
    socket
}

fn pass(socket: &UnixStream, bytes: &[u8], fd: Option<&OwnedFd>) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<_> = fd.into_iter().map(AsFd::as_fd).collect();
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::empty())
        .expect("the other end is there");
}

fn take(socket: &UnixStream) -> OwnedFd {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut data = [std::io::IoSliceMut::new(&mut byte)];
    recvmsg(socket, &mut data, &mut control, RecvFlags::CMSG_CLOEXEC).expect("a message");
    let found = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    found.expect("a listener")
}

/// How an agent is brought to its end.
#[derive(Clone, Copy)]
enum End {
    Killed,
    /// As a manager does it for an upgrade.
    Stopped,
}

impl End {
    fn of(self, mut agent: Guarded) {
        if let Self::Stopped = self {
            // SAFETY: the child is ours and not yet waited for.
            unsafe { libc::kill(agent.0.id() as i32, libc::SIGTERM) };
            assert!(agent.0.wait().expect("our child").success(), "an orderly end");
        }
    }
}

/// Ends one agent after the other in the midst of their clients' calls.
fn restart(world: &World, clients: Vec<Client>, turns: u64, end: End, mut agent: Guarded) {
    for turn in 0..turns {
        // At ever other moments of a request.
        thread::sleep(Duration::from_micros(100_000 + 7_919 * turn));
        end.of(agent);
        agent = world.start();
    }
    let rounds: Vec<u64> = clients.into_iter().map(Client::finish).collect();
    assert!(rounds.iter().all(|rounds| *rounds > 20), "{rounds:?}");
    assert!(
        world.manager.wait_until(<[String]>::is_empty),
        "still kept: {:?}",
        world.manager.names()
    );
}

#[test]
fn a_killed_agents_containers_go_on_with_the_next() {
    let world = World::new("load");
    let agent = world.start();
    let clients: Vec<_> = (0..4)
        .map(|number| world.container(&format!("c{number}"), Duration::from_secs(4)))
        .collect();
    assert_eq!(world.manager.names().len(), 4 * 3, "{:?}", world.manager.names());
    restart(&world, clients, 20, End::Killed, agent);
}

/// The same with systemd, its socket and its descriptor store.
#[test]
#[ignore = "needs a systemd with ashmem-agent.service: `cargo xtask package --trial bookworm \
            --service` boots one and runs this there"]
fn a_killed_services_containers_go_on_with_the_next() {
    const SERVICE: &str = "ashmem-agent.service";
    const KILLS: u64 = 12;
    let systemctl = |words: &[&str]| {
        let output =
            Command::new("systemctl").args(words).arg(SERVICE).output().expect("systemctl");
        let said = [output.stdout, output.stderr]
            .map(|text| String::from_utf8_lossy(&text).trim().to_owned());
        assert!(output.status.success(), "systemctl {words:?} {SERVICE}: {said:?}");
        said[0].clone()
    };
    let agent = Path::new("/run/ashmem/agent.sock");
    let clients: Vec<_> = (0..4)
        .map(|number| container(agent, &format!("c{number}"), Duration::from_secs(30)))
        .collect();
    let mut killed = Vec::new();
    for turn in 0..KILLS {
        thread::sleep(Duration::from_micros(800_000 + 7_919 * turn));
        killed.push(systemctl(&["show", "--property=MainPID", "--value"]));
        systemctl(&["kill", "--kill-who=main", "--signal=KILL"]);
    }
    let rounds: Vec<u64> = clients.into_iter().map(Client::finish).collect();
    assert!(rounds.iter().all(|rounds| *rounds > 20), "{rounds:?}");
    killed.retain(|pid| pid != "0");
    killed.dedup();
    assert!(killed.len() as u64 > KILLS / 2, "these were the agents that were killed: {killed:?}");
    println!("{} agents killed, rounds of four clients: {rounds:?}", killed.len());
}

#[test]
fn an_upgraded_agents_containers_go_on_with_the_next() {
    let world = World::new("upgrade");
    let agent = world.start();
    let clients: Vec<_> = (0..2)
        .map(|number| world.container(&format!("c{number}"), Duration::from_secs(2)))
        .collect();
    restart(&world, clients, 8, End::Stopped, agent);
}

#[test]
fn a_killed_agents_lxc_containers_go_on_with_the_next() {
    if let Err(why) = lxc::is_here() {
        return eprintln!("skipped: {why}");
    }
    let world = World::new("lxc");
    let agent = world.start();
    let clients: Vec<_> =
        (0..2).map(|number| lxc::start(&world.folder, number, Duration::from_secs(4))).collect();
    assert_eq!(world.manager.names().len(), 2 * 3, "{:?}", world.manager.names());
    restart(&world, clients, 20, End::Killed, agent);
}

#[test]
fn a_killed_agents_joined_containers_go_on_with_the_next() {
    let world = World::new("joined");
    let agent = world.start();
    let clients: Vec<_> = (0..2).map(|_| world.joined(Duration::from_secs(4))).collect();
    // Both are of the host, and so one container with two listeners.
    assert_eq!(world.manager.names().len(), 2 + 2, "{:?}", world.manager.names());
    restart(&world, clients, 20, End::Killed, agent);
}

#[test]
fn a_keepers_containers_go_on_with_every_agent() {
    let kept = Kept::start("load");
    let time = Duration::from_secs(6);
    let (agent, join) = (kept.socket("agent.sock"), kept.socket("join.sock"));
    let mut clients: Vec<_> =
        (0..2).map(|number| container(&agent, &format!("c{number}"), time)).collect();
    clients.push(Client::joined(&join, time));
    keeper::replaced_under(&kept, clients);
    kept.stop();
}

#[test]
fn a_container_that_ends_while_no_agent_runs_is_forgotten() {
    let world = World::new("gone");
    let agent = world.start();
    let client = world.container("c", Duration::from_secs(60));
    drop(agent);
    drop(client);
    let _agent = world.start();
    assert!(
        world.manager.wait_until(<[String]>::is_empty),
        "still kept: {:?}",
        world.manager.names()
    );
}

#[test]
fn an_agent_that_is_told_to_stop_says_so_and_ends_well() {
    let world = World::new("stop");
    End::Stopped.of(world.start());
    assert!(world.manager.was_told("STOPPING=1"), "systemd would count this as a failure");
}
