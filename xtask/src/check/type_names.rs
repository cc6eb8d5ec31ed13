// SPDX-License-Identifier: MIT OR Apache-2.0
//! Types of the product that share a name.
//!
//! Who reads a name shall know the type without the imports above it, and who searches for a name
//! shall find one type. So each struct, enum, union, trait and alias has a name of its own, public
//! or not. Associated types are no types of their own; what only a test build has is left out.

use super::imports::is_only_for_tests;
use anyhow::{Context, Result};
use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeMap;
use std::path::Path;
use syn::visit::{self, Visit};
use syn::{Attribute, Ident, Item};

/// Types that may share a name: those of this name whose files begin with this.
pub(super) struct Exception {
    name: &'static str,
    files: &'static str,
    /// Why.
    reason: &'static str,
}

/// All of them.
pub(super) const EXCEPTIONS: &[Exception] = &[
    Exception::new("Error", "", "each module has its own, by the custom of Rust"),
    Exception::new("Arguments", "crates/ashmem-cli/", "each verb's own, read by clap"),
    Exception::new("Verb", "crates/ashmem-cli/", "the verbs below each verb, read by clap"),
    Exception::new("Mapping", "crates/ashmem/", "the same thing as the core's, at the public API"),
    Exception::new("Pin", "crates/ashmem/", "the same thing as the core's, at the public API"),
];

impl Exception {
    const fn new(name: &'static str, files: &'static str, reason: &'static str) -> Self {
        Self { name, files, reason }
    }
}

/// Whether a file of a target is part of the product: neither a test, a benchmark nor an example.
pub(super) fn is_product(file: &Path) -> bool {
    let mut parts = file.iter().filter_map(|part| part.to_str());
    match parts.next() {
        Some("crates") => parts.nth(1) == Some("src"),
        Some("module") => parts.next() == Some("src"),
        _ => false,
    }
}

/// What is wrong in these sources, a line for each name. Each source is its name and its text.
pub(super) fn wrong(
    sources: &[(String, String)],
    exceptions: &[Exception],
) -> Result<(Vec<String>, usize)> {
    let mut types = Types::default();
    for (file, text) in sources {
        let parsed = syn::parse_file(text).with_context(|| format!("reading {file} as Rust"))?;
        types.file.clone_from(file);
        types.visit_file(&parsed);
    }
    let mut wrong = Vec::new();
    for (name, places) in &types.found {
        let may_share = |file: &str| {
            exceptions.iter().any(|free| free.name == name && file.starts_with(free.files))
        };
        if places.iter().filter(|(file, _)| !may_share(file)).count() > 1 {
            let places: Vec<_> =
                places.iter().map(|(file, line)| format!("{file}:{line}")).collect();
            wrong.push(format!(
                "{name} is the name of several types: {}; let the name of the less central one say \
                 what it is of",
                places.join(", ")
            ));
        }
    }
    for free in exceptions {
        if types.found.get(free.name).is_none_or(|places| places.len() < 2) {
            wrong.push(format!(
                "{} is one type by now; remove the exception for it ({})",
                free.name, free.reason
            ));
        }
    }
    Ok((wrong, types.found.len()))
}

/// Where the types are, by their names.
#[derive(Default)]
struct Types {
    file: String,
    found: BTreeMap<String, Vec<(String, usize)>>,
}

impl Types {
    fn keep(&mut self, name: &Ident) {
        let place = (self.file.clone(), name.span().start().line);
        self.found.entry(name.to_string()).or_default().push(place);
    }

    /// The types among the words of a macro, such as `bitflags!`, which has no other form.
    fn words(&mut self, words: TokenStream) {
        let mut defines = false;
        for word in words {
            match word {
                TokenTree::Ident(name) if defines => {
                    self.keep(&name);
                    defines = false;
                }
                TokenTree::Ident(word) => {
                    defines = ["struct", "enum", "union", "trait", "type"]
                        .iter()
                        .any(|keyword| word == keyword);
                }
                TokenTree::Group(group) => {
                    self.words(group.stream());
                    defines = false;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => defines = false,
            }
        }
    }
}

impl<'ast> Visit<'ast> for Types {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_only_for_tests(attributes(item)) {
            return;
        }
        match item {
            Item::Enum(item) => self.keep(&item.ident),
            Item::Macro(item) => self.words(item.mac.tokens.clone()),
            Item::Struct(item) => self.keep(&item.ident),
            Item::Trait(item) => self.keep(&item.ident),
            Item::Type(item) => self.keep(&item.ident),
            Item::Union(item) => self.keep(&item.ident),
            _ => {}
        }
        visit::visit_item(self, item);
    }
}

/// The attributes of an item that may hold or be a type.
fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::{Exception, is_product, wrong};
    use std::path::Path;

    /// What is said of these two files.
    fn said(one: &str, other: &str, exceptions: &[Exception]) -> Vec<String> {
        let sources = [("crates/a/src/lib.rs", one), ("crates/b/src/lib.rs", other)];
        let sources = sources.map(|(file, text)| (file.to_owned(), text.to_owned()));
        wrong(&sources, exceptions).expect("it is Rust").0
    }

    #[test]
    fn a_name_of_two_types_is_told_with_both_places() {
        let told = said("\npub struct Line;", "mod inner { fn f() { enum Line {} } }", &[]);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("Line is the name of several types: "), "{told:?}");
        assert!(told[0].contains("crates/a/src/lib.rs:2, crates/b/src/lib.rs:1;"), "{told:?}");
        for other in ["trait Line {}", "type Line = u8;", "union Line { a: u8 }"] {
            assert_eq!(said("struct Line;", other, &[]).len(), 1, "{other}");
        }
        let made = "bitflags::bitflags! { pub struct Line: u32 { const A = 1; } }";
        assert_eq!(said("struct Line;", made, &[]).len(), 1, "{made}");
    }

    #[test]
    fn what_is_no_second_type_is_not() {
        for other in [
            "struct ChartLine;",
            "fn f() { Line::new(); }",
            "enum Series { Line(u8) }",
            "trait Chart { type Line; }",
            "impl Chart for u8 { type Line = u8; }",
            "use a::Line;",
            "#[cfg(test)] mod tests { struct Line; }",
            "#[cfg(test)] struct Line;",
        ] {
            assert_eq!(said("struct Line;", other, &[]), Vec::<String>::new(), "{other}");
        }
    }

    #[test]
    fn an_exception_passes_where_it_holds_and_no_longer_than_it_is_needed() {
        let at = |files| [Exception::new("Line", files, "a test")];
        for files in ["", "crates/a/", "crates/b/src/lib.rs"] {
            assert!(said("struct Line;", "struct Line;", &at(files)).is_empty(), "{files}");
        }
        assert_eq!(said("struct Line;", "struct Line;", &at("crates/c/")).len(), 1);
        assert_eq!(said("struct Line;", "", &at("")).len(), 1, "it is one type by now");
    }

    #[test]
    fn the_product_is_what_is_shipped() {
        for file in ["crates/a/src/lib.rs", "crates/a/src/b/c.rs", "module/src/lib.rs"] {
            assert!(is_product(Path::new(file)), "{file}");
        }
        for file in ["crates/a/tests/b.rs", "crates/a/examples/b.rs", "tests/a/src/lib.rs"] {
            assert!(!is_product(Path::new(file)), "{file}");
        }
    }
}
