// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes that somebody else chose, shown without letting them do anything: names of regions, of
//! commands, of containers.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bytes from outside. Shown, and written to JSON, with everything escaped that is not a printable
/// character: `\n`, `\xff`, `\u{202e}`; a backslash doubles, so that the bytes can be had back.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Box<[u8]>);

impl Text {
    /// The bytes as they came.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a name from a line in `/proc`: the kernel writes a line feed of it as `\012`, and all
    /// else as it is.
    pub fn from_proc(written: &[u8]) -> Self {
        Self::from(ashmem_proc::unescape_name(written))
    }

    /// Reads a name from the module's tracepoints, which write whatever is not printable ASCII, and
    /// the backslash, as `\ooo`.
    pub fn from_record(written: &[u8]) -> Self {
        Self::from(ashmem_proc::unescape(written, |byte| {
            byte == b'\\' || !matches!(byte, b' '..=b'~')
        }))
    }

    /// Reads what [`Text`] shows.
    ///
    /// # Errors
    /// The escape that is none.
    pub fn unescape(shown: &str) -> Result<Self, NotEscaped> {
        let mut bytes = Vec::with_capacity(shown.len());
        let mut rest = shown;
        while let Some(at) = rest.find('\\') {
            bytes.extend_from_slice(&rest.as_bytes()[..at]);
            rest = &rest[at + 1..];
            let wrong = || NotEscaped(rest.chars().take(8).collect());
            let mut characters = rest.chars();
            match characters.next() {
                Some('\\') => bytes.push(b'\\'),
                Some('n') => bytes.push(b'\n'),
                Some('r') => bytes.push(b'\r'),
                Some('t') => bytes.push(b'\t'),
                Some('x') => {
                    let hex = rest.get(1..3).ok_or_else(wrong)?;
                    bytes.push(u8::from_str_radix(hex, 16).map_err(|_| wrong())?);
                    rest = &rest[3..];
                    continue;
                }
                Some('u') => {
                    let hex =
                        rest.get(2..).and_then(|hex| hex.split_once('}')).ok_or_else(wrong)?.0;
                    let character = u32::from_str_radix(hex, 16)
                        .ok()
                        .and_then(char::from_u32)
                        .ok_or_else(wrong)?;
                    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    rest = &rest[hex.len() + 3..];
                    continue;
                }
                _ => return Err(wrong()),
            }
            rest = &rest[1..];
        }
        bytes.extend_from_slice(rest.as_bytes());
        Ok(Self(bytes.into()))
    }
}

/// A backslash that begins no escape of [`Text`]'s.
#[derive(Debug, thiserror::Error)]
#[error("\\{0} is no escape of a name")]
pub struct NotEscaped(String);

impl<T: AsRef<[u8]> + ?Sized> From<&T> for Text {
    fn from(bytes: &T) -> Self {
        Self(bytes.as_ref().into())
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nearly every name, in one piece.
        if self.0.iter().all(|byte| matches!(byte, b' '..=b'~') && *byte != b'\\') {
            return formatter.write_str(std::str::from_utf8(&self.0).unwrap_or_default());
        }
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\\' => formatter.write_str("\\\\")?,
                    '\n' => formatter.write_str("\\n")?,
                    '\r' => formatter.write_str("\\r")?,
                    '\t' => formatter.write_str("\\t")?,
                    control
                        if u32::from(control) < 0x100
                            && control.is_control()
                            && control.is_ascii() =>
                    {
                        write!(formatter, "\\x{:02x}", u32::from(control))?;
                    }
                    odd if odd.is_control() || is_invisible(odd) => {
                        write!(formatter, "\\u{{{:x}}}", u32::from(odd))?
                    }
                    plain => formatter.write_char(plain)?,
                }
            }
            for byte in chunk.invalid() {
                write!(formatter, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Characters that change how a line is laid out, or show nothing: a name could pose as another
/// with them.
fn is_invisible(character: char) -> bool {
    matches!(u32::from(character),
        0xad | 0x61c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff
            | 0xfff9..=0xfffb | 0xe0000..=0xe007f)
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{self}\"")
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shown = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::unescape(&shown).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn names_are_read_as_the_kernel_and_the_module_write_them() {
        assert_eq!(Text::from_proc(b"two\\012lines\\134\xff"), Text::from(b"two\nlines\\134\xff"));
        let record = Text::from_record(b"\\033[31m\\012\\134\\303\\251 \\7\\101\\");
        assert_eq!(record, Text::from(b"\x1b[31m\n\\\xc3\xa9 \\7\\101\\"));
    }

    #[test]
    fn what_could_act_on_a_terminal_is_escaped() {
        for (bytes, shown) in [
            (b"CursorWindow: /data/app".as_slice(), "CursorWindow: /data/app"),
            (b"\x1b[31mred\x07", "\\x1b[31mred\\x07"),
            (b"a\nb\tc\\", "a\\nb\\tc\\\\"),
            (b"\xff\xfe", "\\xff\\xfe"),
            ("caf\u{e9}".as_bytes(), "caf\u{e9}"),
            ("\u{202e}gpj.exe".as_bytes(), "\\u{202e}gpj.exe"),
            ("\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            (b"", ""),
        ] {
            let text = Text::from(bytes);
            assert_eq!(text.to_string(), shown);
            assert_eq!(Text::unescape(shown).expect("an escaped name"), text);
        }
    }

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).chain(*b"\\x41\\u{41}").collect();
        let text = Text::from(all);
        assert_eq!(Text::unescape(&text.to_string()).expect("an escaped name"), text);
    }

    #[test]
    fn a_stray_backslash_is_refused() {
        for shown in ["\\", "\\q", "\\x1", "\\xgg", "\\u{110000}", "\\u{41"] {
            assert!(Text::unescape(shown).is_err(), "{shown}");
        }
    }
}
