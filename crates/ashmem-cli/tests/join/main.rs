// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem join` with a real agent: what becomes of the process that joins, and what strangers can
//! do to the agent at a socket that is open to everybody.

#[path = "../stalling/mod.rs"]
mod stalling;
mod strangers;
mod withheld;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

const NOBODY: u32 = 65534;
/// What has not happened by then hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// An agent with a socket to join at, in a folder that everybody can reach.
struct Agent {
    folder: PathBuf,
    child: Child,
}

impl Agent {
    fn start(name: &str) -> Self {
        Self::logging_to(Stdio::inherit(), name)
    }

    fn logging_to(log: Stdio, name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("ashmem-join-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).expect("ours");
        let program = folder.join("ashmem");
        // By another process: what a test beside this one starts meanwhile would hold our copy open
        // for writing, and a program that is being written is not executed (ETXTBSY).
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_ashmem")).arg(&program).status();
        assert!(copied.expect("cp starts").success(), "no copy of the program");
        let socket = folder.join("join.sock");
        let mut command = Command::new(&program);
        command.arg("agent").arg("--join").arg(format!("unix:{}", socket.display()));
        let child = command.stderr(log).spawn().expect("the agent starts");
        let deadline = Instant::now() + LIMIT;
        let address = SocketAddrUnix::new(&socket).expect("short");
        let listens = || {
            let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
            rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)
                .and_then(|probe| rustix::net::connect(probe, &address))
        };
        while listens().is_err() {
            assert!(Instant::now() < deadline, "the agent makes no socket");
            thread::sleep(Duration::from_millis(5));
        }
        Self { folder, child }
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("join.sock")
    }

    /// `ashmem join` of a command.
    fn join(&self, words: &[&str]) -> Command {
        join_at(&self.folder.join("ashmem"), &self.socket(), words)
    }

    /// Whether a process that joins now gets a region.
    fn serves(&self) -> Output {
        finish(self.join(&["sh", "-c", OPENS]))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A shell opens the device for reading and writing, and names what it got.
const OPENS: &str = "exec 3<>/dev/ashmem && readlink /proc/self/fd/3";

fn join_at(program: &Path, socket: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.arg("join").arg("--agent").arg(socket).arg("--").args(words);
    // The agent of these tests is no parent of what joins.
    // SAFETY: between fork and exec there is one system call.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY);
            Ok(())
        });
    }
    command
}

fn finish(mut command: Command) -> Output {
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let deadline = Instant::now() + LIMIT;
    while child.try_wait().expect("our child").is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("still running after {LIMIT:?}: {command:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("its output")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether this region is a memfd of the agent's.
fn is_region(output: &Output) -> bool {
    output.status.success() && text(&output.stdout).starts_with("/memfd:")
}

#[test]
fn a_process_that_joined_is_answered_and_is_the_one_it_was() {
    let agent = Agent::start("stays");
    let served = agent.serves();
    assert!(is_region(&served), "{served:?}");
    // The same process, with its environment, arguments and descriptors.
    let script = "echo $$ $KEPT $0 $1; exec 3<>/dev/ashmem; exec sh -c 'trap - PIPE; kill -s PIPE \
                  $$; exit 3'";
    let mut command = agent.join(&["sh", "-c", script, "zero", "one"]);
    command.env("KEPT", "kept").stdout(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    assert_eq!(line.trim(), format!("{} kept zero one", child.id()));
    let status = child.wait().expect("our child");
    assert_eq!(status.signal(), Some(libc::SIGPIPE), "its default action: {status:?}");
}

/// Its log may be a file on a full disk, or a pipe to a logger that has ended.
#[test]
fn an_agent_serves_on_while_its_log_takes_nothing() {
    let full = File::options().write(true).open("/dev/full").expect("every Linux has it");
    let (reader, no_reader) = std::io::pipe().expect("a pipe");
    drop(reader);
    for (name, log) in [("full", Stdio::from(full)), ("unread", Stdio::from(no_reader))] {
        let mut agent = Agent::logging_to(log, name);
        for _ in 0..3 {
            let served = agent.serves();
            assert!(is_region(&served), "{name}: {served:?}");
        }
        assert!(agent.child.try_wait().expect("our child").is_none(), "{name}: it has ended");
    }
}

#[test]
fn what_cannot_join_says_why_and_is_not_started_unless_that_is_wanted() {
    let nowhere = Path::new("/run/no-such-agent.sock");
    let program = Path::new(env!("CARGO_BIN_EXE_ashmem"));
    let output = finish(join_at(program, nowhere, &["echo", "started"]));
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(125), &b""[..]));
    let said = text(&output.stderr);
    assert!(said.contains("no agent answers at /run/no-such-agent.sock"), "{said}");
    assert!(said.contains("systemctl start ashmem-join.socket") && said.lines().count() == 1);
    let mut command = Command::new(program);
    command.args(["join", "--or-without", "--agent"]).arg(nowhere).args(["--", "echo", "started"]);
    let output = finish(command);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"started\n"[..]));
    assert!(text(&output.stderr).contains("echo has no /dev/ashmem: no agent"), "{output:?}");
    let agent = Agent::start("wrong");
    let output = finish(agent.join(&["/no/such/program"]));
    assert_eq!(output.status.code(), Some(127), "{output:?}");
}

/// An agent that is none: it says what it is told to, and leaves.
fn pretender(folder: &Path, answers: &'static [&'static str]) -> PathBuf {
    let path = folder.join("pretender.sock");
    let _ = std::fs::remove_file(&path);
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .expect("a socket");
    rustix::net::bind(&socket, &SocketAddrUnix::new(&path).expect("short")).expect("a free path");
    rustix::net::listen(&socket, 4).expect("it listens");
    let listener = UnixListener::from(socket);
    thread::spawn(move || {
        let (stream, _) = listener.accept().expect("somebody joins");
        for answer in answers {
            let mut bytes = [0; 64];
            let _ = rustix::io::read(&stream, &mut bytes);
            let _ = rustix::io::write(&stream, answer.as_bytes());
        }
    });
    path
}

#[test]
fn an_agent_that_goes_away_in_between_leaves_nothing_that_runs_unanswered() {
    let agent = Agent::start("leaves");
    for (answers, or_without, started) in [
        (&["no room"][..], true, true),
        (&["no room"][..], false, false),
        (&[][..], true, true),
        // Filtered by then: no option helps.
        (&["+", "no room"][..], true, false),
        (&["+"][..], true, false),
    ] {
        let socket = pretender(&agent.folder, answers);
        let mut command = Command::new(agent.folder.join("ashmem"));
        command.arg("join").arg("--agent").arg(socket);
        if or_without {
            command.arg("--or-without");
        }
        command.args(["--", "echo", "started"]);
        let output = finish(command);
        let wanted = if started { Some(0) } else { Some(125) };
        assert_eq!(output.status.code(), wanted, "{answers:?}: {output:?}");
        assert_eq!(output.stdout.is_empty(), !started, "{answers:?}: {output:?}");
    }
}

#[test]
fn other_users_join_in_user_namespaces_and_outside_of_them() {
    let agent = Agent::start("others");
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root's agent has users to serve");
    }
    let mut outside = agent.join(&["sh", "-c", OPENS]);
    let output = finish(std::mem::replace(outside.uid(NOBODY).gid(NOBODY), Command::new("true")));
    assert!(is_region(&output), "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains("no_new_privs") && said.lines().count() == 1, "{said}");
    let program = agent.folder.join("ashmem").display().to_string();
    let socket = agent.socket().display().to_string();
    let mut inside = Command::new("unshare");
    inside.args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]);
    inside.args([&program, "join", "--agent", &socket, "--", "sh", "-c"]);
    inside.arg(format!("echo $$; {OPENS}")).uid(NOBODY).gid(NOBODY);
    let output = finish(inside);
    let said = text(&output.stdout);
    assert!(said.starts_with("1\n/memfd:") && output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "root of a user namespace needs no no_new_privs: {output:?}");
}

#[test]
fn programs_in_another_root_find_the_device() {
    let agent = Agent::start("root");
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root changes its root");
    }
    let root = agent.folder.join("root");
    std::fs::create_dir_all(root.join("dev")).expect("a folder");
    std::fs::copy("/bin/busybox", root.join("sh")).expect("a static shell");
    let chroot = root.display().to_string();
    let script = "exec 3<>/dev/ashmem && echo opened";
    let output = finish(agent.join(&["chroot", &chroot, "/sh", "-c", script]));
    assert_eq!(text(&output.stdout), "opened\n", "{output:?}");
}
