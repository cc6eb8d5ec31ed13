// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines of a width.

/// Where the lines of a text begin and end, in columns.
#[derive(Clone, Copy, Debug)]
pub struct Margins {
    /// Where the first line begins: something stands before it.
    pub first: usize,
    /// Where the others begin.
    pub others: usize,
    /// Where they end.
    pub width: usize,
}

/// The words of `text` in as few lines as hold them, those after the first with their margin. A
/// word that is longer than a line has one of its own.
#[must_use]
pub fn wrap(text: &str, margins: Margins) -> String {
    let mut wrapped = String::new();
    let mut column = margins.first;
    for (place, word) in text.split_whitespace().enumerate() {
        let length = word.chars().count();
        if place != 0 && column + 1 + length > margins.width {
            wrapped.push('\n');
            wrapped.extend(std::iter::repeat_n(' ', margins.others));
            column = margins.others;
        } else if place != 0 {
            wrapped.push(' ');
            column += 1;
        }
        wrapped.push_str(word);
        column += length;
    }
    wrapped
}

/// A row of a table: its first column, and what it says from `column` on. `term` may be styled, so
/// that its columns are told by `length`.
#[must_use]
pub fn row(term: &str, length: usize, column: usize, text: &str, width: usize) -> String {
    let gap = " ".repeat(column.saturating_sub(2 + length));
    format!("  {term}{gap}{}", wrap(text, Margins { first: column, others: column, width }))
}

#[cfg(test)]
mod tests {
    use super::{Margins, row, wrap};

    #[test]
    fn lines_are_as_long_as_they_may_be_and_no_longer() {
        let margins = Margins { first: 2, others: 1, width: 9 };
        assert_eq!(
            wrap("one two\nthree unbreakable four", margins),
            "one two\n three\n \
                                                                     unbreakable\n four"
        );
        assert_eq!(wrap("", margins), "");
    }

    #[test]
    fn what_a_row_says_stays_in_its_column() {
        assert_eq!(row("ID", 2, 6, "of the memory", 12), "  ID  of the\n      memory");
    }
}
