// SPDX-License-Identifier: MIT OR Apache-2.0
//! A line of a log as programs' loggers keep it, with a name before each part: JSON, a line of JSON
//! that was printed over several lines, logfmt, and what klog writes behind its heading.
//!
//! A line may be cut off anywhere: what stands before is read. The work is bounded by the line's
//! length and by [`FIELDS`], and nothing here calls itself for what lies within.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::subject::Subjects;

/// No more parts of a line are read.
const FIELDS: usize = 64;

/// How many bytes the longest escape of JSON has: two halves of a sign.
const LONGEST_ESCAPE: usize = 12;

/// The names of what a program says, of the error that it says it with, of how serious that is, of
/// who speaks, and of what is meant; in small letters.
const TEXTS: &[&str] = &["message", "msg", "log", "@message", "textpayload"];
const ERRORS: &[&str] = &["error", "err"];
const LEVELS: &[&str] = &["level", "lvl", "severity", "@level", "priority"];
const SPEAKERS: &[&str] = &["syslog_identifier", "_comm"];
const MEANT: &[&str] = &["path", "device", "module", "resource", "resourcename"];

/// A record, as much of it as tells of trouble.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LogRecord {
    /// How serious it is, in its writer's word; empty if it does not say.
    pub(crate) level: String,
    /// Who speaks; empty if it does not say.
    pub(crate) speaker: String,
    /// What is said, on one line, with its error.
    pub(crate) text: String,
    /// The error alone, where more is said.
    pub(crate) error: Option<String>,
    /// Whether it is in the form that container engines write.
    pub(crate) is_engines: bool,
}

/// The parts of a line: their names in small letters, and what stands there if it is a text.
type Fields = Vec<(String, String)>;

impl LogRecord {
    /// Reads a line that is one.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let line = line.trim();
        let first = line.bytes().next()?;
        if first == b'{' {
            return Self::of(&json(line), false);
        }
        if first == b'"' {
            let (said, rest) = quoted(line);
            if rest.trim_start().starts_with(':') {
                return Self::of(&json(&format!("{{{line}")), false);
            }
            // klog writes what it says first, and then who is meant.
            let mut fields = vec![("msg".to_owned(), said)];
            logfmt(rest, &mut fields);
            return find(&fields, ERRORS).and_then(|_| Self::of(&fields, false));
        }
        // Seen at a glance: most lines are none.
        let end = line.bytes().position(|byte| !is_named(byte))?;
        if end == 0 || !line.get(end..)?.starts_with('=') {
            return None;
        }
        let mut fields = Vec::new();
        logfmt(line, &mut fields);
        // The kernel's audit writes `msg=` too, and no level.
        find(&fields, LEVELS).and_then(|_| Self::of(&fields, true))
    }

    /// The record that these fields are, if they say anything.
    fn of(fields: &Fields, is_engines: bool) -> Option<Self> {
        let (said, error) = (find(fields, TEXTS), find(fields, ERRORS));
        let text = match said {
            Some(said) => joined(fields, said, error),
            None => error?.to_owned(),
        };
        let error = error.filter(|_| said.is_some()).map(on_one_line);
        let owned = |names| find(fields, names).unwrap_or_default().to_owned();
        let is_kernels = find(fields, &["_transport"]) == Some("kernel");
        let speaker = if is_kernels { "kernel".to_owned() } else { owned(SPEAKERS) };
        Some(Self {
            level: worded(owned(LEVELS)),
            speaker,
            text: on_one_line(&text),
            error,
            is_engines,
        })
    }
}

/// What is said and its error as one text. An error that names its subject needs no more, and is
/// then read as if it stood alone; where nothing names it, a field may.
fn joined(fields: &Fields, said: &str, error: Option<&str>) -> String {
    let names_subject = |text: &str| !Subjects::of(text).is_empty();
    let mut text = said.to_owned();
    if !names_subject(said) {
        if let Some(error) = error.filter(|error| names_subject(error)) {
            return error.to_owned();
        }
        if let Some(meant) = find(fields, MEANT) {
            text = format!("{text} {meant}");
        }
    }
    if let Some(error) = error {
        text = format!("{text}: {error}");
    }
    text
}

fn on_one_line(text: &str) -> String {
    text.trim().chars().map(|sign| if sign.is_control() { ' ' } else { sign }).collect()
}

/// A level as a word: numbers are syslog's below ten, and those of loggers of JavaScript else.
fn worded(level: String) -> String {
    let word = match level.parse::<u32>() {
        Ok(0..=3 | 50..) => "error",
        Ok(4 | 40..=49) => "warning",
        Ok(_) => "info",
        Err(_) => return level,
    };
    word.to_owned()
}

fn find<'a>(fields: &'a Fields, names: &[&str]) -> Option<&'a str> {
    let value = |name: &&str| fields.iter().find(|(of, value)| of == name && !value.is_empty());
    names.iter().find_map(value).map(|(_, value)| &**value)
}

fn is_named(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'@')
}

/// Reads `name=value` and `name="value"`, one after another.
fn logfmt(line: &str, fields: &mut Fields) {
    let mut rest = line.trim_start();
    while !rest.is_empty() && fields.len() < FIELDS {
        let end = rest.bytes().position(|byte| !is_named(byte)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = match after.strip_prefix('=') {
            Some(value) if !name.is_empty() => {
                let (value, after) = value_of(value);
                fields.push((name.to_ascii_lowercase(), value));
                after
            }
            // A word without a value.
            _ => after.split_once(' ').map_or("", |(_, after)| after),
        }
        .trim_start();
    }
}

fn value_of(text: &str) -> (String, &str) {
    if text.starts_with('"') {
        return quoted(text);
    }
    let (value, rest) = text.split_once(' ').unwrap_or((text, ""));
    (value.to_owned(), rest)
}

/// What stands between the first quotation mark and the next that is not escaped, as Go escapes,
/// and what follows. A text that ends before is all of it.
fn quoted(text: &str) -> (String, &str) {
    let mut signs = text.strip_prefix('"').unwrap_or(text).chars();
    let mut value = String::new();
    while let Some(sign) = signs.next() {
        match sign {
            '"' => break,
            '\\' => match signs.next() {
                Some('n' | 'r' | 't' | 'a' | 'b' | 'f' | 'v') => value.push(' '),
                Some(length @ ('x' | 'u' | 'U')) => {
                    let length = match length {
                        'x' => 2,
                        'u' => 4,
                        _ => 8,
                    };
                    value.push(numbered(signs.as_str(), length).unwrap_or('\u{fffd}'));
                    for _ in 0..length {
                        signs.next();
                    }
                }
                Some(other) => value.push(other),
                None => {}
            },
            other => value.push(other),
        }
    }
    (value, signs.as_str())
}

fn numbered(text: &str, length: usize) -> Option<char> {
    u32::from_str_radix(text.get(..length)?, 16).ok().and_then(char::from_u32)
}

/// The texts of an object's own fields, as far as it can be read. If it was cut off within a text,
/// what is there of that counts, without an escape that is not whole.
fn json(line: &str) -> Fields {
    let (mut fields, is_whole) = read_json(line);
    if is_whole {
        return fields;
    }
    let tail = line.len().saturating_sub(LONGEST_ESCAPE);
    let escape = line.bytes().skip(tail).position(|byte| byte == b'\\');
    let before = escape.and_then(|place| line.get(..tail + place)).unwrap_or(line);
    for cut in [line, before] {
        let (more, _) = read_json(&format!("{}\"", cut.trim_end_matches('\\')));
        if more.len() > fields.len() {
            fields = more;
        }
    }
    fields
}

/// The fields, and whether the line does not end before they do.
fn read_json(line: &str) -> (Fields, bool) {
    let mut fields = Vec::new();
    let mut object = serde_json::Deserializer::from_str(line);
    let read = FieldsOf(&mut fields).deserialize(&mut object);
    (fields, !read.is_err_and(|error| error.is_eof()))
}

/// Keeps each field as soon as it is read, for the next may not be.
struct FieldsOf<'f>(&'f mut Fields);

impl<'de> DeserializeSeed<'de> for FieldsOf<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, object: D) -> Result<(), D::Error> {
        object.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FieldsOf<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(name) = object.next_key::<String>()? {
            let value = match object.next_value_seed(ValueReader { is_in_list: false })? {
                FieldValue::Text(text) => text,
                FieldValue::Number(number) => number.to_string(),
                FieldValue::Other => continue,
            };
            if self.0.len() < FIELDS {
                self.0.push((name.to_ascii_lowercase(), value));
            }
        }
        Ok(())
    }
}

enum FieldValue {
    Text(String),
    Number(u64),
    Other,
}

/// Reads one value; of what lies within it no more than a list's numbers.
struct ValueReader {
    is_in_list: bool,
}

impl<'de> DeserializeSeed<'de> for ValueReader {
    type Value = FieldValue;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<FieldValue, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueReader {
    type Value = FieldValue;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<FieldValue, E> {
        Ok(FieldValue::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<FieldValue, E> {
        Ok(FieldValue::Number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<FieldValue, E> {
        Ok(FieldValue::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<FieldValue, E> {
        Ok(FieldValue::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<FieldValue, E> {
        Ok(FieldValue::Other)
    }

    fn visit_unit<E>(self) -> Result<FieldValue, E> {
        Ok(FieldValue::Other)
    }

    /// The journal writes a text that a terminal would obey as a list of its bytes.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<FieldValue, A::Error> {
        if self.is_in_list {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(FieldValue::Other);
        }
        let mut bytes = Some(Vec::new());
        while let Some(value) = list.next_element_seed(Self { is_in_list: true })? {
            let byte = match value {
                FieldValue::Number(number) => u8::try_from(number).ok(),
                _ => None,
            };
            bytes = bytes.zip(byte).map(|(mut bytes, byte)| {
                bytes.push(byte);
                bytes
            });
        }
        let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(text.map_or(FieldValue::Other, FieldValue::Text))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<FieldValue, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(FieldValue::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::{FIELDS, LogRecord};

    /// What is said, and how serious it is said to be.
    #[track_caller]
    fn says(line: &str, text: &str, level: &str) {
        let record = LogRecord::read(line).unwrap_or_else(|| panic!("no record: {line}"));
        assert_eq!((&*record.text, &*record.level), (text, level), "{line}");
    }

    #[test]
    fn each_form_says_what_it_holds() {
        says(r#"{"log":"a \"b\"\r\n","stream":"stderr","time":"x"}"#, "a \"b\"", "");
        says(r#"{"level":"error","ts":1.5,"msg":"a","err":"b"}"#, "a: b", "error");
        says(r#"{"a":{"msg":"no"},"b":[[1],"x",{}],"PRIORITY":"3","MESSAGE":"c"}"#, "c", "error");
        says(r#"{"MESSAGE":[97,27,98],"PRIORITY":"6"}"#, "a b", "info");
        says(r#"{"level":50,"msg":"a"},"#, "a", "error");
        says(r#"    "message": "0/3 nodes","#, "0/3 nodes", "");
        says(r#"time="x" level=error msg="a \"b\"\n\u0063\x64" id=1"#, "a \"b\" cd", "error");
        says("ts=1 caller=a.go:1 level=warn msg=a err=\"b c\"", "a: b c", "warn");
        says(r#""failed" err="open x: y" pod="p""#, "failed: open x: y", "");
        // An error that names its subject is read alone, and one that lacks it is told what is.
        says(
            r#"level=error msg="start" error="open /dev/ashmem: x""#,
            "open /dev/ashmem: x",
            "error",
        );
        says(r#"level=error msg=open error=x path=/dev/ashmem"#, "open /dev/ashmem: x", "error");
        says(r#"{"msg":"no such file","path":"/dev/ashmem"}"#, "no such file /dev/ashmem", "");
    }

    #[test]
    fn other_lines_are_no_records() {
        for line in [
            "",
            "{",
            "{}",
            "{ a: b }",
            "\"a\" b",
            "\"a\" b=c",
            "a=b",
            "type=AVC msg=audit(1:2): avc:  denied  { read }",
            "syscall=ioctl ret=-1",
            "E ashmem  : x",
            r#"{"a":"b"}"#,
            r#"["message","x"]"#,
        ] {
            assert_eq!(LogRecord::read(line), None, "{line}");
        }
    }

    #[test]
    fn a_line_may_end_anywhere_and_hold_anything() {
        let whole = r#"{"log":"E \u00e9\ud83e\udd80 \"ashmem","a":[[{"b":[1,2]}]],"error":"x"}"#;
        for (end, _) in whole.char_indices() {
            let read = LogRecord::read(&whole[..end]);
            assert_eq!(read.is_some(), end >= 9, "{end}: {read:?}");
        }
        let line = r#"level=error msg="a \u00e9 \"ashmem" err="b""#;
        for (end, _) in line.char_indices() {
            let _ = LogRecord::read(&line[..end]);
        }
        for deep in ["[", "{\"a\":", "[{\"a\":"] {
            let line = format!("{{\"msg\":\"x\",\"a\":{}", deep.repeat(1 << 16));
            says(&line, "x", "");
        }
        // What comes behind the last field that is read is not read.
        let many = "a=b ".repeat(FIELDS);
        assert_eq!(LogRecord::read(&format!("{many}level=error msg=x")), None);
        says(&format!("level=error msg=x {many}"), "x", "error");
    }
}
