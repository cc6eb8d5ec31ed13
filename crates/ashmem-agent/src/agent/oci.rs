// SPDX-License-Identifier: MIT OR Apache-2.0
//! Listeners from OCI runtimes: what runc, crun and youki send to a profile's `listenerPath`.
//!
//! A runtime connects once for every process into which it loads the filter (a container's first
//! one, and each `exec`), and sends a `ContainerProcessState` as JSON with the listener beside its
//! first bytes. From then on the listener is ours. Runtimes differ in the other fields, so only the
//! fields that are used are required.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use serde::Deserialize;

/// Longest message: annotations alone can be hundreds of KiB.
pub const MESSAGE_LIMIT: usize = 1 << 20;
/// A runtime writes its message at once: a peer that takes longer is no runtime.
const PATIENCE: Duration = Duration::from_secs(10);
/// `SCM_MAX_FD`: no message carries more.
const MOST_DESCRIPTORS: usize = 253;
/// The listener's name in the message.
const LISTENER: &str = "seccompFd";

/// A listener, and the process that it belongs to.
#[derive(Debug)]
pub struct Handover {
    /// The listener.
    pub listener: OwnedFd,
    /// Its process.
    pub process: ContainerProcess,
}

/// The used fields of a `ContainerProcessState`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerProcess {
    /// The container's id, unique in its runtime.
    pub container: String,
    /// The process that loaded the filter, as the runtime sees it; 0 if it does not say.
    pub pid: i32,
    /// Whether it is the container's first process: it must not find regions of an earlier
    /// container with this id.
    pub is_first: bool,
}

/// The kind of peer that connected.
#[derive(Debug)]
pub enum Brought {
    /// A runtime, with a listener.
    Listener(Handover),
    /// A tracer; see [`crate::trace`].
    Tracer,
}

/// Why a connection brought no listener.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket broke.
    #[error("reading from the runtime: {0}")]
    Socket(#[from] Errno),
    /// It left before its message was whole.
    #[error(
        "the runtime disconnected before handing over its listener; the container probably failed \
         to start"
    )]
    Disconnected,
    /// It did not end its message in time.
    #[error("the runtime did not finish its message within {} seconds", PATIENCE.as_secs())]
    Slow,
    /// The message is too long.
    #[error("the runtime's message is longer than {MESSAGE_LIMIT} bytes")]
    Long,
    /// Descriptors were lost, because this process may open no more.
    #[error(
        "descriptors were cut off from the runtime's message: this process's limit of open files \
         (ulimit -n, LimitNOFILE=) is reached"
    )]
    Truncated,
    /// The message is no `ContainerProcessState`.
    #[error("the runtime's message is not a container process state: {0}")]
    Message(#[from] serde_json::Error),
    /// The message and its descriptors do not fit together.
    #[error("the runtime's message {0}")]
    Descriptors(&'static str),
}

#[derive(Deserialize)]
struct OciMessage {
    #[serde(default)]
    fds: Vec<String>,
    #[serde(default)]
    pid: i32,
    state: OciState,
}

#[derive(Deserialize)]
struct OciState {
    id: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    pid: i32,
}

/// recvmsg(2): receives one message and its descriptors; descriptors that are no listener are
/// closed.
///
/// # Errors
/// See [`Error`]; every descriptor that came is closed then.
pub fn receive(connection: impl AsFd) -> Result<Brought, Error> {
    let Some((process, place, descriptors)) = read(connection.as_fd())? else {
        return Ok(Brought::Tracer);
    };
    let listener = descriptors
        .into_iter()
        .nth(place)
        .ok_or(Error::Descriptors("names a descriptor it lacks"))?;
    Ok(Brought::Listener(Handover { listener, process }))
}

/// Parses a message that came with this number of descriptors; returns its content, and the
/// position of the listener among them.
///
/// # Errors
/// [`Error::Message`], [`Error::Descriptors`].
pub fn parse(bytes: &[u8], descriptors: usize) -> Result<(ContainerProcess, usize), Error> {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let message: OciMessage = serde_json::from_slice(&bytes[..end])?;
    if message.fds.len() != descriptors {
        return Err(Error::Descriptors("names another number of descriptors than came with it"));
    }
    let mut places =
        (0..).zip(&message.fds).filter(|(_, name)| *name == LISTENER).map(|(place, _)| place);
    let (Some(place), None) = (places.next(), places.next()) else {
        return Err(Error::Descriptors("does not name exactly one seccompFd"));
    };
    if message.state.id.is_empty() {
        return Err(Error::Descriptors("names no container"));
    }
    let pid = if message.pid > 0 { message.pid } else { message.state.pid.max(0) };
    let is_first = message.state.status == "creating";
    Ok((ContainerProcess { container: message.state.id, pid, is_first }, place))
}

/// Reads until the message is complete. It does not wait for the end of the stream: runc up to at
/// least 1.1 holds the connection for as long as its own process lives. `None`: the peer is a
/// tracer.
fn read(connection: impl AsFd) -> Result<Option<(ContainerProcess, usize, Vec<OwnedFd>)>, Error> {
    let deadline = Instant::now() + PATIENCE;
    let (mut bytes, mut descriptors) = (Vec::new(), Vec::new());
    let mut room = vec![0; 64 << 10];
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    loop {
        wait(&connection, deadline)?;
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut data = [IoSliceMut::new(&mut room)];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let got = match recvmsg(&connection, &mut data, &mut control, flags) {
            Err(Errno::INTR | Errno::AGAIN) => continue,
            other => other?,
        };
        // Into owned descriptors first, so that those of a refused message are closed.
        let came: Vec<OwnedFd> = control
            .drain()
            .flat_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
                _ => Vec::new(),
            })
            .collect();
        if got.flags.contains(ReturnFlags::CTRUNC) {
            return Err(Error::Truncated);
        }
        descriptors.extend(came);
        if descriptors.len() > MOST_DESCRIPTORS {
            return Err(Error::Descriptors("carries more descriptors than a message can"));
        }
        if bytes.len() + got.bytes > MESSAGE_LIMIT {
            return Err(Error::Long);
        }
        bytes.extend_from_slice(&room[..got.bytes]);
        if bytes == ashmem_trace_wire::attach::REQUEST && descriptors.is_empty() {
            return Ok(None);
        }
        match parse(&bytes, descriptors.len()) {
            Err(Error::Message(error)) if error.is_eof() && got.bytes > 0 => {}
            Err(Error::Message(error)) if error.is_eof() => return Err(Error::Disconnected),
            other => return other.map(|(process, place)| Some((process, place, descriptors))),
        }
    }
}

fn wait(connection: impl AsFd, deadline: Instant) -> Result<(), Error> {
    loop {
        let left = deadline.checked_duration_since(Instant::now()).ok_or(Error::Slow)?;
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&connection, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Err(Error::Slow),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::IoSlice;

    use rustix::net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
        SocketType, sendmsg, socketpair,
    };

    const RUNC: &str = r#"{"ociVersion":"1.0.2-dev","fds":["seccompFd"],"pid":4711,"metadata":"",
        "state":{"ociVersion":"1.0.2-dev","id":"one","status":"creating","pid":4711,"bundle":"/b",
        "annotations":{"a":"b"}}}"#;

    #[test]
    fn messages_of_different_runtimes_are_understood() {
        let (process, place) = parse(RUNC.as_bytes(), 1).expect("runc's");
        assert_eq!(
            (process, place),
            (ContainerProcess { container: "one".into(), pid: 4711, is_first: true }, 0)
        );
        let crun = "{\n  \"ociVersion\": \"0.2.0\",\n  \"fds\": [\"other\", \"seccompFd\"],\n  \
                    \"pid\": 0,\n  \"state\": {\n    \"id\": \"two\", \"status\": \"running\", \
                    \"pid\": 12\n  }\n\
                    }\n\
                    \0";
        let (process, place) = parse(crun.as_bytes(), 2).expect("crun's");
        assert_eq!(
            (process, place),
            (ContainerProcess { container: "two".into(), pid: 12, is_first: false }, 1)
        );
    }

    #[test]
    fn messages_that_do_not_fit_their_descriptors_are_refused() {
        let with = |fds: &str| format!(r#"{{"fds":{fds},"pid":1,"state":{{"id":"x"}}}}"#);
        for (fds, count) in [
            (r#"["seccompFd"]"#, 0),
            (r#"["seccompFd"]"#, 2),
            (r#"["seccompFd","seccompFd"]"#, 2),
            (r#"["a"]"#, 1),
        ] {
            let refused = parse(with(fds).as_bytes(), count);
            assert!(
                matches!(refused, Err(Error::Descriptors(_))),
                "{fds} with {count}: {refused:?}"
            );
        }
        for text in ["", "{", "[]", "{}", r#"{"fds":1}"#, r#"{"fds":[],"state":{"id":7}}"#, "\0\0"]
        {
            assert!(matches!(parse(text.as_bytes(), 0), Err(Error::Message(_))), "{text}");
        }
        assert!(matches!(
            parse(br#"{"fds":["seccompFd"],"state":{"id":""}}"#, 1),
            Err(Error::Descriptors("names no container"))
        ));
    }

    fn send(
        socket: &OwnedFd,
        null: &std::fs::File,
        bytes: &[u8],
        descriptors: usize,
    ) -> Result<usize, Errno> {
        let fds = vec![null.as_fd(); descriptors];
        let mut space =
            vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if descriptors > 0 {
            assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        }
        sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
    }

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .expect("a pair")
    }

    #[test]
    fn a_message_in_pieces_is_put_together() {
        let (theirs, ours) = pair();
        let (head, tail) = RUNC.as_bytes().split_at(20);
        let null = std::fs::File::open("/dev/null").expect("the null device");
        send(&theirs, &null, head, 1).expect("the other end is there");
        let late = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            send(&theirs, &null, tail, 0).expect("the other end is there");
            theirs
        });
        let Ok(Brought::Listener(handover)) = receive(ours) else { panic!("no listener") };
        assert_eq!(handover.process.pid, 4711);
        drop(late.join());
    }

    #[test]
    fn a_tracer_is_told_from_a_runtime() {
        let (theirs, ours) = pair();
        let null = std::fs::File::open("/dev/null").expect("the null device");
        send(&theirs, &null, ashmem_trace_wire::attach::REQUEST, 0)
            .expect("the other end is there");
        assert!(matches!(receive(ours), Ok(Brought::Tracer)));
        let (theirs, ours) = pair();
        send(&theirs, &null, ashmem_trace_wire::attach::REQUEST, 1)
            .expect("the other end is there");
        assert!(matches!(receive(ours), Err(Error::Message(_))), "it brings nothing");
    }

    #[test]
    fn a_message_that_is_cut_off_is_refused() {
        let (theirs, ours) = pair();
        let null = std::fs::File::open("/dev/null").expect("the null device");
        send(&theirs, &null, &RUNC.as_bytes()[..20], 1).expect("the other end is there");
        drop(theirs);
        assert!(matches!(receive(ours), Err(Error::Disconnected)));
    }

    #[test]
    fn endless_messages_and_endless_descriptors_are_refused() {
        for (bytes, descriptors) in [(4096, 0), (1, 100)] {
            let (theirs, ours) = pair();
            let writer = std::thread::spawn(move || {
                let null = std::fs::File::open("/dev/null").expect("the null device");
                while send(&theirs, &null, &vec![b' '; bytes], descriptors).is_ok() {}
            });
            let refused = receive(ours);
            match descriptors {
                0 => assert!(matches!(refused, Err(Error::Long)), "{refused:?}"),
                _ => assert!(matches!(refused, Err(Error::Descriptors(_))), "{refused:?}"),
            }
            writer.join().expect("it ends when nobody reads");
        }
    }
}
