// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files of `/proc`, read as bytes.
//!
//! No public crate does: a region's name may hold any byte, it stands in maps, smaps, links and
//! fdinfo, and a reader that wants UTF-8 refuses the whole process that has one.
//!
//! - [`process`]: one process's directory, and what its small files say; [`status`]: its `status`;
//! - [`memory`]: where memfds and regions lie;
//! - [`maps`]: its mappings; [`fdinfo`]: its descriptors; [`mountinfo`]: its mounts;
//! - [`system`]: what the whole system has.

pub mod fdinfo;
pub mod maps;
pub mod memory;
pub mod mountinfo;
pub mod process;
pub mod status;
pub mod system;

use std::io::Read;
use std::path::Path;

/// A file's bytes: for the small ones of `/proc`, whose length nobody knows before, with one call
/// of read(2) and one that finds the end.
///
/// # Errors
/// Those of open(2) and read(2).
pub fn read(path: impl AsRef<Path>) -> std::io::Result<Vec<u8>> {
    /// A `status` has about 1,500 bytes; `/proc` hands out no more than a page at a time anyway.
    const FIRST: usize = 4096;
    let mut file = std::fs::File::open(path)?;
    let (mut text, mut len) = (vec![0; FIRST], 0);
    loop {
        match file.read(&mut text[len..]) {
            Ok(0) => break,
            Ok(got) => len += got,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if len == text.len() {
            text.resize(2 * len, 0);
        }
    }
    text.truncate(len);
    Ok(text)
}

/// The value of a key in a file of `key:<white space>value` lines.
pub fn value_of<'a>(text: &'a [u8], key: &str) -> Option<&'a [u8]> {
    lines(text)
        .find_map(|line| Some(line.strip_prefix(key.as_bytes())?.strip_prefix(b":")?.trim_ascii()))
}

/// The lines of a text.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

/// The words of a line.
pub fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// A decimal number.
pub fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

/// A hexadecimal number.
pub fn hexadecimal(text: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(text).ok()?.trim(), 16).ok()
}

/// Undoes `\ooo`, three octal digits, for the bytes that the writer of a file escapes in this way.
pub fn unescape(written: &[u8], is_escaped: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(written.len());
    let mut rest = written;
    while let Some((first, others)) = rest.split_first() {
        let byte = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'))
            }
            _ => None,
        };
        let (byte, next) = match byte.filter(|byte| is_escaped(*byte)) {
            Some(byte) => (byte, &rest[4..]),
            None => (*first, others),
        };
        bytes.push(byte);
        rest = next;
    }
    bytes
}

/// Undoes what the kernel does to a name in maps, and this project's module in fdinfo: a line feed
/// stands there as `\012`.
pub fn unescape_name(written: &[u8]) -> Vec<u8> {
    unescape(written, |byte| byte == b'\n')
}
