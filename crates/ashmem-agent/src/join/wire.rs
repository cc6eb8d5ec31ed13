// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a joining process and its agent say to each other: datagrams in order, on a socket of type
//! `SOCK_SEQPACKET`.
//!
//! 1. The process greets: a line with the version, and an address at which the same line lies in
//!    its memory. The agent looks there: what it may not read, it cannot serve.
//! 2. The agent answers: yes; not now, for others of its container are joining; or no and why.
//!    Until then nothing is filtered, and the process may go on without the agent.
//! 3. The process filters itself, and sends one byte with the listener beside it.
//! 4. The agent answers again; from a yes on, it answers the process's calls.
//!
//! The agent believes nothing of this but what it can see: who the process is, and in which
//! container, the kernel says.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, Result};

use crate::scm_rights::{receive_with, send_with};

/// The greeting's first part.
pub(crate) const LINE: &[u8; 16] = b"ashmem join, 1\n\0";
const GREETING: usize = LINE.len() + size_of::<u64>();
/// The byte beside which the listener comes.
const LISTENER: &[u8] = b"L";
/// A yes; a no is its reason, after this byte where it holds for a moment only.
const YES: &[u8] = b"+";
const NOT_NOW: u8 = b'~';
/// Bytes of an answer at most.
const ANSWER: usize = 1024;

/// Greets; the line that the agent looks at lies here.
pub(super) fn greet(socket: impl AsFd) -> Result<()> {
    let greeting = [LINE.as_slice(), &(LINE.as_ptr() as u64).to_ne_bytes()].concat();
    send_with(socket, &greeting, &[])
}

/// Sends the listener.
pub(super) fn send_listener(socket: impl AsFd, listener: BorrowedFd<'_>) -> Result<()> {
    send_with(socket, LISTENER, &[listener])
}

/// What an agent answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AgentAnswer {
    Yes,
    NotNow(String),
    No(String),
}

/// Receives the agent's answer.
///
/// # Errors
/// CONNRESET: it went away. AGAIN: it was silent for too long. Others: those of recvmsg(2).
pub(super) fn read_answer(socket: impl AsFd) -> Result<AgentAnswer> {
    let mut bytes = [0; ANSWER];
    let mut receive = || receive_with(&socket, &mut bytes, &mut Vec::new());
    // An agent that refuses before it has read what was sent resets the connection; its answer is
    // there all the same.
    let got = match receive() {
        Err(Errno::CONNRESET) => receive()?,
        other => other?,
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match &bytes[..got] {
        b"" => Err(Errno::CONNRESET),
        YES => Ok(AgentAnswer::Yes),
        [NOT_NOW, reason @ ..] => Ok(AgentAnswer::NotNow(text(reason))),
        reason => Ok(AgentAnswer::No(text(reason))),
    }
}

/// Where in the process's memory its greeting's line lies; `None`: this is no greeting.
pub(crate) fn read_greeting(socket: impl AsFd) -> Result<Option<u64>> {
    let mut bytes = [0; GREETING + 1];
    let got = receive_with(socket, &mut bytes, &mut Vec::new())?;
    Ok(parse_greeting(&bytes[..got]))
}

fn parse_greeting(bytes: &[u8]) -> Option<u64> {
    let address = bytes.strip_prefix(LINE)?;
    Some(u64::from_ne_bytes(address.try_into().ok()?))
}

/// The one descriptor that came; `None`: another message, or another number of descriptors.
pub(crate) fn read_listener(socket: impl AsFd) -> Result<Option<OwnedFd>> {
    let (mut bytes, mut came) = ([0; LISTENER.len() + 1], Vec::new());
    let got = receive_with(socket, &mut bytes, &mut came)?;
    let is_one = &bytes[..got] == LISTENER && came.len() == 1;
    Ok(if is_one { came.pop() } else { None })
}

/// Answers.
pub(crate) fn send_answer(socket: impl AsFd, answer: &AgentAnswer) -> Result<()> {
    let bytes = match answer {
        AgentAnswer::Yes => YES.to_vec(),
        AgentAnswer::NotNow(reason) => [&[NOT_NOW], reason.as_bytes()].concat(),
        AgentAnswer::No(reason) => reason.clone().into_bytes(),
    };
    send_with(socket, &bytes[..bytes.len().min(ANSWER)], &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_arrive_as_they_were_meant() {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .expect("a pair");
        let no = AgentAnswer::No("it may not".into());
        for answer in [AgentAnswer::Yes, AgentAnswer::NotNow("later".into()), no.clone()] {
            send_answer(&ours, &answer).expect("there is room");
            assert_eq!(read_answer(&theirs), Ok(answer));
        }
        send_answer(&ours, &AgentAnswer::No("x".repeat(5000))).expect("it is cut off");
        assert_eq!(read_answer(&theirs), Ok(AgentAnswer::No("x".repeat(ANSWER))));
        send_answer(&theirs, &AgentAnswer::Yes).expect("there is room");
        send_answer(&ours, &no).expect("there is room");
        drop(ours);
        assert_eq!(read_answer(&theirs), Ok(no), "it left before it had read everything");
        assert_eq!(read_answer(&theirs), Err(Errno::CONNRESET));
    }

    #[test]
    fn only_a_whole_greeting_of_this_version_is_one() {
        let greeting = [LINE.as_slice(), &77_u64.to_ne_bytes()].concat();
        assert_eq!(parse_greeting(&greeting), Some(77));
        for len in 0..greeting.len() {
            assert_eq!(parse_greeting(&greeting[..len]), None, "{len} bytes");
        }
        assert_eq!(parse_greeting(&[greeting.as_slice(), b"x"].concat()), None);
        let other = [b"ashmem join, 2\n\0".as_slice(), &[0; 8]].concat();
        assert_eq!(parse_greeting(&other), None, "another version");
    }
}
