// SPDX-License-Identifier: MIT OR Apache-2.0
//! Notifications from LXC's monitor (`lxc.seccomp.notify.proxy`).
//!
//! The monitor owns the listener. For every notification it sends one datagram, waits for our
//! answer, and passes it to the kernel; its other duties wait meanwhile. Three descriptors come
//! with the datagram: the caller's `/proc/TID`, its memory, and the listener, which we use only to
//! put descriptors into the caller.
//!
//! A datagram is read with MSG_PEEK and taken out of the socket once it is answered. So an agent
//! that dies in between leaves it for the next one, with its descriptors. Two answers to one
//! datagram would be worse than none: the monitor would take the second as the answer to its next
//! notification. So the agent marks the request that it is about to answer, in memory that survives
//! it, and the next agent finds out first whether the answer to a marked request was sent.

use std::io::{IoSlice, IoSliceMut};
use std::mem::{MaybeUninit, offset_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::io::{Errno, Result};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendFlags, recvmsg, sendmsg,
};

use crate::journal::in_flight::InFlight;
use crate::notification::{Answer, Channel, Injection, Notification, ReceiveError};
use crate::seccomp::listener::Listener;
use crate::sys::lock;

/// Longest datagram: a cookie is a line of a configuration file.
pub const DATAGRAM_LIMIT: usize = 8 << 10;
/// How often a loop checks whether another one is still answering a datagram.
const HELD_UP: Duration = Duration::from_millis(10);
/// How long a monitor may take to pass an answer to the kernel.
const PASSING_ON: Duration = Duration::from_millis(200);
/// `/proc/TID`, its memory, the listener.
const DESCRIPTORS: usize = 3;

/// `struct seccomp_notify_proxy_msg`, as far as it goes for every kernel.
#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    reserved: u64,
    monitor: i32,
    init: i32,
    notification: u16,
    response: u16,
    data: u16,
    _padding: u16,
    cookie: u64,
}

const HEADER: usize = size_of::<Header>();
const NOTIFICATION: usize = size_of::<libc::seccomp_notif>();
const RESPONSE: usize = size_of::<libc::seccomp_notif_resp>();

/// A parsed datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// The container's first process, as the monitor sees it.
    pub init: i32,
    /// The cookie of the container's configuration, if there is one.
    pub cookie: Vec<u8>,
    /// The id of the notification.
    pub id: u64,
    tid: i32,
    arch: u32,
    nr: u32,
    args: [u64; 6],
    instruction_pointer: u64,
    /// The part that is sent back before the answer: header and notification.
    front: Vec<u8>,
}

impl Datagram {
    /// Parses a datagram.
    ///
    /// # Errors
    /// [`ReceiveError::Malformed`].
    pub fn parse(bytes: &[u8]) -> std::result::Result<Self, ReceiveError> {
        let word = |at: usize| bytes.get(at..)?.first_chunk().copied().map(u64::from_ne_bytes);
        let half = |at: usize| bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes);
        let quarter = |at: usize| {
            bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes).map(usize::from)
        };
        let parsed = (|| {
            let notification = quarter(offset_of!(Header, notification))?;
            let response = quarter(offset_of!(Header, response))?;
            let cookie = usize::try_from(word(offset_of!(Header, cookie))?).ok()?;
            let front = HEADER.checked_add(notification)?;
            let rear = front.checked_add(response)?;
            // The kernel's structures may grow at their ends; the known part must be there.
            let known = notification >= NOTIFICATION && response == RESPONSE;
            if !known
                || word(offset_of!(Header, reserved))? != 0
                || rear.checked_add(cookie)? != bytes.len()
            {
                return None;
            }
            let field = |offset| HEADER + offset;
            let data = field(offset_of!(libc::seccomp_notif, data));
            let mut args = [0; 6];
            for (number, arg) in (0..).zip(&mut args) {
                *arg = word(data + offset_of!(libc::seccomp_data, args) + 8 * number)?;
            }
            Some(Self {
                init: half(offset_of!(Header, init))? as i32,
                cookie: bytes.get(rear..)?.to_vec(),
                id: word(field(offset_of!(libc::seccomp_notif, id)))?,
                tid: half(field(offset_of!(libc::seccomp_notif, pid)))? as i32,
                arch: half(data + offset_of!(libc::seccomp_data, arch))?,
                nr: half(data + offset_of!(libc::seccomp_data, nr))?,
                args,
                instruction_pointer: word(
                    data + offset_of!(libc::seccomp_data, instruction_pointer),
                )?,
                front: bytes.get(..front)?.to_vec(),
            })
        })();
        parsed.ok_or(ReceiveError::Malformed)
    }

    fn notification(&self) -> Notification {
        Notification {
            id: self.id,
            tid: self.tid,
            arch: self.arch,
            nr: self.nr,
            args: self.args,
            instruction_pointer: self.instruction_pointer,
        }
    }

    /// The reply: the front, with the answer in place of the empty one.
    fn reply(&self, answer: Answer) -> Vec<u8> {
        let (value, error, flags) = match answer {
            Answer::Value(value) => (value, 0, 0),
            Answer::Errno(errno) => (0, -errno.raw_os_error(), 0),
            Answer::Continue => (0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
        };
        let mut bytes = self.front.clone();
        bytes.extend(self.id.to_ne_bytes());
        bytes.extend(value.to_ne_bytes());
        bytes.extend(error.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes
    }
}

/// A connection to a monitor: one container.
pub struct Monitor {
    connection: OwnedFd,
    current: Mutex<Option<Current>>,
    mark: Option<Arc<InFlight>>,
}

/// The datagram that is being answered.
struct Current {
    datagram: Datagram,
    listener: Option<Listener>,
}

impl Monitor {
    /// Takes over a connection.
    pub fn new(connection: OwnedFd) -> Self {
        Self { connection, current: Mutex::default(), mark: None }
    }

    /// The same, with its mark on the current request in this memory.
    pub(crate) fn marking(self, mark: Option<Arc<InFlight>>) -> Self {
        Self { mark, ..self }
    }

    /// Reads the datagram that waits, without taking it out.
    ///
    /// # Errors
    /// See [`ReceiveError`].
    pub fn peek(&self) -> std::result::Result<Datagram, ReceiveError> {
        self.look().map(|(datagram, _)| datagram)
    }

    fn look(&self) -> std::result::Result<(Datagram, Option<OwnedFd>), ReceiveError> {
        let mut bytes = vec![0; DATAGRAM_LIMIT];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::PEEK | RecvFlags::CMSG_CLOEXEC;
        let got = rustix::io::retry_on_intr(|| {
            recvmsg(&self.connection, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)
        });
        let got = match got {
            Err(Errno::CONNRESET) => return Err(ReceiveError::HungUp),
            other => other?,
        };
        let mut descriptors: Vec<OwnedFd> = control
            .drain()
            .flat_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
                _ => Vec::new(),
            })
            .collect();
        if got.bytes == 0 {
            return Err(ReceiveError::HungUp);
        }
        if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
            || descriptors.len() > DESCRIPTORS
        {
            return Err(ReceiveError::Malformed);
        }
        let listener = if descriptors.len() == DESCRIPTORS { descriptors.pop() } else { None };
        Ok((Datagram::parse(&bytes[..got.bytes])?, listener))
    }

    fn mark(&self, id: u64) {
        if let Some(mark) = &self.mark {
            mark.set_answering(id);
        }
    }

    /// Whether the previous agent had answered this datagram when it died.
    fn is_answered(&self, id: u64, listener: Option<&Listener>) -> bool {
        if self.mark.as_ref().is_none_or(|mark| mark.answering() != id) {
            return false;
        }
        // The answer was sent and not read yet: the socket holds nothing else.
        let (socket, mut unread) = (self.connection.as_raw_fd(), 0_i32);
        // SAFETY: the command fills the integer it is given.
        let told = unsafe { libc::ioctl(socket, libc::TIOCOUTQ, &raw mut unread) };
        if told == 0 && unread > 0 {
            return true;
        }
        // Or it was read, and the monitor is about to pass it to the kernel, after which nobody
        // waits.
        let late = Instant::now() + PASSING_ON;
        while let Some(true) = listener.map(|listener| listener.is_waiting(id)) {
            if Instant::now() > late {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// Takes the datagram out of the socket, with any descriptors that are not needed any more.
    fn take_out(&self) -> Result<()> {
        rustix::io::retry_on_intr(|| {
            rustix::net::recv(&self.connection, &mut [0; 0], RecvFlags::DONTWAIT)
        })
        .map(drop)
    }

    fn with_current<R>(&self, id: u64, run: impl FnOnce(&Current) -> Result<R>) -> Result<R> {
        let current = lock(&self.current);
        current
            .as_ref()
            .filter(|current| current.datagram.id == id)
            .ok_or(Errno::NOENT)
            .and_then(run)
    }
}

impl Channel for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }

    fn receive(&self) -> std::result::Result<Option<Notification>, ReceiveError> {
        if lock(&self.current).is_some() {
            // Another loop is stuck with this caller, and the datagram stays until it is answered.
            std::thread::sleep(HELD_UP);
            return Ok(None);
        }
        let (datagram, listener) = self.look()?;
        let notification = datagram.notification();
        let listener = listener.map(Listener::new).transpose()?;
        if self.is_answered(notification.id, listener.as_ref()) {
            self.take_out()?;
            self.mark(0);
            return Ok(None);
        }
        if listener.is_none() {
            tracing::debug!(
                "this LXC does not send its listener: its containers cannot open regions"
            );
        }
        *lock(&self.current) = Some(Current { datagram, listener });
        Ok(Some(notification))
    }

    /// Without the listener this cannot be asked; the monitor has checked after it opened
    /// `/proc/TID`.
    fn is_waiting(&self, id: u64) -> bool {
        let waits = |current: &Current| {
            Ok(current.listener.as_ref().is_none_or(|listener| listener.is_waiting(id)))
        };
        self.with_current(id, waits).unwrap_or(false)
    }

    fn inject(&self, id: u64, injection: Injection<'_>) -> Result<RawFd> {
        self.with_current(id, |current| {
            current.listener.as_ref().ok_or(Errno::NODEV)?.inject(id, injection)
        })
    }

    fn answer(&self, id: u64, answer: Answer) -> Result<()> {
        let reply = self.with_current(id, |current| Ok(current.datagram.reply(answer)))?;
        self.mark(id);
        let mut nothing = SendAncillaryBuffer::default();
        let sent =
            sendmsg(&self.connection, &[IoSlice::new(&reply)], &mut nothing, SendFlags::NOSIGNAL)
                .map(drop);
        let taken = self.take_out();
        self.mark(0);
        *lock(&self.current) = None;
        sent.and(taken)
    }

    /// The monitor waits for an answer even if the caller is gone.
    fn answer_with(&self, id: u64, fd: OwnedFd, close_on_exec: bool) -> Result<Answer> {
        let answer = match self.inject(id, Injection { fd: fd.as_fd(), at: None, close_on_exec }) {
            Ok(number) => Answer::Value(number.into()),
            Err(errno) => Answer::Errno(errno),
        };
        self.answer(id, answer).map(|()| answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    /// A datagram as LXC 5 sends it: openat by thread 7.
    fn datagram(cookie: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(0_u64.to_ne_bytes());
        bytes.extend([1_i32, 2].into_iter().flat_map(i32::to_ne_bytes));
        bytes.extend([80_u16, 24, 64, 0].into_iter().flat_map(u16::to_ne_bytes));
        bytes.extend((cookie.len() as u64).to_ne_bytes());
        bytes.extend(99_u64.to_ne_bytes());
        bytes.extend(
            [7_u32, 0, 257, crate::seccomp::syscalls::X86_64]
                .into_iter()
                .flat_map(u32::to_ne_bytes),
        );
        bytes.extend([0xaaaa_u64, 1, 2, 3, 4, 5, 6].into_iter().flat_map(u64::to_ne_bytes));
        bytes.extend([0; RESPONSE]);
        bytes.extend(cookie);
        bytes
    }

    #[test]
    fn a_datagram_is_taken_apart_and_answered() {
        let bytes = datagram(b"phone");
        let datagram = Datagram::parse(&bytes).expect("a datagram");
        assert_eq!((datagram.init, datagram.cookie.as_slice()), (2, &b"phone"[..]));
        let Notification { id, tid, arch, nr, args, instruction_pointer } = datagram.notification();
        assert_eq!(
            (id, tid, arch, nr, args),
            (99, 7, crate::seccomp::syscalls::X86_64, 257, [1, 2, 3, 4, 5, 6])
        );
        assert_eq!(instruction_pointer, 0xaaaa);
        for (answer, value, error, flags) in [
            (Answer::Value(-5), -5_i64, 0_i32, 0_u32),
            (Answer::Errno(Errno::INVAL), 0, -22, 0),
            (Answer::Continue, 0, 0, 1),
        ] {
            let reply = datagram.reply(answer);
            assert_eq!(reply.len(), 136);
            assert_eq!(reply[..112], bytes[..112]);
            assert_eq!(reply[112..120], 99_u64.to_ne_bytes());
            assert_eq!(reply[120..128], value.to_ne_bytes());
            assert_eq!(reply[128..132], error.to_ne_bytes());
            assert_eq!(reply[132..], flags.to_ne_bytes());
        }
    }

    #[test]
    fn datagrams_of_other_sizes_are_refused() {
        let whole = datagram(b"phone");
        for len in 0..whole.len() {
            assert_eq!(Datagram::parse(&whole[..len]), Err(ReceiveError::Malformed), "{len} bytes");
        }
        let with = |at: usize, value: u8| {
            let mut bytes = whole.clone();
            bytes[at] = value;
            Datagram::parse(&bytes)
        };
        for (at, value, what) in [
            (0, 1, "reserved"),
            (16, 79, "a shorter notification"),
            (17, 255, "a longer one than there is"),
            (18, 23, "a shorter response"),
            (24, 6, "a longer cookie"),
            (31, 255, "a cookie beyond every size"),
        ] {
            assert_eq!(with(at, value), Err(ReceiveError::Malformed), "{what}");
        }
    }

    #[test]
    fn a_datagram_stays_until_it_is_answered() {
        let (theirs, ours) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .expect("a pair");
        rustix::net::send(&theirs, &datagram(b""), SendFlags::empty()).expect("it is sent");
        let monitor = Monitor::new(ours);
        assert_eq!(monitor.peek().expect("there").id, 99);
        let notification = monitor.receive().expect("there").expect("a request");
        assert!(monitor.is_waiting(notification.id) && !monitor.is_waiting(98));
        // No listener came with it, so nothing can be put into the caller.
        let null = std::fs::File::open("/dev/null").expect("the null device").into();
        monitor.answer_with(notification.id, null, true).expect("answered");
        let mut reply = [0; 200];
        assert_eq!(
            rustix::net::recv(&theirs, &mut reply, RecvFlags::empty()).expect("there").0,
            136
        );
        assert_eq!(reply[128..132], (-Errno::NODEV.raw_os_error()).to_ne_bytes());
        assert_eq!(monitor.answer(notification.id, Answer::Continue), Err(Errno::NOENT));
        drop(theirs);
        assert_eq!(monitor.peek(), Err(ReceiveError::HungUp));
    }
}
