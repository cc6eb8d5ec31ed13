// SPDX-License-Identifier: MIT OR Apache-2.0
//! A name's pattern: what is left of it when its numbers are taken out.
//!
//! A program that makes one region after another numbers them, or names them after what they hold:
//! `gralloc-1234` and `gralloc-1235`, `MemoryHeapBase 0x7f12c0` and `MemoryHeapBase 0x7f2000`. What
//! such names have in common is their pattern: `gralloc-#`, `MemoryHeapBase #`. Unlike a family,
//! which is the beginning of a name, a pattern keeps every word: the windows of two databases are
//! two patterns, those of one database's users are one.

use ashmem_trace::text::Text;

/// What stands for a number.
const NUMBER: u8 = b'#';

/// A word of hexadecimal digits alone is a number if it has so many.
const LONG: usize = 8;
/// With so many it is one if a letter follows a digit in it, which is so in no word that is merely
/// counted (`fd12`).
const SHORT: usize = 4;

/// The lengths of the five words of a UUID.
const UUID: [usize; 5] = [8, 4, 4, 4, 12];

/// The pattern of a name: each number in it is `#`. Numbers are
///
/// - a UUID: hexadecimal words of 8, 4, 4, 4 and 12 digits between dashes;
/// - a word that begins with `0x`, with hexadecimal digits alone behind it;
/// - a word of eight hexadecimal digits or more and nothing else, or of four to seven if a letter
///   follows a digit in it;
/// - every run of decimal digits, in any other word too.
///
/// A word is as many ASCII letters and digits as follow each other. Everything else stays as it is;
/// the pattern of no name is none.
pub fn pattern(name: &Text) -> Text {
    let mut rest = name.as_bytes();
    let mut pattern = Vec::with_capacity(rest.len());
    while let Some(first) = rest.first() {
        if let Some(behind) = without_uuid(rest) {
            pattern.push(NUMBER);
            rest = behind;
            continue;
        }
        let (word, behind) = rest.split_at(word_length(rest).max(1));
        match first.is_ascii_alphanumeric() {
            true if is_number(word) => pattern.push(NUMBER),
            true => without_digits(word, &mut pattern),
            false => pattern.push(*first),
        }
        rest = behind;
    }
    Text::from(pattern)
}

/// How many bytes are of the word that begins here.
fn word_length(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count()
}

/// What is behind the UUID that begins here, if one does: its last word ends there.
fn without_uuid(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    for (number, length) in UUID.into_iter().enumerate() {
        if number > 0 {
            rest = rest.strip_prefix(b"-")?;
        }
        if word_length(rest) != length || !rest[..length].iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        rest = &rest[length..];
    }
    Some(rest)
}

fn is_number(word: &[u8]) -> bool {
    let is_hexadecimal = |digits: &[u8]| digits.iter().all(u8::is_ascii_hexdigit);
    match word.strip_prefix(b"0x").or_else(|| word.strip_prefix(b"0X")) {
        Some(digits) if !digits.is_empty() => is_hexadecimal(digits),
        _ if word.len() >= LONG => is_hexadecimal(word),
        _ => {
            let letter_after_digit = word
                .windows(2)
                .any(|pair| pair[0].is_ascii_digit() && pair[1].is_ascii_alphabetic());
            word.len() >= SHORT && letter_after_digit && is_hexadecimal(word)
        }
    }
}

/// Adds a word with each run of decimal digits as one number.
fn without_digits(word: &[u8], pattern: &mut Vec<u8>) {
    for run in word.chunk_by(|one, other| one.is_ascii_digit() == other.is_ascii_digit()) {
        match run[0].is_ascii_digit() {
            true => pattern.push(NUMBER),
            false => pattern.extend_from_slice(run),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::pattern;
    use ashmem_trace::text::Text;
    use proptest::prelude::*;

    fn shown(name: &str) -> String {
        pattern(&Text::from(name)).to_string()
    }

    #[test]
    fn numbers_of_every_kind_are_taken_out() {
        for (name, wanted) in [
            ("gralloc-1234", "gralloc-#"),
            ("gralloc4", "gralloc#"),
            ("MemoryHeapBase 0x7f12c0", "MemoryHeapBase #"),
            ("MemoryHeapBase 0X7F", "MemoryHeapBase #"),
            ("buffer deadbeef", "buffer #"),
            ("buffer 7fe0", "buffer #"),
            ("Surface 12x34 (7)", "Surface #x# (#)"),
            (
                "CursorWindow: /data/user/10/com.app/databases/chat-7.db",
                "CursorWindow: /data/user/#/com.app/databases/chat-#.db",
            ),
            ("of 550e8400-e29b-41d4-a716-446655440000!", "of #!"),
            ("-550e8400-E29B-abcd-a716-446655440000", "-#"),
            ("550e8400-e29b-41d4-a716-4466554400001", "#-#-#-a#-#"),
            ("", ""),
            ("12", "#"),
        ] {
            assert_eq!(shown(name), wanted, "{name}");
        }
    }

    #[test]
    fn words_stay_words() {
        for (name, wanted) in [
            ("dalvik-main space", "dalvik-main space"),
            ("facade bed", "facade bed"),
            ("fd12", "fd#"),
            ("0x", "#x"),
            ("0xyz", "#xyz"),
            ("wayland-shm", "wayland-shm"),
            ("a\u{1b}[31m\n", r"a\x1b[#m\n"),
        ] {
            assert_eq!(shown(name), wanted, "{name}");
        }
        assert_eq!(pattern(&Text::from(b"\xff7\xfe")), Text::from(b"\xff#\xfe"));
    }

    /// Words as programs name things by, with no digit in them.
    fn words() -> impl Strategy<Value = String> {
        "[g-z ._:/\\[\\(-]{0,20}"
    }

    proptest! {
        #[test]
        fn names_that_differ_in_numbers_alone_have_one_pattern(
            (before, after) in (words(), words()),
            (one, other) in (any::<u64>(), any::<u64>()),
        ) {
            let of = |number: String| shown(&format!("{before}/{number}-{after}"));
            let wanted = of("7".to_owned());
            for number in [one, other] {
                prop_assert_eq!(&of(number.to_string()), &wanted);
                prop_assert_eq!(&of(format!("0x{number:x}")), &wanted);
                prop_assert_eq!(&of(format!("{number:016x}")), &wanted);
                prop_assert_eq!(&of(format!("{number:08X}")), &wanted);
            }
            prop_assert_eq!(shown(&format!("{before}{after}")), format!("{before}{after}"));
        }

        #[test]
        fn any_bytes_have_a_pattern_without_digits_and_no_longer(
            bytes in proptest::collection::vec(any::<u8>(), 0..256),
        ) {
            let of = pattern(&Text::from(&bytes));
            prop_assert!(of.as_bytes().len() <= bytes.len());
            prop_assert!(!of.as_bytes().iter().any(u8::is_ascii_digit));
            let rest = |bytes: &[u8]| -> Vec<u8> {
                let is_kept = |byte: &u8| !byte.is_ascii_alphanumeric() && !b"-#".contains(byte);
                bytes.iter().copied().filter(is_kept).collect()
            };
            prop_assert_eq!(rest(of.as_bytes()), rest(&bytes));
            prop_assert_eq!(bytes.is_empty(), of.is_empty());
        }
    }
}
