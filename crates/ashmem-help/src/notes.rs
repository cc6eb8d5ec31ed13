// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a help says after its options, read from the text that a verb's source has.
//!
//! Blank lines part blocks. A block that begins with some words and a colon begins a section. Lines
//! without a margin are prose. Indented ones are a table if each row has a first column, two blanks
//! and what it says, which may go on in lines that are indented further; otherwise, and under a
//! heading that begins with `Example`, they are to be typed or copied as they stand.

use std::fmt::Write;

use clap::builder::Styles;

use crate::wrap::{Margins, row, wrap};

/// A section, or what stands before the first.
#[derive(Debug, PartialEq, Eq)]
pub struct NoteSection {
    /// Its heading, without the colon.
    pub heading: Option<String>,
    /// What it says.
    pub parts: Vec<NotePart>,
}

/// A part of a section.
#[derive(Debug, PartialEq, Eq)]
pub enum NotePart {
    /// A paragraph, in one line.
    Prose(String),
    /// Lines that stay as they are, margins included.
    Verbatim(Vec<String>),
    /// A table.
    Rows(Vec<NoteRow>),
}

/// A row of a table.
#[derive(Debug, PartialEq, Eq)]
pub struct NoteRow {
    /// Its first column.
    pub term: String,
    /// What it says, in one line.
    pub text: String,
    /// Where that begins, in columns.
    pub column: usize,
}

/// The blocks of a text, in their order: a section each, those without a heading alone.
#[must_use]
pub fn sections(text: &str) -> Vec<NoteSection> {
    text.split("\n\n").filter(|block| !block.trim().is_empty()).map(section).collect()
}

fn section(block: &str) -> NoteSection {
    let block = block.trim_matches('\n');
    let (heading, rest) = match block.split_once(':').filter(|(words, _)| is_heading(words)) {
        Some((heading, rest)) => (Some(heading.to_owned()), rest),
        None => (None, block),
    };
    let to_copy = heading.as_deref().is_some_and(|heading| heading.starts_with("Example"));
    let mut parts = Vec::new();
    let lines: Vec<&str> = rest.lines().filter(|line| !line.trim().is_empty()).collect();
    // On the heading's own line a blank parts it from the text.
    let begins = !rest.starts_with('\n') && heading.is_some();
    let is_indented = |place: usize, line: &str| line.starts_with(' ') && !(begins && place == 0);
    for (place, line) in lines.iter().enumerate() {
        match (parts.last_mut(), is_indented(place, line)) {
            (Some(NotePart::Prose(text)), false) => *text = format!("{text} {}", line.trim()),
            (_, false) => parts.push(NotePart::Prose(line.trim().to_owned())),
            (Some(NotePart::Verbatim(lines)), true) => lines.push((*line).to_owned()),
            (_, true) => parts.push(NotePart::Verbatim(vec![(*line).to_owned()])),
        }
    }
    if !to_copy {
        parts.iter_mut().for_each(NotePart::find_rows);
    }
    NoteSection { heading, parts }
}

/// Whether these words before a colon are a heading: a few that are no sentence.
fn is_heading(words: &str) -> bool {
    words.len() <= 30 && words.starts_with(char::is_uppercase) && !words.contains(['\n', '.', ','])
}

impl NotePart {
    /// Makes a table of lines that are one.
    fn find_rows(&mut self) {
        let Self::Verbatim(lines) = self else { return };
        let mut rows: Vec<NoteRow> = Vec::new();
        for line in lines {
            let margin = line.len() - line.trim_start().len();
            match rows.last_mut() {
                Some(last) if margin == last.column => {
                    last.text = format!("{} {}", last.text, line.trim());
                }
                _ => match line.trim_start().split_once("  ") {
                    Some((term, text)) => rows.push(NoteRow {
                        term: term.to_owned(),
                        text: text.trim().to_owned(),
                        column: line.chars().count() - text.trim_start().chars().count(),
                    }),
                    None => return,
                },
            }
        }
        *self = Self::Rows(rows);
    }

    fn at(&self, width: usize, first: usize) -> String {
        match self {
            Self::Prose(text) => wrap(text, Margins { first, others: 0, width }),
            Self::Verbatim(lines) => lines.join("\n"),
            Self::Rows(rows) => {
                let rows: Vec<_> = rows
                    .iter()
                    .map(|NoteRow { term, text, column }| {
                        row(term, term.chars().count(), *column, text, width)
                    })
                    .collect();
                rows.join("\n")
            }
        }
    }
}

impl NoteSection {
    /// The section in lines of `width` columns.
    #[must_use]
    pub fn at(&self, width: usize, styles: &Styles) -> String {
        let mut text = String::new();
        let mut first = 0;
        if let Some(heading) = &self.heading {
            let style = styles.get_header();
            // Writing to a string cannot fail.
            let _ = write!(text, "{style}{heading}:{style:#}");
            if let Some(NotePart::Prose(_)) = self.parts.first() {
                text.push(' ');
                first = heading.chars().count() + 2;
            } else {
                text.push('\n');
            }
        }
        for (place, part) in self.parts.iter().enumerate() {
            if place != 0 {
                text.push('\n');
                first = 0;
            }
            text.push_str(&part.at(width, first));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use clap::builder::Styles;

    use super::{NotePart, NoteRow, NoteSection, sections};

    const TEXT: &str = "\
Without a terminal it
prints one screen.

Columns:
  ID      of the memory; - before the
          first mmap
  PINNED UNPINNED   pages

Examples:
  ashmem list   # every one that there is
    --name 'a  b'

Exit status: 0, or 1
if it failed.";

    fn at(width: usize) -> String {
        let sections: Vec<_> =
            sections(TEXT).iter().map(|section| section.at(width, &Styles::plain())).collect();
        sections.join("\n\n")
    }

    #[test]
    fn prose_tables_and_examples_are_told_apart() {
        let read = sections(TEXT);
        let row = |term: &str, text: &str, column| NoteRow {
            term: term.to_owned(),
            text: text.to_owned(),
            column,
        };
        let expected = [
            (None, NotePart::Prose("Without a terminal it prints one screen.".to_owned())),
            (
                Some("Columns"),
                NotePart::Rows(vec![
                    row("ID", "of the memory; - before the first mmap", 10),
                    row("PINNED UNPINNED", "pages", 20),
                ]),
            ),
            (
                Some("Examples"),
                NotePart::Verbatim(vec![
                    "  ashmem list   # every one that there is".to_owned(),
                    "    --name 'a  b'".to_owned(),
                ]),
            ),
            (Some("Exit status"), NotePart::Prose("0, or 1 if it failed.".to_owned())),
        ]
        .map(|(heading, part)| NoteSection {
            heading: heading.map(str::to_owned),
            parts: vec![part],
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn a_narrow_terminal_breaks_prose_and_tables_and_no_example() {
        assert_eq!(
            at(24),
            "\
Without a terminal it
prints one screen.

Columns:
  ID      of the memory;
          - before the
          first mmap
  PINNED UNPINNED   pages

Examples:
  ashmem list   # every one that there is
    --name 'a  b'

Exit status: 0, or 1 if
it failed."
        );
    }

    #[test]
    fn a_wide_terminal_gets_whole_paragraphs() {
        let text = at(100);
        assert!(text.starts_with("Without a terminal it prints one screen.\n"), "{text}");
        assert!(text.ends_with("\nExit status: 0, or 1 if it failed."), "{text}");
    }
}
