// SPDX-License-Identifier: MIT OR Apache-2.0
//! Android's sparse images: pieces of a file system, without the empty ones.
//!
//! The form is libsparse's `sparse_format.h`, of Android's `platform/system/core`.

use std::error::Error;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use ext4_view::Ext4Read;

/// An image has no more pieces than this: each takes 24 bytes here.
const PIECES: u32 = 1 << 20;

/// What a piece holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// Bytes of the file, from this place on.
    Raw(u64),
    /// The same four bytes over and over.
    Fill([u8; 4]),
}

/// A sparse image, read as if it were whole. What no piece covers is zero.
pub(super) struct Sparse {
    file: File,
    /// Each piece's first byte and length in the whole, in order.
    pieces: Vec<(u64, u64, Piece)>,
    length: u64,
}

impl Sparse {
    /// Reads the list of pieces.
    ///
    /// # Errors
    /// If the file cannot be read, or is none.
    pub(super) fn open(mut file: File) -> io::Result<Self> {
        file.seek(SeekFrom::Start(0))?;
        let head = bytes::<28>(&mut file)?;
        let (head_length, chunk_length) = (u64::from(half(&head, 8)), u64::from(half(&head, 10)));
        let (block, chunks) = (u64::from(word(&head, 12)), word(&head, 20));
        if head_length < 28 || chunk_length < 12 || block == 0 || block % 4 != 0 || chunks > PIECES
        {
            return Err(damaged("its header"));
        }
        let mut pieces = Vec::new();
        let (mut place, mut whole) = (head_length, 0_u64);
        for _ in 0..chunks {
            file.seek(SeekFrom::Start(place))?;
            let chunk = bytes::<12>(&mut file)?;
            let total = u64::from(word(&chunk, 8));
            let length = u64::from(word(&chunk, 4))
                .checked_mul(block)
                .ok_or_else(|| damaged("the length of a piece"))?;
            let data = place.checked_add(chunk_length).ok_or_else(|| damaged("a place"))?;
            match half(&chunk, 0) {
                0xcac1 => pieces.push((whole, length, Piece::Raw(data))),
                0xcac2 => {
                    file.seek(SeekFrom::Start(data))?;
                    pieces.push((whole, length, Piece::Fill(bytes::<4>(&mut file)?)));
                }
                // Nothing to keep, or a checksum.
                0xcac3 | 0xcac4 => {}
                _ => return Err(damaged("the kind of a piece")),
            }
            if total < chunk_length {
                return Err(damaged("the length of a piece"));
            }
            place = place.checked_add(total).ok_or_else(|| damaged("a place"))?;
            whole = whole.checked_add(length).ok_or_else(|| damaged("its length"))?;
        }
        Ok(Self { file, pieces, length: whole })
    }

    fn read_at(&mut self, start: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = start.checked_add(buffer.len() as u64).filter(|end| *end <= self.length);
        let end = end.ok_or_else(|| damaged("it ends too early"))?;
        buffer.fill(0);
        let first = self.pieces.partition_point(|(at, length, _)| at + length <= start);
        for (at, length, piece) in self.pieces.iter().skip(first) {
            if *at >= end {
                break;
            }
            let (from, to) = (start.max(*at), end.min(at + length));
            let part = (from - start) as usize..(to - start) as usize;
            let Some(part) = buffer.get_mut(part) else { continue };
            match piece {
                Piece::Raw(place) => {
                    self.file.seek(SeekFrom::Start(place.saturating_add(from - at)))?;
                    self.file.read_exact(part)?;
                }
                Piece::Fill(word) => {
                    for (byte, place) in part.iter_mut().zip(from - at..) {
                        *byte = word[(place % 4) as usize];
                    }
                }
            }
        }
        Ok(())
    }
}

impl Ext4Read for Sparse {
    fn read(
        &mut self,
        start_byte: u64,
        dst: &mut [u8],
    ) -> Result<(), Box<dyn Error + Send + Sync + 'static>> {
        Ok(self.read_at(start_byte, dst)?)
    }
}

fn bytes<const LENGTH: usize>(file: &mut File) -> io::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn half(bytes: &[u8], place: usize) -> u16 {
    bytes.get(place..place + 2).map_or(0, |two| u16::from_le_bytes([two[0], two[1]]))
}

fn word(bytes: &[u8], place: usize) -> u32 {
    u32::from(half(bytes, place)) | u32::from(half(bytes, place + 2)) << 16
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the sparse image is damaged: {what}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::Sparse;

    /// Of blocks of 8 bytes: one raw, one left out, one filled.
    fn image(chunks: u32) -> Vec<u8> {
        let mut image = vec![0x3a, 0xff, 0x26, 0xed, 1, 0, 0, 0, 28, 0, 12, 0, 8, 0, 0, 0];
        for number in [3, chunks, 0] {
            image.extend_from_slice(&u32::to_le_bytes(number));
        }
        for (kind, data) in [(0xcac1_u16, &b"abcdefgh"[..]), (0xcac3, b""), (0xcac2, b"wxyz")] {
            image.extend_from_slice(&kind.to_le_bytes());
            image.extend_from_slice(&[0, 0, 1, 0, 0, 0]);
            image.extend_from_slice(&(12 + data.len() as u32).to_le_bytes());
            image.extend_from_slice(data);
        }
        image
    }

    fn open(bytes: &[u8]) -> std::io::Result<Sparse> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("it is written");
        Sparse::open(file)
    }

    #[test]
    fn pieces_are_put_together_and_gaps_are_zero() {
        let mut sparse = open(&image(3)).expect("it is one");
        let mut whole = [1; 24];
        sparse.read_at(0, &mut whole).expect("it is read");
        assert_eq!(&whole, b"abcdefgh\0\0\0\0\0\0\0\0wxyzwxyz");
        let mut part = [1; 5];
        sparse.read_at(15, &mut part).expect("it is read");
        assert_eq!(&part, b"\0wxyz");
        assert!(sparse.read_at(20, &mut part).is_err(), "beyond the end");
    }

    #[test]
    fn a_damaged_image_is_an_error() {
        for chunks in [4, u32::MAX] {
            assert!(open(&image(chunks)).is_err());
        }
        let whole = image(3);
        for length in 0..whole.len() {
            // An image that is cut short has fewer pieces than it says, or a piece that is short.
            if let Ok(mut sparse) = open(&whole[..length]) {
                let _ = sparse.read_at(0, &mut [0; 24]);
            }
        }
    }
}
