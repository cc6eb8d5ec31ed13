// SPDX-License-Identifier: MIT OR Apache-2.0
//! Joins that a file server of the joining process's own holds up: it never answers what the agent
//! asks about that process's root directory.

use super::stalling::{LOOKUP, Stalling};
use super::strangers::{LINE, as_nobody, connect, hear};
use super::{Agent, LIMIT, NOBODY, finish, is_region};
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};

/// Connections that the process makes: all that its container may have.
const CONNECTIONS: usize = 4;

/// A process of nobody's with its root directory there, which greets the agent on all connections
/// that it may have, and tells each answer's first byte.
struct HeldUp {
    pid: i32,
    answers: File,
}

impl HeldUp {
    fn start(folder: &Path, root: &Path) -> Self {
        let (answers, told) = rustix::pipe::pipe().expect("a pipe");
        let path = |path: &Path| CString::new(path.to_str().expect("UTF-8")).expect("no NUL");
        let (folder, root) = (path(folder), path(root));
        let address = SocketAddrUnix::new("join.sock").expect("short");
        let greeting = [LINE.as_slice(), &(LINE.as_ptr() as u64).to_ne_bytes()].concat();
        // SAFETY: the child makes system calls alone, on memory that was there before.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            // SAFETY: all strings end with a NUL.
            let is_there = unsafe {
                libc::chdir(folder.as_ptr()) == 0
                    && libc::chroot(root.as_ptr()) == 0
                    && libc::setresgid(NOBODY, NOBODY, NOBODY) == 0
                    && libc::setresuid(NOBODY, NOBODY, NOBODY) == 0
            };
            let connection = |_| {
                let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
                let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None).ok()?;
                // The working directory lies outside of the root.
                rustix::net::connect(&socket, &address).ok()?;
                rustix::io::write(&socket, &greeting).ok()?;
                Some(socket)
            };
            let connections: [Option<OwnedFd>; CONNECTIONS] = std::array::from_fn(connection);
            for connection in connections.iter().filter(|_| is_there).flatten() {
                let mut bytes = [0; 256];
                let got = rustix::io::read(connection, &mut bytes).unwrap_or(0);
                let _ = rustix::io::write(&told, &bytes[..got]);
                let _ = rustix::io::write(&told, b"\n");
            }
            // SAFETY: neither call touches memory.
            unsafe {
                libc::pause();
                libc::_exit(0);
            }
        }
        Self { pid, answers: File::from(answers) }
    }

    /// The next answer, within the time after which something hangs.
    fn answer(&mut self) -> String {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while !line.ends_with(b"\n") {
            let mut polled =
                [rustix::event::PollFd::new(&self.answers, rustix::event::PollFlags::IN)];
            let limit = rustix::event::Timespec { tv_sec: LIMIT.as_secs() as i64, tv_nsec: 0 };
            assert_eq!(rustix::event::poll(&mut polled, Some(&limit)), Ok(1), "no answer");
            self.answers.read_exact(&mut byte).expect("it lives");
            line.extend(byte);
        }
        String::from_utf8_lossy(&line).trim().to_owned()
    }
}

impl Drop for HeldUp {
    fn drop(&mut self) {
        // SAFETY: neither call touches memory; the child was not waited for yet.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}

fn is_lookup_of_dev(operation: u32, _: u64, name: &[u8]) -> bool {
    operation == LOOKUP && name == b"dev\0"
}

#[test]
fn a_root_directory_that_nobody_serves_holds_no_join_up_for_long() {
    let agent = Agent::start("withheld");
    let Some(stalling) = Stalling::mount(is_lookup_of_dev) else {
        return eprintln!("skipped: only root may mount a file system that stalls");
    };
    let mut held_up = HeldUp::start(&agent.folder, &stalling.path(""));
    let deadline = Instant::now() + LIMIT;
    while stalling.asked() < 1 {
        assert!(Instant::now() < deadline, "the agent looks nowhere");
        thread::sleep(Duration::from_millis(5));
    }
    // Others meanwhile.
    let served = agent.serves();
    assert!(is_region(&served), "{served:?}");
    for _ in 0..CONNECTIONS {
        let answer = held_up.answer();
        assert!(answer.contains("does not answer within ten seconds"), "{answer}");
    }
    // What waits there still keeps its container out, which is told why, and nobody else.
    let path = agent.socket();
    let said = as_nobody(move || {
        let socket = connect(&path);
        hear(&socket)
    });
    assert!(said.contains("file servers hold up joins"), "{said}");
    let served = agent.serves();
    assert!(is_region(&served), "{served:?}");
    // When the server ends, its container may join again.
    drop(held_up);
    drop(stalling);
    let deadline = Instant::now() + LIMIT;
    loop {
        let mut again = agent.join(&["sh", "-c", super::OPENS]);
        again.uid(NOBODY).gid(NOBODY);
        let served = finish(again);
        if is_region(&served) {
            break;
        }
        assert!(Instant::now() < deadline, "{served:?}");
        thread::sleep(Duration::from_millis(100));
    }
}
