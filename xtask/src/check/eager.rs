// SPDX-License-Identifier: MIT OR Apache-2.0
//! Guards that exist before their lock is held.
//!
//! `got.then_some(Guard { … })` makes the guard whatever `got` is, and drops it where it is false:
//! a lock is let go that nobody took. So wherever a method takes a value that it may not use, that
//! value must be none whose Drop does something.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use syn::visit::{self, Visit};
use syn::{Expr, ExprMethodCall, ItemImpl, Path, Type};

/// Methods that take a value they may drop unused; each has a sister that takes a closure.
const EAGER: &[&str] =
    &["and", "get_or_insert", "map_or", "ok_or", "or", "then_some", "unwrap_or", "xor"];

/// What is wrong in these sources, a line each: `file:line: …`. Each source is its name and its
/// text.
pub(super) fn guards(sources: &[(String, String)]) -> Result<Vec<String>> {
    let mut parsed = Vec::new();
    for (file, text) in sources {
        parsed.push((
            file,
            syn::parse_file(text).with_context(|| format!("reading {file} as Rust"))?,
        ));
    }
    let mut guards = Guards::default();
    parsed.iter().for_each(|(_, file)| guards.visit_file(file));
    let mut wrong = Vec::new();
    for (name, file) in &parsed {
        let mut calls = Calls { guards: &guards.0, owner: None, found: Vec::new() };
        calls.visit_file(file);
        wrong.extend(calls.found.into_iter().map(|(line, method, guard)| {
            format!(
                "{name}:{line}: {method} makes a {guard} before it is known whether there shall be \
                 one, and {guard} has a Drop: use the method that takes a closure"
            )
        }));
    }
    Ok(wrong)
}

/// The types that have a Drop.
#[derive(Default)]
struct Guards(BTreeSet<String>);

impl<'ast> Visit<'ast> for Guards {
    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let is_drop = item
            .trait_
            .as_ref()
            .and_then(|(_, path, _)| last(path))
            .is_some_and(|name| name == "Drop");
        if is_drop {
            self.0.extend(type_name(&item.self_ty));
        }
        visit::visit_item_impl(self, item);
    }
}

/// Calls of eager methods that are handed such a type.
struct Calls<'guards> {
    guards: &'guards BTreeSet<String>,
    /// What `Self` means here.
    owner: Option<String>,
    found: Vec<(usize, String, String)>,
}

impl Calls<'_> {
    /// The guard that this expression makes, if it makes one.
    fn made(&self, value: &Expr) -> Option<String> {
        match value {
            Expr::Struct(literal) => last(&literal.path).and_then(|name| self.guard(name)),
            Expr::Call(call) => {
                let made = match &*call.func {
                    Expr::Path(function) => function
                        .path
                        .segments
                        .iter()
                        .find_map(|segment| self.guard(segment.ident.to_string())),
                    _ => None,
                };
                // Some(Guard { … }), Ok(Guard::new())
                made.or_else(|| call.args.iter().find_map(|argument| self.made(argument)))
            }
            Expr::Paren(inner) => self.made(&inner.expr),
            Expr::Tuple(parts) => parts.elems.iter().find_map(|part| self.made(part)),
            _ => None,
        }
    }

    fn guard(&self, name: String) -> Option<String> {
        let name = if name == "Self" { self.owner.clone()? } else { name };
        self.guards.contains(&name).then_some(name)
    }
}

impl<'ast> Visit<'ast> for Calls<'_> {
    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let outer = std::mem::replace(&mut self.owner, type_name(&item.self_ty));
        visit::visit_item_impl(self, item);
        self.owner = outer;
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        let method = call.method.to_string();
        if EAGER.contains(&method.as_str())
            && let Some(guard) = call.args.iter().find_map(|argument| self.made(argument))
        {
            self.found.push((call.method.span().start().line, method, guard));
        }
        visit::visit_expr_method_call(self, call);
    }
}

fn type_name(of: &Type) -> Option<String> {
    match of {
        Type::Path(path) => last(&path.path),
        _ => None,
    }
}

fn last(path: &Path) -> Option<String> {
    path.segments.last().map(|segment| segment.ident.to_string())
}

#[cfg(test)]
mod tests {
    use super::guards;

    fn lines(text: &str) -> usize {
        guards(&[("a.rs".to_owned(), text.to_owned())]).expect("it is Rust").len()
    }

    const LOCKED: &str =
        "struct Locked<'a>(&'a u8); impl Drop for Locked<'_> { fn drop(&mut self) {} }";

    #[test]
    fn a_guard_made_before_its_lock_is_held_is_found() {
        for call in [
            "got.then_some(Locked { region: self })",
            "got.then_some(Locked(self))",
            "found.unwrap_or(Locked::new(self))",
            "found.or(Some(Locked(self)))",
        ] {
            assert_eq!(lines(&format!("{LOCKED} fn f() {{ {call}; }}")), 1, "{call}");
        }
        let by_self =
            "impl<'a> Locked<'a> { fn f(got: bool) -> Option<Self> { got.then_some(Self(&0)) } }";
        assert_eq!(lines(&format!("{LOCKED} {by_self}")), 1);
    }

    #[test]
    fn what_has_no_drop_or_comes_from_a_closure_is_not() {
        for call in [
            "got.then(|| Locked { region: self })",
            "got.then_some(Plain(self))",
            "found.unwrap_or(0)",
            "list.insert(Locked(self))",
        ] {
            assert_eq!(
                lines(&format!("{LOCKED} struct Plain(u8); fn f() {{ {call}; }}")),
                0,
                "{call}"
            );
        }
    }
}
