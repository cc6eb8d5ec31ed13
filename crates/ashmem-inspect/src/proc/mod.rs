//! Files of `/proc`, read as bytes.
//!
//! Not with a crate: a region's name may hold any byte, it stands in maps, smaps, links and fdinfo, and a reader that wants
//! UTF-8 refuses the whole process that has one.

pub(crate) mod fdinfo;
pub(crate) mod maps;
pub(crate) mod task;

/// The line of this key in a file of `key:<white space>value` lines.
pub(crate) fn value_of<'a>(text: &'a [u8], key: &str) -> Option<&'a [u8]> {
    lines(text).find_map(|line| Some(line.strip_prefix(key.as_bytes())?.strip_prefix(b":")?.trim_ascii()))
}

/// The lines of a text.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

/// A number in decimal.
pub(crate) fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}
