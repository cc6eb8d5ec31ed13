// SPDX-License-Identifier: MIT OR Apache-2.0
//! What may be asked of a supervisor about its regions, or of it for them, and what it answers.
//!
//! A connection carries one [`Question`] and one answer, a row of [`AnswerPart`]s. Each is two
//! bytes with its length, then the value as postcard writes it; the last part is
//! [`AnswerPart::End`].

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The first byte of a question. It grows when a question or an answer changes its form: a
/// supervisor of another version answers nothing.
const VERSION: u8 = 1;
/// The longest question, in bytes.
pub const LONGEST_QUESTION: usize = 32;
/// What the descriptor by which a supervisor is found is called; the number of its socket follows.
/// (It is an empty memfd.)
const SIGN: &str = "ashmem-supervisor:";

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// The state of every region.
    Regions,
    /// The unpinned ranges of the region that has this inode.
    Ranges(u64),
    /// To purge the unpinned pages of the region that has this inode.
    Purge(u64),
}

/// A part of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AnswerPart {
    /// One region.
    Region(RegionState),
    /// Unpinned pages, the lowest range first.
    Range(ToldRange),
    /// The answer is whole.
    End,
    /// So many pages of the region were purged.
    Purged(u64),
}

/// A region as its supervisor knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionState {
    /// The inode of its memory. A region has two for a while if it was named while other
    /// descriptors of it were open; then it comes twice.
    pub inode: u64,
    /// Its size in bytes, as SET_SIZE gave it.
    pub size: u64,
    /// `PROT_*`: the rights that mappings may still have.
    pub mask: u32,
    /// Pages that may be purged.
    pub unpinned: u64,
    /// Pages that were purged, and not pinned since.
    pub purged: u64,
}

/// Pages next to each other that are unpinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldRange {
    /// The first page.
    pub first: u64,
    /// The last page.
    pub last: u64,
    /// Whether they were purged.
    pub is_purged: bool,
}

/// What was received is nothing of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was received is no question and no answer of this version")]
pub struct NotUnderstood;

impl Question {
    /// The bytes to send.
    pub fn encode(self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        frame(&mut bytes, &self);
        bytes
    }

    /// Reads a question; `None`: more bytes are needed.
    ///
    /// # Errors
    /// [`NotUnderstood`].
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, NotUnderstood> {
        match bytes {
            [] => Ok(None),
            [VERSION, rest @ ..] => match unframe(rest) {
                Ok(None) if bytes.len() >= LONGEST_QUESTION => Err(NotUnderstood),
                other => Ok(other?.map(|(question, _)| question)),
            },
            _ => Err(NotUnderstood),
        }
    }
}

impl AnswerPart {
    /// Appends the bytes to send.
    pub fn encode(self, bytes: &mut Vec<u8>) {
        frame(bytes, &self);
    }

    /// Reads a part and how many bytes it had; `None`: more bytes are needed.
    ///
    /// # Errors
    /// [`NotUnderstood`].
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, NotUnderstood> {
        unframe(bytes)
    }
}

/// The name of the memfd that says which of a supervisor's descriptors is its socket.
pub fn sign(socket: i32) -> String {
    format!("{SIGN}{socket}")
}

/// The number that a memfd's name gives; `None`: it is no supervisor's.
pub fn socket_of_sign(name: &[u8]) -> Option<i32> {
    let number = std::str::from_utf8(name.strip_prefix(SIGN.as_bytes())?).ok()?;
    number.parse().ok().filter(|number| *number >= 0)
}

fn frame<T: Serialize>(bytes: &mut Vec<u8>, value: &T) {
    // Every value here is some integers.
    let encoded = postcard::to_stdvec(value).unwrap_or_default();
    let len = u16::try_from(encoded.len()).unwrap_or_default();
    bytes.extend_from_slice(&len.to_ne_bytes());
    bytes.extend_from_slice(&encoded);
}

fn unframe<T: DeserializeOwned>(bytes: &[u8]) -> Result<Option<(T, usize)>, NotUnderstood> {
    /// No value is longer.
    const LONGEST: usize = 64;
    let Some((len, rest)) = bytes.split_first_chunk() else { return Ok(None) };
    let len = usize::from(u16::from_ne_bytes(*len));
    if len > LONGEST {
        return Err(NotUnderstood);
    }
    let Some(value) = rest.get(..len) else { return Ok(None) };
    let value = postcard::from_bytes(value).map_err(|_| NotUnderstood)?;
    Ok(Some((value, 2 + len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let most = u64::MAX;
        for question in [Question::Regions, Question::Ranges(most), Question::Purge(most)] {
            let bytes = question.encode();
            assert!(bytes.len() <= LONGEST_QUESTION);
            assert_eq!(Question::decode(&bytes), Ok(Some(question)));
            for len in 0..bytes.len() {
                assert_eq!(Question::decode(&bytes[..len]), Ok(None), "{len} bytes");
            }
        }
        let state = RegionState { inode: most, size: most, mask: 7, unpinned: most, purged: most };
        let mut bytes = Vec::new();
        AnswerPart::Region(state).encode(&mut bytes);
        AnswerPart::End.encode(&mut bytes);
        let (part, len) = AnswerPart::decode(&bytes).expect("a part").expect("a whole one");
        assert_eq!(part, AnswerPart::Region(state));
        let rest = AnswerPart::decode(&bytes[len..]).expect("a part").expect("a whole one");
        assert_eq!(rest, (AnswerPart::End, bytes.len() - len));
    }

    #[test]
    fn something_else_is_refused_and_never_waited_for() {
        for bytes in [&[2, 1, 0, 0][..], &[1; LONGEST_QUESTION], b"GET / HTTP/1.1\r\n"] {
            assert_eq!(Question::decode(bytes), Err(NotUnderstood), "{bytes:?}");
        }
        assert_eq!(AnswerPart::decode(b"HTTP/1.1 400"), Err(NotUnderstood));
        assert_eq!(AnswerPart::decode(&[1, 0, 9]), Err(NotUnderstood));
    }

    #[test]
    fn a_sign_gives_a_number() {
        assert_eq!(socket_of_sign(sign(17).as_bytes()), Some(17));
        for name in ["", "ashmem-supervisor:", "ashmem-supervisor:-1", "dev/ashmem"] {
            assert_eq!(socket_of_sign(name.as_bytes()), None, "{name}");
        }
    }
}
