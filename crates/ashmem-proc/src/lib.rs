//! Files of `/proc`, read as bytes.
//!
//! Not with a crate: a region's name may hold any byte, it stands in maps, smaps, links and fdinfo, and a reader that wants
//! UTF-8 refuses the whole process that has one.

pub mod maps;
pub mod process;

/// The line of this key in a file of `key:<white space>value` lines.
pub fn value_of<'a>(text: &'a [u8], key: &str) -> Option<&'a [u8]> {
    lines(text).find_map(|line| Some(line.strip_prefix(key.as_bytes())?.strip_prefix(b":")?.trim_ascii()))
}

/// The lines of a text.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

/// A number in decimal.
pub fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}
