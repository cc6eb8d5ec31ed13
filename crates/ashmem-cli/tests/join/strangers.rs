// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who may connect is everybody, so everybody may try to use the agent up, or to mislead it.

use super::{Agent, NOBODY, finish, is_region, text};
use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, sendmsg, socket_with,
};
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};

pub(super) fn connect(path: &Path) -> OwnedFd {
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .expect("a socket");
    rustix::net::connect(&socket, &SocketAddrUnix::new(path).expect("short")).expect("it listens");
    socket
}

/// Does this as nobody, where this is root.
pub(super) fn as_nobody<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    let stranger = thread::spawn(move || {
        if rustix::process::geteuid().is_root() {
            // A thread's user is its own: the others stay root.
            let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
            set_thread_res_gid(group, group, group).expect("root may");
            set_thread_res_uid(user, user, user).expect("root may");
        }
        work()
    });
    stranger.join().expect("it ends")
}

fn say(socket: &OwnedFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> bool {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(descriptors.is_empty() || control.push(SendAncillaryMessage::ScmRights(descriptors)));
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).is_ok()
}

pub(super) fn hear(socket: &OwnedFd) -> String {
    let mut bytes = [0; 2048];
    let got = rustix::io::read(socket, &mut bytes).unwrap_or(0);
    text(&bytes[..got])
}

/// The greeting's line, as the agent looks for it in this process.
pub(super) static LINE: &[u8; 16] = b"ashmem join, 1\n\0";

fn greet(socket: &OwnedFd) -> bool {
    say(socket, &[LINE.as_slice(), &(LINE.as_ptr() as u64).to_ne_bytes()].concat(), &[])
}

fn threads(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").count()
}

#[test]
fn connections_that_say_nothing_keep_nobody_out() {
    let agent = Agent::start("silent");
    let path = agent.socket();
    let silent = as_nobody(move || (0..300).map(|_| connect(&path)).collect::<Vec<_>>());
    // All have been accepted, and most were refused at once.
    let deadline = Instant::now() + Duration::from_secs(30);
    let refused = |socket: &OwnedFd| {
        let mut polled = [rustix::event::PollFd::new(socket, rustix::event::PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut polled, Some(&now)) == Ok(1)
    };
    // A user that the agent trusts has more of them.
    let refusals = if rustix::process::geteuid().is_root() { 290 } else { 230 };
    while silent.iter().filter(|socket| refused(socket)).count() < refusals {
        assert!(Instant::now() < deadline, "they are still waited for");
        thread::sleep(Duration::from_millis(10));
    }
    let last = silent.last().expect("so many");
    assert!(hear(last).contains("too many of its processes are joining"));
    let most = 310 - refusals;
    assert!(threads(agent.child.id()) < most, "{} threads", threads(agent.child.id()));
    if rustix::process::geteuid().is_root() {
        let served = agent.serves();
        assert!(is_region(&served), "{served:?}");
    }
    drop(silent);
    let served = agent.serves();
    assert!(is_region(&served), "{served:?}");
}

#[test]
fn what_is_no_greeting_and_no_listener_is_refused_and_closed() {
    let agent = Agent::start("false");
    let path = agent.socket();
    let said = as_nobody(move || {
        let mut said = Vec::new();
        let null = std::fs::File::open("/dev/null").expect("the null device");
        let many = vec![null.as_fd(); 60];
        for bytes in [&b""[..], b"x", &[0xff; 4096], b"{\"fds\":[\"seccompFd\"]}", LINE] {
            let socket = connect(&path);
            say(&socket, bytes, &many);
            said.push(hear(&socket));
        }
        // An address at which something else lies.
        let socket = connect(&path);
        say(&socket, &[LINE.as_slice(), &64_u64.to_ne_bytes()].concat(), &[]);
        said.push(hear(&socket));
        let (pipe, _other) = rustix::pipe::pipe().expect("a pipe");
        for descriptors in [&[null.as_fd()][..], &[pipe.as_fd()], &[], &[null.as_fd(); 2], &many] {
            let socket = connect(&path);
            assert!(greet(&socket));
            assert_eq!(hear(&socket), "+", "a greeting is one");
            say(&socket, b"L", descriptors);
            said.push(hear(&socket));
        }
        said
    });
    for (at, reason) in said.iter().enumerate() {
        let is_reason = reason.starts_with("it ") || reason.contains("may not look");
        assert!(is_reason, "{at}: {reason:?}");
    }
    let served = agent.serves();
    assert!(is_region(&served), "{served:?}");
    let left = || std::fs::read_dir(format!("/proc/{}/fd", agent.child.id())).expect("it").count();
    let deadline = Instant::now() + Duration::from_secs(30);
    while left() > 12 {
        assert!(Instant::now() < deadline, "{} descriptors are left", left());
        thread::sleep(Duration::from_millis(10));
    }
}

/// A TCP socket that lingers, for its peer reads nothing; and the peer.
fn lingering() -> (TcpStream, TcpStream) {
    use rustix::net::sockopt;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    sockopt::set_socket_recv_buffer_size(&listener, 4096).expect("ours");
    let address = listener.local_addr().expect("bound");
    let mut stream = TcpStream::connect(address).expect("it listens");
    let (peer, _) = listener.accept().expect("it is there");
    sockopt::set_socket_send_buffer_size(&stream, 4096).expect("ours");
    stream.set_nonblocking(true).expect("ours");
    while stream.write(&[0; 4096]).is_ok() {}
    let days = Duration::from_secs(1_000_000);
    sockopt::set_socket_linger(&stream, Some(days)).expect("ours");
    (stream, peer)
}

#[test]
fn what_lingers_in_a_message_keeps_nobody_out() {
    let agent = Agent::start("lingers");
    let path = agent.socket();
    // More than wait to be closed; each is sent at once, and many are refused with it.
    let kept = as_nobody(move || {
        let one = |_| {
            let (stream, peer) = lingering();
            let socket = connect(&path);
            say(&socket, b"x", &[stream.as_fd()]);
            // Where the agent was quicker, this end is the one that lingers.
            thread::spawn(move || drop(stream));
            (socket, peer)
        };
        (0..150).map(one).collect::<Vec<_>>()
    });
    if rustix::process::geteuid().is_root() {
        let served = agent.serves();
        assert!(is_region(&served), "{served:?}");
    }
    assert_eq!(kept.len(), 150);
}

/// A container of nobody's: a pid namespace in a user namespace, whose program waits for its end.
fn container(agent: &Agent) -> Child {
    let mut command = Command::new("unshare");
    let (program, socket) = (agent.folder.join("ashmem"), agent.socket());
    command.args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.arg(program).args(["join", "--agent"]).arg(socket);
    command.args(["--", "sh", "-c", "exec 3<>/dev/ashmem; echo opened; read line"]);
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("it starts")
}

#[test]
fn a_user_has_so_many_containers_and_no_more() {
    use std::io::Read;
    let agent = Agent::start("many");
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root's agent has strangers to serve");
    }
    let mut running: Vec<Child> = Vec::new();
    let mut refusal = String::new();
    for _ in 0..6 {
        let mut child = container(&agent);
        let mut said = [0; 7];
        let opened = child.stdout.take().expect("piped").read_exact(&mut said).is_ok();
        if opened {
            running.push(child);
        } else {
            refusal = text(&child.wait_with_output().expect("it ended").stderr);
        }
    }
    assert_eq!(running.len(), 4, "{refusal}");
    assert!(refusal.contains("4 containers of its user have joined"), "{refusal}");
    let served = agent.serves();
    assert!(is_region(&served), "root is another: {served:?}");
    // What ended counts no more.
    for child in &mut running {
        let _ = child.kill();
        let _ = child.wait();
    }
    drop(running);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut again = container(&agent);
        let mut said = [0; 7];
        let opened = again.stdout.take().expect("piped").read_exact(&mut said).is_ok();
        let _ = again.kill();
        let _ = again.wait();
        if opened {
            break;
        }
        assert!(Instant::now() < deadline, "their containers count still");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_process_that_is_supervised_already_is_told_so() {
    let agent = Agent::start("twice");
    let program = agent.folder.join("ashmem").display().to_string();
    let socket = agent.socket().display().to_string();
    let again = [&program, "join", "--agent", &socket, "--", "true"];
    let output = finish(agent.join(&again));
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    assert!(text(&output.stderr).contains("EBUSY"), "{output:?}");
}
