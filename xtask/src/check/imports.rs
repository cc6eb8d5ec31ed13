// SPDX-License-Identifier: MIT OR Apache-2.0
//! Import circles between files.
//!
//! Reads the module tree of each target as rustc does, then every path in it: what `use` names, and
//! what code names in full. A path leads to the file that defines its last module's item; through
//! `pub use` it leads on to where the item is. What only a test build has is left out.

use anyhow::{Context, Result};
use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

/// How often a path may be passed on by `pub use`: more is a mistake of this reader's.
const MOST_HOPS: usize = 8;

/// The arrows between the files of one target: who imports whom, and which names.
pub(crate) type Arrows = BTreeMap<(PathBuf, PathBuf), BTreeSet<String>>;

/// The arrows between the files of the target whose topmost file this is.
pub(crate) fn arrows(top: &Path) -> Result<Arrows> {
    let mut crate_ = Crate::default();
    let folder = top.parent().context("a source lies in a folder")?;
    crate_.read(top, folder, None)?;
    Ok(crate_.arrows())
}

/// The files of the target whose topmost file this is, without those that only a test build has.
pub(super) fn files(top: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut crate_ = Crate::default();
    let folder = top.parent().context("a source lies in a folder")?;
    crate_.read(top, folder, None)?;
    Ok(crate_.0.into_iter().map(|module| module.file).collect())
}

/// The circles among arrows, a line each: its files, and what ties them.
pub(crate) fn circles(arrows: &Arrows) -> Vec<String> {
    let files: BTreeSet<&PathBuf> = arrows.keys().flat_map(|(from, to)| [from, to]).collect();
    let reached: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> =
        files.iter().map(|file| (*file, reachable(file, arrows))).collect();
    let reaches =
        |from: &PathBuf, to: &PathBuf| reached.get(from).is_some_and(|all| all.contains(to));
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for file in files.iter().filter(|file| reaches(file, file)) {
        let circle: BTreeSet<&PathBuf> = files
            .iter()
            .copied()
            .filter(|other| reaches(file, other) && reaches(other, file))
            .collect();
        if !told.insert(circle.clone()) {
            continue;
        }
        let mut text = "files that import each other:".to_owned();
        for ((from, to), names) in arrows {
            if circle.contains(from) && circle.contains(to) {
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                text += &format!(
                    "\n    {} takes {} from {}",
                    from.display(),
                    names.join(", "),
                    to.display()
                );
            }
        }
        found.push(text);
    }
    found
}

fn reachable<'a>(from: &PathBuf, arrows: &'a Arrows) -> BTreeSet<&'a PathBuf> {
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<&PathBuf> =
        arrows.keys().filter(|(tail, _)| tail == from).map(|(_, to)| to).collect();
    while let Some(file) = waiting.pop() {
        if reached.insert(file) {
            waiting.extend(arrows.keys().filter(|(tail, _)| tail == file).map(|(_, to)| to));
        }
    }
    reached
}

/// The modules of one target, the topmost first.
#[derive(Default)]
struct Crate(Vec<Module>);

/// A module: a file, or a block within one.
struct Module {
    file: PathBuf,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    /// What it defines itself.
    items: BTreeSet<String>,
    /// What `use` brings into it, by the name it has here. A glob's name is `*`.
    imports: Vec<(String, Vec<String>)>,
    /// The paths that its code names in full.
    named: Vec<Vec<String>>,
}

/// Where a path leads.
enum Place {
    Module(usize),
    Item(usize),
}

impl Crate {
    /// Reads a file and the files below it. `folder` is where its modules lie.
    fn read(&mut self, file: &Path, folder: &Path, parent: Option<usize>) -> Result<usize> {
        let text =
            fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let parsed =
            syn::parse_file(&text).with_context(|| format!("parsing {}", file.display()))?;
        self.module(file, folder, parent, &parsed.items)
    }

    fn module(
        &mut self,
        file: &Path,
        folder: &Path,
        parent: Option<usize>,
        items: &[Item],
    ) -> Result<usize> {
        let items: Vec<&Item> = items.iter().filter(|item| !is_for_tests(item)).collect();
        let place = self.0.len();
        let mut named = Named::default();
        items.iter().for_each(|item| named.visit_item(item));
        self.0.push(Module {
            file: file.to_owned(),
            parent,
            children: BTreeMap::new(),
            items: items.iter().copied().filter_map(name_of).collect(),
            imports: named.imports,
            named: named.paths,
        });
        for item in items {
            let Item::Mod(item) = item else { continue };
            let name = item.ident.to_string();
            let below = folder.join(&name);
            let child = match &item.content {
                Some((_, items)) => self.module(file, &below, Some(place), items)?,
                None => {
                    let (file, below) = match path_attribute(&item.attrs) {
                        Some(path) => {
                            let file = file.parent().unwrap_or(folder).join(path);
                            let below = file.parent().map(Path::to_owned).unwrap_or_default();
                            (file, below)
                        }
                        None => {
                            let flat = folder.join(format!("{name}.rs"));
                            (if flat.exists() { flat } else { below.join("mod.rs") }, below)
                        }
                    };
                    self.read(&file, &below, Some(place))?
                }
            };
            if let Some(module) = self.0.get_mut(place) {
                module.children.insert(name, child);
            }
        }
        Ok(place)
    }

    fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (place, module) in self.0.iter().enumerate() {
            let imports = module.imports.iter().map(|(_, path)| path);
            for path in imports.chain(&module.named) {
                let Some(Place::Module(to) | Place::Item(to)) = self.resolve(place, path, 0) else {
                    continue;
                };
                let Some(target) = self.0.get(to) else { continue };
                if target.file != module.file {
                    let key = (module.file.clone(), target.file.clone());
                    arrows.entry(key).or_default().insert(path.last().cloned().unwrap_or_default());
                }
            }
        }
        arrows
    }

    /// Where a path leads that stands in module `from`; nothing where it leads out of the target.
    fn resolve(&self, from: usize, path: &[String], hops: usize) -> Option<Place> {
        let (first, mut rest) = path.split_first()?;
        let module = self.0.get(from)?;
        let mut at = match first.as_str() {
            "crate" => 0,
            "self" => from,
            "super" => module.parent?,
            name => *module.children.get(name)?,
        };
        while let Some((name, after)) = rest.split_first() {
            let module = self.0.get(at)?;
            if name == "super" {
                at = module.parent?;
            } else if let Some(child) = module.children.get(name) {
                at = *child;
            } else if name == "self" || name == "*" {
                return Some(Place::Module(at));
            } else {
                return Some(self.item(at, name, after, hops).unwrap_or(Place::Item(at)));
            }
            rest = after;
        }
        Some(Place::Module(at))
    }

    /// Where an item of a module is that another module may have given it.
    fn item(&self, at: usize, name: &str, after: &[String], hops: usize) -> Option<Place> {
        let module = self.0.get(at)?;
        if module.items.contains(name) || hops == MOST_HOPS {
            return Some(Place::Item(at));
        }
        let named = module.imports.iter().find(|(bound, _)| bound == name);
        if let Some((_, path)) = named {
            let whole: Vec<String> = path.iter().chain(after).cloned().collect();
            return self.resolve(at, &whole, hops + 1);
        }
        let mut globs = module.imports.iter().filter(|(bound, _)| bound == "*");
        globs.find_map(|(_, path)| match self.resolve(at, path, hops + 1)? {
            Place::Module(to) if to != at && self.0.get(to)?.items.contains(name) => {
                Some(Place::Item(to))
            }
            _ => None,
        })
    }
}

/// Whether an item is marked `#[cfg(test)]`.
fn is_for_tests(item: &Item) -> bool {
    let attributes = match item {
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => return false,
    };
    is_only_for_tests(attributes)
}

/// Whether attributes have `#[cfg(test)]` among them.
pub(super) fn is_only_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|word| word == "test")
    })
}

/// What an item is called that others may import.
fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find(|attribute| attribute.path().is_ident("path")).and_then(|attribute| {
        let syn::Meta::NameValue(pair) = &attribute.meta else { return None };
        let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) = &pair.value else {
            return None;
        };
        Some(path.value())
    })
}

/// The paths of one module, without those of the modules in it.
#[derive(Default)]
struct Named {
    imports: Vec<(String, Vec<String>)>,
    paths: Vec<Vec<String>>,
}

impl Named {
    fn import(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &syn::Ident| {
            before.iter().cloned().chain([name.to_string()]).collect::<Vec<_>>()
        };
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &with(&path.ident)),
            UseTree::Name(name) if name.ident == "self" => {
                self.imports.push((before.last().cloned().unwrap_or_default(), before.to_vec()));
            }
            UseTree::Name(name) => self.imports.push((name.ident.to_string(), with(&name.ident))),
            UseTree::Rename(rename) => {
                self.imports.push((rename.rename.to_string(), with(&rename.ident)))
            }
            UseTree::Glob(_) => self.imports.push(("*".to_owned(), before.to_vec())),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, before)),
        }
    }

    /// The paths among the words of a macro, which has no other form.
    fn words(&mut self, words: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for word in words {
            match word {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.keep(std::mem::take(&mut path));
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                other => {
                    self.keep(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.words(group.stream());
                    }
                }
            }
        }
        self.keep(path);
    }

    fn keep(&mut self, path: Vec<String>) {
        if path.len() > 1 {
            self.paths.push(path);
        }
    }
}

impl<'ast> Visit<'ast> for Named {
    fn visit_item_mod(&mut self, _: &'ast syn::ItemMod) {
        // A module of its own.
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.keep(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.words(call.tokens.clone());
        visit::visit_macro(self, call);
    }
}

#[cfg(test)]
mod tests {
    use super::{Arrows, arrows, circles};
    use std::fs;
    use std::path::PathBuf;

    /// A crate of these files, and its arrows by the files' names.
    fn read(name: &str, files: &[(&str, &str)]) -> Arrows {
        let folder =
            std::env::temp_dir().join(format!("ashmem-imports-{name}-{}", std::process::id()));
        for (file, text) in files {
            let file = folder.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let found = arrows(&folder.join("lib.rs")).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let short = |path: PathBuf| path.strip_prefix(&folder).unwrap().to_owned();
        found.into_iter().map(|((from, to), names)| ((short(from), short(to)), names)).collect()
    }

    fn has(arrows: &Arrows, from: &str, to: &str) -> bool {
        arrows.contains_key(&(from.into(), to.into()))
    }

    #[test]
    fn a_path_leads_to_where_its_item_is() {
        let arrows = read(
            "paths",
            &[
                (
                    "lib.rs",
                    "mod a; mod b; mod d; pub use b::c::Thing; fn f() { println!(\"{}\", d::g()); \
                     }",
                ),
                ("a.rs", "use crate::Thing; use super::b::{self, Other}; fn f() { b::c::g(); }"),
                ("b/mod.rs", "pub mod c; pub struct Other;"),
                (
                    "b/c.rs",
                    "pub struct Thing; pub fn g() {} mod inner { use super::super::Other; }",
                ),
                ("d.rs", "pub fn g() {} #[cfg(test)] mod tests { use super::g; }"),
            ],
        );
        assert!(has(&arrows, "lib.rs", "b/c.rs") && has(&arrows, "lib.rs", "d.rs"), "{arrows:?}");
        assert!(has(&arrows, "a.rs", "b/c.rs") && has(&arrows, "a.rs", "b/mod.rs"), "{arrows:?}");
        assert!(has(&arrows, "b/c.rs", "b/mod.rs"), "{arrows:?}");
        assert_eq!(arrows.len(), 5, "{arrows:?}");
        assert!(circles(&arrows).is_empty());
    }

    #[test]
    fn a_circle_is_told_once_with_all_its_files() {
        let arrows = read(
            "circle",
            &[
                ("lib.rs", "mod a; mod b; mod c;"),
                ("a.rs", "use crate::b::B; pub struct A;"),
                ("b.rs", "use crate::c::C; pub struct B;"),
                ("c.rs", "pub struct C; fn f(_: crate::a::A) {}"),
            ],
        );
        let found = circles(&arrows);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(["a.rs", "b.rs", "c.rs"].iter().all(|file| found[0].contains(file)), "{found:?}");
    }
}
