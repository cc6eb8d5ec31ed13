// SPDX-License-Identifier: MIT OR Apache-2.0
//! A service manager, as far as the agent needs one: passes descriptors, keeps those it is given,
//! and starts the agent anew with them.

use std::collections::BTreeMap;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// Descriptors by their names.
type Kept = BTreeMap<String, OwnedFd>;

#[derive(Default)]
struct Heard {
    kept: Kept,
    ready: u32,
    /// Everything that the agents said, word by word.
    said: Vec<String>,
}

pub(crate) struct Manager {
    path: String,
    heard: Arc<(Mutex<Heard>, Condvar)>,
}

impl Manager {
    pub(crate) fn new(folder: &Path) -> Self {
        let path = folder.join("notify").to_string_lossy().into_owned();
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let heard = Arc::<(Mutex<Heard>, Condvar)>::default();
        let listening = Arc::clone(&heard);
        thread::spawn(move || {
            loop {
                hear(&socket, &listening);
            }
        });
        Self { path, heard }
    }

    /// Starts the agent with these descriptors, and all that are kept, and waits until it is ready.
    pub(crate) fn start(&self, sockets: &[(&str, &OwnedFd)]) -> Child {
        let (mutex, changed) = &*self.heard;
        let mut heard = mutex.lock().expect("nobody panicked");
        let wanted = heard.ready + 1;
        let passed: Vec<(&str, RawFd)> = sockets
            .iter()
            .map(|(name, fd)| (*name, fd.as_raw_fd()))
            .chain(heard.kept.iter().map(|(name, fd)| (name.as_str(), fd.as_raw_fd())))
            .collect();
        let names: Vec<&str> = passed.iter().map(|(name, _)| *name).collect();
        // Only the process itself knows its number.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "LISTEN_PID=$$ exec \"$0\" agent", env!("CARGO_BIN_EXE_ashmem")]);
        command.env("LISTEN_FDS", passed.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        command.env("NOTIFY_SOCKET", &self.path);
        let numbers: Vec<RawFd> = passed.iter().map(|(_, number)| *number).collect();
        // SAFETY: between fork and exec only descriptors are moved.
        unsafe {
            command.pre_exec(move || {
                let high = |number: RawFd| libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 200);
                let aside: [RawFd; 64] =
                    std::array::from_fn(|at| numbers.get(at).map_or(-1, |number| high(*number)));
                for (at, number) in (3..).zip(aside).take(numbers.len()) {
                    if libc::dup2(number, at) < 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
        let child = command.spawn().expect("the agent starts");
        while heard.ready < wanted {
            let (again, late) =
                changed.wait_timeout(heard, Duration::from_secs(60)).expect("nobody panicked");
            assert!(!late.timed_out(), "the agent did not say READY=1");
            heard = again;
        }
        child
    }

    /// The names of what is kept.
    pub(crate) fn names(&self) -> Vec<String> {
        self.heard.0.lock().expect("nobody panicked").kept.keys().cloned().collect()
    }

    /// Whether an agent says this, or has said it.
    pub(crate) fn was_told(&self, what: &str) -> bool {
        (0..500).any(|_| {
            thread::sleep(Duration::from_millis(10));
            self.heard.0.lock().expect("nobody panicked").said.iter().any(|line| line == what)
        })
    }

    /// Waits until this holds for what is kept.
    pub(crate) fn wait_until(&self, holds: impl Fn(&[String]) -> bool) -> bool {
        (0..500).any(|_| {
            thread::sleep(Duration::from_millis(10));
            holds(&self.names())
        })
    }
}

fn hear(socket: &UnixDatagram, heard: &(Mutex<Heard>, Condvar)) {
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(
        socket.as_fd(),
        &mut [IoSliceMut::new(&mut bytes)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    );
    let len = got.expect("a message").bytes;
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let text = String::from_utf8_lossy(&bytes[..len]);
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
    let mut state = heard.0.lock().expect("nobody panicked");
    match (value("FDNAME="), fd) {
        (Some(name), Some(fd)) if value("FDSTORE=").is_some() => drop(state.kept.insert(name, fd)),
        (Some(name), None) if value("FDSTOREREMOVE=").is_some() => drop(state.kept.remove(&name)),
        // BARRIER=1: the descriptor is closed here, which is the answer.
        _ => {}
    }
    state.said.extend(text.lines().map(str::to_owned));
    if value("READY=").is_some() {
        state.ready += 1;
        heard.1.notify_all();
    }
}
