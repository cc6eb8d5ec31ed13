// SPDX-License-Identifier: MIT OR Apache-2.0
//! A shell on a terminal of its own: key strokes and job control do to `ashmem run PROGRAM` what
//! they do to PROGRAM.

use super::{ASHMEM, LIMIT};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::ptr::{null, null_mut};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const CONTROL_C: &str = "\x03";
const CONTROL_BACKSLASH: &str = "\x1c";
const CONTROL_Z: &str = "\x1a";

/// An interactive shell with job control, and what its terminal shows.
struct Session {
    terminal: File,
    shown: Receiver<Vec<u8>>,
    seen: String,
    shell: Child,
}

impl Session {
    fn new() -> Self {
        let (mut ours, mut theirs) = (0, 0);
        // SAFETY: both numbers are filled by the call; everything else is left to its default.
        let made = unsafe { libc::openpty(&mut ours, &mut theirs, null_mut(), null(), null()) };
        assert_eq!(made, 0, "a terminal");
        // SAFETY: both descriptors are new and nobody else's.
        let (ours, theirs) = unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
        rustix::io::fcntl_setfd(&ours, rustix::io::FdFlags::CLOEXEC).expect("a flag");
        let clone = || theirs.try_clone().expect("a descriptor");
        let mut command = Command::new("sh");
        command
            .arg("-i")
            .env("PS1", "> ")
            .env("ENV", "")
            .stdin(clone())
            .stdout(clone())
            .stderr(clone());
        // SAFETY: the closure makes two system calls and nothing else.
        unsafe {
            command.pre_exec(|| {
                match libc::setsid() >= 0 && libc::ioctl(0, libc::TIOCSCTTY, 0) == 0 {
                    true => Ok(()),
                    false => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let shell = command.spawn().expect("a shell");
        let (showing, shown) = channel();
        let mut screen = ours.try_clone().expect("a descriptor");
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(got @ 1..) = screen.read(&mut bytes) {
                let _ = showing.send(bytes[..got].to_vec());
            }
        });
        let mut session = Self { terminal: ours, shown, seen: String::new(), shell };
        session.until("> ");
        session
    }

    fn send(&mut self, keys: &str) {
        self.terminal.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Reads on until this is shown; what was shown before it.
    fn until(&mut self, text: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.shown.recv_timeout(left) {
                Ok(bytes) => self.seen += &String::from_utf8_lossy(&bytes),
                Err(_) => panic!("`{text}` is not shown, but: {}", self.seen),
            }
        }
    }

    /// Starts a program and waits until it runs and is ready for keys.
    fn start(&mut self, with: &str, prepare: &str, script: &str) {
        // What is typed is shown too: the word comes as one only from the program.
        self.send(&format!("{with} sh -c '{prepare} echo u\"\"p; {script}'\n"));
        self.until("up\r\n");
    }

    /// The last command's exit status.
    fn status(&mut self) -> String {
        self.send("echo st\"\"atus $? end\n");
        self.until("status ");
        self.until(" end").trim_end_matches(" end").to_owned()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// What a user does, and sees, with this before each program.
fn played(with: &str) -> Vec<String> {
    let mut session = Session::new();
    let mut seen = Vec::new();
    // Ctrl-C and Ctrl-\ end it.
    for keys in [CONTROL_C, CONTROL_BACKSLASH] {
        session.start(with, "", "exec sleep 60");
        session.send(keys);
        seen.push(session.status());
    }
    // One that minds Ctrl-C itself.
    session.start(with, "trap \"echo cau\"\"ght; exit 5\" INT;", "while :; do sleep 0.05; done");
    session.send(CONTROL_C);
    session.until("caught");
    seen.push(session.status());
    // Ctrl-Z stops it, the shell notices, `fg` has it go on, and it has the terminal again.
    session.start(with, "", "read line; echo got $line; exit 7");
    session.send(CONTROL_Z);
    session.until("Stopped");
    session.send("fg\n");
    session.until("read line");
    session.send("a word\n");
    session.until("got a word");
    seen.push(session.status());
    // In the background it may not read the terminal (SIGTTIN), in the foreground it may.
    session.send(&format!(
        "{with} sh -c 'read line; echo r\"\"ead $line; exit 9' & wait $!; echo w\"\"aited $? end\n"
    ));
    session.until("waited ");
    seen.push(session.until(" end").trim_end_matches(" end").to_owned());
    session.send("fg\n");
    session.until("exit 9");
    session.send("another\n");
    session.until("read another");
    seen.push(session.status());
    // Between two pipes it is one of three.
    session.send(&format!("echo through | {with} cat | tr a-z A-Z\n"));
    session.until("THROUGH");
    seen.push(session.status());
    seen
}

#[test]
fn key_strokes_and_job_control_work_as_without_us() {
    let bare = played("");
    assert_eq!(bare, ["130", "131", "5", "7", "149", "9", "0"], "the shell's own");
    assert_eq!(played(&format!("{ASHMEM} run --")), bare);
}

#[test]
fn a_terminal_that_hangs_up_ends_the_program() {
    let mut session = Session::new();
    session.start(&format!("{ASHMEM} run --"), "", "echo pid $$ end; exec sleep 60");
    session.until("pid ");
    let pid: i32 = session.until(" end").trim_end_matches(" end").parse().expect("a number");
    let alive = || {
        // SAFETY: kill touches no memory.
        unsafe { libc::kill(pid, 0) == 0 }
    };
    assert!(alive());
    let deadline = Instant::now() + LIMIT;
    // SAFETY: the ioctl takes no pointer.
    unsafe { libc::ioctl(session.terminal.as_raw_fd(), libc::TIOCVHANGUP) };
    drop(session);
    while alive() {
        assert!(Instant::now() < deadline, "the program lives on without its terminal");
        std::thread::sleep(Duration::from_millis(10));
    }
}
