// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the crate offers, item by item, held to `api.txt`: a change of it is seen in a review, and
//! cannot come by accident.
//!
//! The list is read from the sources, with doc comments, bodies and private fields left out. (No
//! item is `pub` and out of reach of users: a lint sees to that.)

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Block, Fields, File, ImplItem, Item, ItemStruct, Macro, Visibility, parse_quote,
};

/// The variable with which the list is written instead of compared.
const WRITE: &str = "ASHMEM_WRITE_API";

#[test]
fn the_interface_is_what_api_txt_says() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (list, now) = (package.join("api.txt"), interface(&package.join("src")));
    if std::env::var_os(WRITE).is_some() {
        return fs::write(&list, now).expect("writing api.txt");
    }
    let then = fs::read_to_string(&list).expect("reading api.txt");
    let lacks = |text: &str, other: &str| -> Vec<String> {
        let lines = other.lines().filter(|line| !text.lines().any(|own| own == *line));
        lines.map(str::to_owned).collect()
    };
    assert!(
        then == now,
        "the interface is not what {} says.\ngone: {:#?}\nnew: {:#?}\nIf it shall be so: \
         `{WRITE}=1 cargo test -p ashmem --test api`, and a line in CHANGELOG.md",
        list.display(),
        lacks(&now, &then),
        lacks(&then, &now)
    );
}

/// The public items of every file of the crate, as Rust.
fn interface(folder: &Path) -> String {
    let entries =
        fs::read_dir(folder).expect("the sources").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "rs")).collect();
    files.sort();
    let mut text =
        "// What the crate `ashmem` offers; tests/api.rs holds the sources to it.\n".to_owned();
    for path in files {
        let source = fs::read_to_string(&path).expect("a source");
        let mut file = syn::parse_file(&source).expect("Rust");
        file.items.retain_mut(is_offered);
        file.attrs.clear();
        Bare.visit_file_mut(&mut file);
        if !file.items.is_empty() {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            text.push_str(&format!(
                "\n// {name}\n{}",
                prettyplease::unparse(&File { shebang: None, ..file })
            ));
        }
    }
    text
}

/// Whether users of the crate can see an item. Of an `impl`, the parts that they cannot see are
/// taken out.
fn is_offered(item: &mut Item) -> bool {
    let vis = match item {
        Item::Const(item) => &item.vis,
        Item::Enum(item) => &item.vis,
        Item::Fn(item) => &item.vis,
        Item::Mod(item) => &item.vis,
        Item::Static(item) => &item.vis,
        Item::Struct(item) => &item.vis,
        Item::Trait(item) => &item.vis,
        Item::Type(item) => &item.vis,
        Item::Use(item) => &item.vis,
        Item::Impl(item) => {
            let of_trait = item.trait_.is_some();
            item.items.retain(|part| match part {
                ImplItem::Fn(function) => !of_trait && is_public(&function.vis),
                ImplItem::Const(constant) => of_trait || is_public(&constant.vis),
                ImplItem::Type(_) => true,
                _ => false,
            });
            return of_trait || !item.items.is_empty();
        }
        Item::Macro(item) => {
            return item.mac.path.segments.last().is_some_and(|last| last.ident == "bitflags");
        }
        _ => return false,
    };
    is_public(vis)
}

fn is_public(vis: &Visibility) -> bool {
    matches!(vis, Visibility::Public(_))
}

/// Takes out what is no part of an interface.
struct Bare;

impl VisitMut for Bare {
    fn visit_attributes_mut(&mut self, attributes: &mut Vec<Attribute>) {
        let kept = ["derive", "must_use", "non_exhaustive", "repr"];
        attributes.retain(|attribute| kept.iter().any(|name| attribute.path().is_ident(name)));
    }

    fn visit_block_mut(&mut self, block: &mut Block) {
        block.stmts.clear();
    }

    fn visit_item_struct_mut(&mut self, item: &mut ItemStruct) {
        let all = item.fields.len();
        match &mut item.fields {
            Fields::Named(named) => {
                named.named =
                    named.named.clone().into_iter().filter(|field| is_public(&field.vis)).collect();
            }
            fields if fields.iter().any(|field| !is_public(&field.vis)) => *fields = Fields::Unit,
            _ => {}
        }
        if item.fields.len() < all {
            // Users cannot make one, nor take one apart without `..`.
            item.attrs.push(parse_quote!(#[non_exhaustive]));
        }
        visit_mut::visit_item_struct_mut(self, item);
    }

    fn visit_macro_mut(&mut self, mac: &mut Macro) {
        mac.tokens = without_docs(mac.tokens.clone());
    }
}

/// Tokens without `#[doc = "…"]`, which a doc comment is.
fn without_docs(tokens: TokenStream) -> TokenStream {
    let mut kept: Vec<TokenTree> = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let is_doc = group
                    .stream()
                    .into_iter()
                    .next()
                    .is_some_and(|first| first.to_string() == "doc");
                let is_attribute = kept.last().is_some_and(|last| last.to_string() == "#");
                if is_doc && is_attribute {
                    kept.pop();
                } else {
                    let inner =
                        proc_macro2::Group::new(group.delimiter(), without_docs(group.stream()));
                    kept.push(inner.into());
                }
            }
            other => kept.push(other),
        }
    }
    kept.into_iter().collect()
}
