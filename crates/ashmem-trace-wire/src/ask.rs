// SPDX-License-Identifier: MIT OR Apache-2.0
//! Asks supervisors about their regions.
//!
//! A supervisor holds a socket that has no name any more, and is reached through its own
//! `/proc/PID/fd`: so the kernel lets exactly those ask who may look at the supervisor's memory and
//! descriptors (`PTRACE_MODE_READ`, ptrace(2)), and needs no other rule.
//!
//! Any user can run something that looks like a supervisor, and root asks it. So:
//!
//! - nothing is connected to but a socket without a name that belongs to the supervisor's own user:
//!   nobody can have a third party's socket spoken to by root;
//! - each user's supervisors are asked in a thread of their own, which is not waited for longer
//!   than the patience: a file system of that user's may hold up even an open or a connect;
//! - of an answer only what the asker wants is kept.

use std::collections::HashSet;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxFlags};
use rustix::io::{Errno, Result};
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use crate::question::{AnswerPart, Question};

/// Supervisors of one user that are connected to at a time.
const AT_ONCE: usize = 64;
/// Parts of the answers of one user's supervisors that are kept at most.
const MOST_PARTS: usize = 1 << 20;

/// Where a supervisor is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupervisorPlace {
    /// Its process.
    pub pid: i32,
    /// The number of its socket among its descriptors.
    pub socket: i32,
    /// The effective user of the process.
    pub user: u32,
}

/// What a supervisor answered.
#[derive(Clone, Debug)]
pub struct SupervisorAnswer {
    /// Who.
    pub supervisor: SupervisorPlace,
    /// What, as far as it was wanted.
    pub parts: Vec<AnswerPart>,
}

/// The users whose supervisors are being asked, so that nobody's can gather threads here.
static BUSY: LazyLock<Mutex<HashSet<u32>>> = LazyLock::new(Mutex::default);

/// Asks these supervisors, and returns the answers that were whole within this time. Whoever does
/// not answer is left out; so are all of a user one of whose holds up the asking for good.
pub fn ask(
    supervisors: &[SupervisorPlace],
    question: Question,
    patience: Duration,
    wanted: impl Fn(&AnswerPart) -> bool + Send + Sync + 'static,
) -> Vec<SupervisorAnswer> {
    let deadline = Instant::now() + patience;
    // A little earlier: who asks again at once finds the threads gone.
    let end_of_talks = Instant::now() + patience.mul_f64(0.9);
    let wanted = Arc::new(wanted);
    let (sender, receiver) = channel();
    let users: HashSet<u32> = supervisors.iter().map(|supervisor| supervisor.user).collect();
    for user in users {
        if !busy().insert(user) {
            continue;
        }
        let theirs: Vec<SupervisorPlace> =
            supervisors.iter().copied().filter(|supervisor| supervisor.user == user).collect();
        let (sender, wanted) = (sender.clone(), Arc::clone(&wanted));
        let work = move || {
            let mut room = MOST_PARTS;
            for some in theirs.chunks(AT_ONCE) {
                converse(some, question, end_of_talks, wanted.as_ref(), &mut room, &sender);
            }
            busy().remove(&user);
        };
        if Builder::new().name("ask".into()).spawn(work).is_err() {
            busy().remove(&user);
        }
    }
    drop(sender);
    let mut answers = Vec::new();
    while let Ok(answer) = receiver.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    {
        answers.push(answer);
    }
    answers
}

fn busy() -> std::sync::MutexGuard<'static, HashSet<u32>> {
    BUSY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Talks with all of these at once.
fn converse(
    supervisors: &[SupervisorPlace],
    question: Question,
    deadline: Instant,
    wanted: &impl Fn(&AnswerPart) -> bool,
    room: &mut usize,
    answers: &Sender<SupervisorAnswer>,
) {
    let begin = |supervisor| Conversation::begin(supervisor, question).ok();
    let mut open: Vec<Conversation> = supervisors.iter().copied().filter_map(begin).collect();
    while !open.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let ready: Vec<bool> = {
            let polled = open.iter().map(|talk| PollFd::new(&talk.connection, PollFlags::IN));
            let mut polled: Vec<_> = polled.collect();
            match poll(&mut polled, Some(&left)) {
                Ok(_) => polled.iter().map(|polled| !polled.revents().is_empty()).collect(),
                Err(Errno::INTR) => continue,
                Err(_) => return,
            }
        };
        let mut ready = ready.into_iter();
        open.retain_mut(|talk| {
            if !ready.next().unwrap_or_default() {
                return true;
            }
            match talk.read(wanted, room) {
                Ok(TalkProgress::More) => true,
                Ok(TalkProgress::Whole) => {
                    let (supervisor, parts) = (talk.supervisor, std::mem::take(&mut talk.parts));
                    // Nobody waits any more.
                    let _ = answers.send(SupervisorAnswer { supervisor, parts });
                    false
                }
                Err(_) => false,
            }
        });
    }
}

enum TalkProgress {
    More,
    Whole,
}

/// A question that was sent.
struct Conversation {
    supervisor: SupervisorPlace,
    connection: OwnedFd,
    /// What was received and not understood yet.
    bytes: Vec<u8>,
    parts: Vec<AnswerPart>,
}

impl Conversation {
    fn begin(supervisor: SupervisorPlace, question: Question) -> Result<Self> {
        let place = place(supervisor)?;
        let connection = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        let through = format!("/proc/self/fd/{}", place.as_raw_fd());
        // EAGAIN: it has more askers than it accepts.
        rustix::net::connect(&connection, &SocketAddrUnix::new(through)?)?;
        let peer = rustix::net::sockopt::socket_peercred(&connection)?;
        if peer.uid.as_raw() != supervisor.user {
            return Err(Errno::PERM);
        }
        let bytes = question.encode();
        if rustix::net::send(&connection, &bytes, SendFlags::NOSIGNAL)? != bytes.len() {
            return Err(Errno::PIPE);
        }
        Ok(Self { supervisor, connection, bytes: Vec::new(), parts: Vec::new() })
    }

    /// Reads once; an error also where it is no answer.
    fn read(
        &mut self,
        wanted: &impl Fn(&AnswerPart) -> bool,
        room: &mut usize,
    ) -> Result<TalkProgress> {
        let mut buffer = [0; 16 << 10];
        let len = match rustix::io::read(&self.connection, &mut buffer) {
            Ok(0) => return Err(Errno::PIPE),
            Ok(len) => len,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(TalkProgress::More),
            Err(error) => return Err(error),
        };
        self.bytes.extend_from_slice(&buffer[..len]);
        let mut at = 0;
        while let Some((part, len)) =
            AnswerPart::decode(&self.bytes[at..]).map_err(|_| Errno::PROTO)?
        {
            at += len;
            if part == AnswerPart::End {
                return Ok(TalkProgress::Whole);
            }
            if wanted(&part) {
                *room = room.checked_sub(1).ok_or(Errno::TOOBIG)?;
                self.parts.push(part);
            }
        }
        self.bytes.drain(..at);
        Ok(TalkProgress::More)
    }
}

/// The supervisor's socket, if it is one without a name and of its own user.
fn place(supervisor: SupervisorPlace) -> Result<OwnedFd> {
    let path = format!("/proc/{}/fd/{}", supervisor.pid, supervisor.socket);
    let place = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let wanted = StatxFlags::TYPE | StatxFlags::UID | StatxFlags::NLINK;
    // The owner of a file system may not be asked.
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let file = rustix::fs::statx(&place, "", flags, wanted)?;
    let is_socket = FileType::from_raw_mode(file.stx_mode.into()) == FileType::Socket;
    if is_socket && file.stx_nlink == 0 && file.stx_uid == supervisor.user {
        Ok(place)
    } else {
        Err(Errno::PERM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::RegionState;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    const STATE: RegionState =
        RegionState { inode: 7, size: 4096, mask: 3, unpinned: 1, purged: 0 };

    /// A socket without a name, or with one, of this process, and where it is asked.
    fn socket(name: &str, keeps_name: bool) -> (UnixListener, OwnedFd, SupervisorPlace) {
        let path = std::env::temp_dir().join(format!("ask-{}-{name}", std::process::id()));
        let listener = UnixListener::bind(&path).expect("a socket");
        let place =
            rustix::fs::open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).expect("it");
        if !keeps_name {
            std::fs::remove_file(&path).expect("it is ours");
        }
        let (pid, socket) = (std::process::id() as i32, place.as_raw_fd());
        let user = rustix::process::geteuid().as_raw();
        (listener, place, SupervisorPlace { pid, socket, user })
    }

    /// Answers the next question by this.
    fn answer(listener: UnixListener, bytes: Vec<u8>) -> std::thread::JoinHandle<()> {
        std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().expect("an asker");
            let _ = connection.read(&mut [0; 64]);
            let _ = connection.write_all(&bytes);
        })
    }

    fn bytes(parts: &[AnswerPart]) -> Vec<u8> {
        let mut bytes = Vec::new();
        parts.iter().for_each(|part| part.encode(&mut bytes));
        bytes
    }

    /// All of it in one test: it is one user's supervisors that are asked, one time after another.
    #[test]
    fn who_answers_is_heard_and_nobody_else_is_waited_for() {
        let patience = Duration::from_secs(2);
        let whole = [AnswerPart::Region(STATE), AnswerPart::End];
        let (good, _one, good_place) = socket("good", false);
        let (cut, _two, cut_place) = socket("cut", false);
        let (other, _three, other_place) = socket("other", false);
        let (_silent, _four, silent_place) = socket("silent", false);
        let threads = [
            answer(good, bytes(&whole)),
            answer(cut, bytes(&whole[..1])),
            answer(other, b"HTTP/1.1 400 Bad Request\r\n".to_vec()),
        ];
        let places = [silent_place, cut_place, other_place, good_place];
        let began = Instant::now();
        let answers = ask(&places, Question::Regions, patience, |_| true);
        assert!(began.elapsed() < 4 * patience, "it waits no longer than it has patience");
        assert_eq!(answers.len(), 1);
        assert_eq!((answers[0].supervisor, &answers[0].parts[..]), (good_place, &whole[..1]));
        threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
        while !busy().is_empty() {
            std::thread::yield_now();
        }

        // What nobody wants is not kept, whatever comes.
        let (endless, _five, place) = socket("endless", false);
        let parts = answer(endless, bytes(&vec![AnswerPart::Region(STATE); 100_000]));
        assert!(ask(&[place], Question::Regions, patience, |_| false).is_empty());
        parts.join().expect("it ends");
        while !busy().is_empty() {
            std::thread::yield_now();
        }

        // A socket that has a name is another service's, and hears nothing.
        let (named, _six, place) = socket("named", true);
        named.set_nonblocking(true).expect("a flag");
        assert!(ask(&[place], Question::Regions, patience, |_| true).is_empty());
        assert!(named.accept().is_err(), "nobody connected");
        let path = std::env::temp_dir().join(format!("ask-{}-named", std::process::id()));
        std::fs::remove_file(path).expect("it is ours");
    }
}
