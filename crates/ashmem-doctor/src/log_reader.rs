// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lines of a log, from bytes: UTF-8, or the UTF-16 that Windows' PowerShell writes.

use std::borrow::Cow;
use std::io::{self, BufRead, Chain, Cursor, ErrorKind, Read, Take};

/// Of a line no more is looked at, in bytes: what is longer is no log.
pub const LONGEST: usize = 4096;
/// By so many bytes it is told what the input is.
const HEAD: usize = 512;

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogReadError {
    /// Reading failed.
    #[error("reading it: {0}")]
    Io(#[from] io::Error),
    /// It is no text; with what it is, and what makes a text of it.
    #[error("this is no text but {what}; try: {next} | ashmem doctor explain")]
    NotText {
        /// What it is.
        what: &'static str,
        /// The command that makes a text of it.
        next: &'static str,
    },
}

/// How files begin that logs come in and that are no text.
const OTHERS: &[(&[u8], &str, &str)] = &[
    (b"\x1f\x8b", "compressed by gzip", "zcat FILE"),
    (b"\xfd7zXZ\0", "compressed by xz", "xzcat FILE"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "zstdcat FILE"),
    (b"BZh", "compressed by bzip2", "bzcat FILE"),
    (b"PK\x03\x04", "a zip archive", "unzip -p FILE"),
    (b"LPKSHHRH", "a file of the journal", "journalctl --file FILE"),
    (b"\xff\xfe\0\0", "UTF-32", "iconv -f UTF-32 FILE"),
    (b"\0\0\xfe\xff", "UTF-32", "iconv -f UTF-32 FILE"),
    (b"\x7fELF", "a program or a library", "strings FILE"),
];

/// How the bytes stand for signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextForm {
    /// UTF-8 and all that has ASCII in it.
    Bytes,
    /// UTF-16, the lower byte first.
    Utf16Le,
    /// UTF-16, the higher byte first.
    Utf16Be,
}

/// Reads a log line by line. No more of a line is kept than is looked at.
#[derive(Debug)]
pub struct LogReader<R> {
    input: Chain<Cursor<Vec<u8>>, Take<R>>,
    form: TextForm,
    bytes: Vec<u8>,
    units: Vec<u16>,
}

impl<R: BufRead> LogReader<R> {
    /// Reads the beginning, to see what the input is.
    pub fn new(mut input: R) -> Result<Self, LogReadError> {
        let mut head = Vec::with_capacity(HEAD);
        let keep = |head: &mut Vec<u8>, bytes: &[u8]| {
            let wanted = bytes.len().min(HEAD - head.len());
            head.extend_from_slice(bytes.get(..wanted).unwrap_or_default());
            (wanted, ())
        };
        let mut is_over = false;
        while head.len() < HEAD && !is_over {
            is_over = take(&mut input, |bytes| keep(&mut head, bytes))?.is_none();
        }
        if let Some((_, what, next)) = OTHERS.iter().find(|(magic, ..)| head.starts_with(magic)) {
            return Err(LogReadError::NotText { what, next });
        }
        let form = form_of(&head);
        // A terminal that was told to end is not asked again.
        let input = Cursor::new(head).chain(input.take(if is_over { 0 } else { u64::MAX }));
        Ok(Self { input, form, bytes: Vec::new(), units: Vec::new() })
    }

    /// The next line, without its end; none at the end of the input.
    pub fn next_line(&mut self) -> Result<Option<Cow<'_, str>>, LogReadError> {
        self.bytes.clear();
        self.units.clear();
        let is_any = match self.form {
            TextForm::Bytes => self.next_bytes()?,
            TextForm::Utf16Le => self.next_units(u16::from_le_bytes)?,
            TextForm::Utf16Be => self.next_units(u16::from_be_bytes)?,
        };
        Ok(is_any.then(|| match self.form {
            TextForm::Bytes => String::from_utf8_lossy(&self.bytes),
            _ => Cow::Owned(String::from_utf16_lossy(&self.units)),
        }))
    }

    /// A line of bytes. A zero is no sign: a log that was cut while it was written has a row of
    /// them, and what PowerShell appends to a log has one after each sign.
    fn next_bytes(&mut self) -> io::Result<bool> {
        let (kept, mut is_any) = (&mut self.bytes, false);
        loop {
            let is_whole = take(&mut self.input, |bytes| {
                let end = bytes.iter().position(|byte| *byte == b'\n');
                let length = end.unwrap_or(bytes.len());
                let part = bytes.get(..length).unwrap_or_default();
                // One byte more than is looked at, for what is cut to be seen as cut.
                let room = (LONGEST + 1).saturating_sub(kept.len());
                kept.extend(part.iter().filter(|byte| **byte != 0).take(room));
                (end.map_or(length, |end| end + 1), end.is_some())
            })?;
            match is_whole {
                None => return Ok(is_any),
                Some(true) => return Ok(true),
                Some(false) => is_any = true,
            }
        }
    }

    fn next_units(&mut self, unit: fn([u8; 2]) -> u16) -> io::Result<bool> {
        let mut is_any = false;
        loop {
            let Some(first) = self.next_byte()? else { return Ok(is_any) };
            is_any = true;
            // A byte that is left over at the end is none of a text.
            let Some(second) = self.next_byte()? else { return Ok(true) };
            match unit([first, second]) {
                0x0a => return Ok(true),
                0 => {}
                unit if self.units.len() <= LONGEST => self.units.push(unit),
                _ => {}
            }
        }
    }

    fn next_byte(&mut self) -> io::Result<Option<u8>> {
        take(&mut self.input, |bytes| (1, bytes.first().copied())).map(Option::flatten)
    }
}

/// What `look` sees of what waits to be read, after it said how much of that it used; nothing at
/// the end.
fn take<T>(
    input: &mut impl BufRead,
    look: impl FnOnce(&[u8]) -> (usize, T),
) -> io::Result<Option<T>> {
    loop {
        let bytes = match input.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        };
        if bytes.is_empty() {
            return Ok(None);
        }
        let (used, seen) = look(bytes);
        input.consume(used);
        return Ok(Some(seen));
    }
}

/// By the mark at the beginning, or by the zero that is half of each of ASCII's signs.
fn form_of(head: &[u8]) -> TextForm {
    match head {
        [0xff, 0xfe, ..] => return TextForm::Utf16Le,
        [0xfe, 0xff, ..] => return TextForm::Utf16Be,
        _ => {}
    }
    // What PowerShell appends to a log in ASCII is UTF-16 behind the beginning: the first sign
    // counts as well as the many.
    let zeros = |odd: usize| {
        let halves = head.chunks_exact(2).filter_map(|pair| pair.get(odd));
        let is_first = halves.clone().next() == Some(&0);
        (is_first, halves.filter(|byte| **byte == 0).count())
    };
    let pairs = head.len() / 2;
    let is_half = |zeros: usize| pairs >= 2 && zeros * 2 > pairs;
    match (zeros(0), zeros(1)) {
        ((_, 0), (true, zeros)) if is_half(zeros) => TextForm::Utf16Le,
        ((true, zeros), (_, 0)) if is_half(zeros) => TextForm::Utf16Be,
        _ => TextForm::Bytes,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use super::{LONGEST, LogReadError, LogReader};

    fn lines(bytes: &[u8]) -> Vec<String> {
        // A small buffer: what is one sign, one line may come in two parts.
        let mut reader = LogReader::new(BufReader::with_capacity(3, bytes)).expect("a text");
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().expect("memory can be read") {
            lines.push(line.into_owned());
        }
        lines
    }

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn a_text_is_read_in_each_of_its_forms() {
        let text = "E/ashmem: Unable\r\n\u{1f980} \u{7c73}\r\n\r\nlast";
        let wanted: Vec<_> = text.split('\n').collect();
        let marked = format!("\u{feff}{text}");
        assert_eq!(lines(text.as_bytes()), wanted);
        for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
            assert_eq!(lines(&utf16(text, bytes)), wanted);
            let mut read = lines(&utf16(&marked, bytes));
            read[0] = read[0].trim_start_matches('\u{feff}').to_owned();
            assert_eq!(read, wanted);
        }
        assert!(lines(b"").is_empty());
        assert_eq!(lines(b"\n"), [""]);
    }

    #[test]
    fn zeros_and_halves_are_no_signs() {
        assert_eq!(lines(b"\0\0\0\0\0\0ashmem\nx\0y"), ["ashmem", "xy"]);
        let mut appended = b"one line in ASCII, and then\n".to_vec();
        appended.extend(utf16("what was appended\n", u16::to_le_bytes));
        assert_eq!(lines(&appended)[1], "what was appended");
        // Half a unit, and half a pair of units.
        assert_eq!(lines(b"\xff\xfea\0b"), ["\u{feff}a"]);
        assert_eq!(lines(b"\xff\xfe\x00\xd8a\0"), ["\u{feff}\u{fffd}a"]);
        assert_eq!(lines(b"\xffash\xfe\n"), ["\u{fffd}ash\u{fffd}"]);
    }

    #[test]
    fn a_line_without_an_end_is_no_more_than_its_beginning() {
        for head in [&b"ab"[..], b"\xff\xfe", b"\xfe\xff"] {
            let endless = head.chain(std::io::repeat(b'a').take(1 << 20)).chain(&b"\0\n"[..]);
            let mut reader = LogReader::new(BufReader::new(endless)).expect("a text");
            let line = reader.next_line().expect("memory").expect("a line").into_owned();
            assert_eq!(line.chars().count(), LONGEST + 1);
            assert!(reader.bytes.capacity() + 2 * reader.units.capacity() <= 4 * LONGEST);
        }
    }

    #[test]
    fn what_is_no_text_is_said_to_be_none() {
        for (bytes, next) in [
            (&b"\x1f\x8b\x08\0"[..], "zcat FILE | ashmem doctor explain"),
            (b"PK\x03\x04x", "unzip -p FILE | ashmem doctor explain"),
            (b"LPKSHHRH\0\0", "journalctl --file FILE | ashmem doctor explain"),
            (b"\xff\xfe\0\0a\0\0\0", "iconv -f UTF-32 FILE | ashmem doctor explain"),
        ] {
            let error = LogReader::new(bytes).expect_err("no text");
            assert!(matches!(error, LogReadError::NotText { .. }));
            assert!(error.to_string().ends_with(next), "{error}");
        }
    }
}
