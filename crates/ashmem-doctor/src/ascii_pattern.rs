// SPDX-License-Identifier: MIT OR Apache-2.0
//! Regular expressions that know ASCII's letters and digits alone. Unicode's take several times the
//! memory, and their borders of words many times the time where a line is not all ASCII.

/// A pattern whose `\w`, `\d` and `\b` are ASCII's.
pub(crate) fn ascii_only(pattern: &str) -> String {
    pattern.replace(r"\w", "[0-9A-Za-z_]").replace(r"\d", "[0-9]").replace(r"\b", r"(?-u:\b)")
}

#[cfg(test)]
mod tests {
    use super::ascii_only;

    #[test]
    fn letters_digits_and_borders_are_asciis() {
        let pattern = regex::Regex::new(&ascii_only(r"\b\w+ \d\b")).unwrap();
        assert!(pattern.is_match("打开ab 1失败"));
        assert!(!pattern.is_match("é 1") && !pattern.is_match("a ٣"));
    }
}
