// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines that are too long to be read.

use pulldown_cmark::{Event, Options, Parser, Tag};
use std::collections::BTreeSet;

/// Columns of prose in Markdown. Tables, code, and what has no place to break may pass them.
const PROSE: usize = 100;
/// Columns of a source, as `max_width` in rustfmt.toml. An address that is alone in a comment may
/// pass them; a string is broken.
const SOURCE: usize = 100;
/// A tab ends at a multiple of so many columns, as in the kernel's sources.
const TAB: usize = 8;
/// The sources in other languages than Rust, as `git ls-files` takes them.
pub(super) const OTHERS: [&str; 26] = [
    "*.c",
    "*.h",
    "*.S",
    "*.sh",
    "*.py",
    "*.go",
    "*.js",
    "*.css",
    "*.toml",
    "*.yaml",
    "*.yml",
    "*.map",
    "*.config",
    "*.rules",
    "*.service",
    "*Kbuild",
    "*CMakeLists.txt",
    "*.cmake.in",
    "packaging/apparmor/*",
    "packaging/debian/*",
    "packaging/dkms/*",
    "packaging/openrc/*",
    "packaging/runit/*",
    "packaging/selinux/ashmem*",
    "packaging/services/*",
    "packaging/waydroid/*",
];

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

/// The lines of a source that are too long, a line each.
pub(super) fn source(file: &str, text: &str) -> Vec<String> {
    let lines = text.lines().zip(1..).map(|(line, number)| (line, number, width(line)));
    lines
        .filter(|(line, _, width)| *width > SOURCE && !is_address(line))
        .map(|(_, number, width)| format!("{file}:{number}: {width} columns"))
        .collect()
}

/// Whether a line is a comment of one address, which has no place to break.
fn is_address(line: &str) -> bool {
    let words = line.trim_start();
    let marks = ["//!", "///", "//", "/*", "*", "#"];
    let comment = marks.iter().find_map(|mark| words.strip_prefix(mark)).map(str::trim);
    comment.is_some_and(|words| words.contains("://") && !words.contains(' '))
}

/// How many columns a line takes.
fn width(line: &str) -> usize {
    line.chars().fold(0, |at, sign| if sign == '\t' { at / TAB * TAB + TAB } else { at + 1 })
}

#[cfg(test)]
mod tests {
    use super::{prose, source};

    #[test]
    fn prose_is_bounded_and_tables_code_and_addresses_are_not() {
        let long = "word ".repeat(21);
        let address = format!("https://{}", "a".repeat(100));
        let free = format!(
            "| a |\n\
             |---|\n\
             | {long} |\n\
             \n    {long}\n\
             \n\
             ```\n\
             {long}\n\
             ```\n\
             \n\
             {address}\n\
             \n\
             - {address}\n"
        );
        assert_eq!(prose("a.md", &free), Vec::<String>::new());
        assert_eq!(prose("a.md", &format!("# T\n\n{long}\n")), ["a.md:3: 105 columns of prose"]);
        assert_eq!(prose("a.md", &format!("- x\n  {long}\n")).len(), 1);
    }

    #[test]
    fn a_source_is_bounded_and_an_address_alone_is_not() {
        let long = "x".repeat(120);
        assert_eq!(source("a.rs", &format!("// https://{long}\n")), Vec::<String>::new());
        assert_eq!(source("a.c", &format!(" * <https://{long}>\n")), Vec::<String>::new());
        assert_eq!(source("a.rs", &format!("// see https://{long}\n")).len(), 1);
        assert_eq!(source("a.rs", &format!("const A: &str = \"https://{long}\";\n")).len(), 1);
        let comment = format!("let a;\n// {}\n", "x".repeat(98));
        assert_eq!(source("a.rs", &comment), ["a.rs:2: 101 columns"]);
        let tabs = format!("{}{}\n", "\t".repeat(10), "x".repeat(21));
        assert_eq!(source("a.c", &tabs), ["a.c:1: 101 columns"]);
        assert_eq!(source("b/Kbuild", &format!("# \"{long}\"\n")).len(), 1);
    }
}
