// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines that are too long to be read.

use anyhow::{Context, Result};
use proc_macro2::{TokenStream, TokenTree};
use pulldown_cmark::{Event, Options, Parser, Tag};
use std::collections::BTreeSet;

/// Columns of prose in Markdown. Tables, code, and what has no place to break may pass them.
const PROSE: usize = 100;
/// Columns of Rust, as `max_width` in rustfmt.toml. Lines with a string may pass them.
const RUST: usize = 100;

/// Columns of the other languages. Lines with a string may pass them, and an address that is alone.
const OTHER: usize = 100;
/// A tab ends at a multiple of so many columns, as in the kernel's sources.
const TAB: usize = 8;
/// The sources in other languages, as `git ls-files` takes them.
pub(super) const OTHERS: [&str; 9] =
    ["*.c", "*.h", "*.S", "*.sh", "*.py", "*.go", "*.js", "*.css", "*Kbuild"];

/// What is wrong in a Markdown file, a line each.
pub(super) fn prose(file: &str, text: &str) -> Vec<String> {
    let mut free = BTreeSet::new();
    for (event, place) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        if matches!(event, Event::Start(Tag::CodeBlock(_) | Tag::Table(_) | Tag::HtmlBlock)) {
            let first = text[..place.start].matches('\n').count();
            free.extend(first..=first + text[place].matches('\n').count());
        }
    }
    let breaks = |line: &str| line.trim_start_matches(['-', '*', ' ']).contains(' ');
    let lines = text.lines().enumerate();
    lines
        .filter(|(number, line)| {
            line.chars().count() > PROSE && !free.contains(number) && breaks(line)
        })
        .map(|(number, line)| {
            format!("{file}:{}: {} columns of prose", number + 1, line.chars().count())
        })
        .collect()
}

/// The lines of Rust that are too long, a line each.
pub(super) fn rust(sources: &[(String, String)]) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (file, text) in sources {
        let tokens: TokenStream = text
            .parse()
            .map_err(|error| anyhow::anyhow!("{error}"))
            .with_context(|| format!("reading {file}"))?;
        let mut strings = BTreeSet::new();
        strings_of(tokens, &mut strings);
        let lines = text.lines().zip(1..).filter(|(line, number)| {
            line.chars().count() > RUST
                && (line.trim_start().starts_with("//") || !strings.contains(number))
        });
        wrong
            .extend(lines.map(|(line, number)| {
                format!("{file}:{number}: {} columns", line.chars().count())
            }));
    }
    Ok(wrong)
}

/// The lines of a source in another language that are too long, a line each.
pub(super) fn other(file: &str, text: &str) -> Vec<String> {
    let (marks, quotes): (&[&str], _) = match file.rsplit(['.', '/']).next() {
        Some("c" | "h" | "S") => (&["/*", "*", "//"], "\""),
        Some("go") => (&["//"], "\"`"),
        Some("js") => (&["//"], "\"'`"),
        Some("css") => (&["/*"], "\"'"),
        Some("py") => (&["#", "\"\"\""], "\"'"),
        _ => (&["#"], "\"'"),
    };
    let may_pass = |line: &str| {
        let words = line.trim_start();
        if let Some(words) = marks.iter().find_map(|mark| words.strip_prefix(mark)) {
            let words = words.trim();
            return words.contains("://") && !words.contains(' ');
        }
        quotes.chars().any(|quote| line.matches(quote).count() > 1)
    };
    let lines = text.lines().zip(1..).map(|(line, number)| (line, number, width(line)));
    lines
        .filter(|(line, _, width)| *width > OTHER && !may_pass(line))
        .map(|(_, number, width)| format!("{file}:{number}: {width} columns"))
        .collect()
}

/// How many columns a line takes.
fn width(line: &str) -> usize {
    line.chars().fold(0, |at, sign| if sign == '\t' { at / TAB * TAB + TAB } else { at + 1 })
}

/// The lines that a literal stands on, a string's above all.
fn strings_of(tokens: TokenStream, lines: &mut BTreeSet<usize>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => strings_of(group.stream(), lines),
            TokenTree::Literal(literal) => {
                let span = literal.span();
                lines.extend(span.start().line..=span.end().line);
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{other, prose, rust};

    #[test]
    fn prose_is_bounded_and_tables_code_and_addresses_are_not() {
        let long = "word ".repeat(21);
        let address = format!("https://{}", "a".repeat(100));
        let free = format!(
            "| a |\n|---|\n| {long} |\n\n    {long}\n\n```\n{long}\n```\n\n{address}\n\n- {address}\n"
        );
        assert_eq!(prose("a.md", &free), Vec::<String>::new());
        assert_eq!(prose("a.md", &format!("# T\n\n{long}\n")), ["a.md:3: 105 columns of prose"]);
        assert_eq!(prose("a.md", &format!("- x\n  {long}\n")).len(), 1);
    }

    #[test]
    fn rust_is_bounded_and_strings_are_not() {
        let string = format!("const A: &str = \"{}\";\n", "x".repeat(120));
        let wrong = |text: &str| rust(&[("a.rs".to_owned(), text.to_owned())]).expect("Rust");
        assert_eq!(wrong(&string), Vec::<String>::new());
        let comment = format!("// {}\n", "x".repeat(98));
        assert_eq!(wrong(&(string + &comment)), ["a.rs:2: 101 columns"]);
    }

    #[test]
    fn other_languages_are_bounded_and_strings_and_lone_addresses_are_not() {
        let long = "x".repeat(120);
        let code = format!("f(\"{long}\");\n * https://{long}\n");
        assert_eq!(other("a.c", &code), Vec::<String>::new());
        let tabs = format!("{}{}\n", "\t".repeat(10), "x".repeat(21));
        assert_eq!(other("a.c", &tabs), ["a.c:1: 101 columns"]);
        assert_eq!(other("b/Kbuild", &format!("# \"{long}\"\n")).len(), 1, "a comment");
        assert_eq!(other("a.py", &format!("\"\"\"{long}\"\"\"\n")).len(), 1, "a docstring");
        assert_eq!(other("a.sh", &format!("f '{long}'\n")), Vec::<String>::new());
        assert_eq!(other("a.c", &format!("f('{long}');\n")).len(), 1, "no string of C's");
    }
}
