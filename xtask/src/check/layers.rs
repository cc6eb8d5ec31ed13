// SPDX-License-Identifier: MIT OR Apache-2.0
//! The arrows between crates and between folders, held to the pictures of them in our pages.
//!
//! A picture is a heading that begins with `Layers of` and, indented, a line for each layer, the
//! topmost first: what it is, then two spaces or more, then its members. Whatever a member imports
//! stands on a lower line.

use super::imports::Arrows;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The pages with pictures.
pub(crate) const PAGES: [&str; 2] = ["ARCHITECTURE.md", "docs/layers.md"];
/// The heading of a picture, before what it is of.
const HEADING: &str = "Layers of ";

/// Some members, and which imports which.
pub(crate) type Graph = (Vec<String>, Vec<(String, String)>);

/// A picture: how high each member stands.
type Picture = BTreeMap<String, usize>;

/// The pictures of a page, each by what it is of.
pub(crate) fn pictures(page: &str) -> BTreeMap<String, Picture> {
    let mut found: BTreeMap<String, Picture> = BTreeMap::new();
    let mut current: Option<(String, usize)> = None;
    for (number, line) in page.lines().enumerate() {
        if line.starts_with('#') {
            let of = line.trim_start_matches('#').trim().strip_prefix(HEADING);
            current = of.map(|of| (of.trim_matches('`').to_owned(), number));
        } else if let (Some((of, first)), Some(layer)) = (&current, line.strip_prefix("    ")) {
            let Some((_, members)) = layer.split_once("  ") else { continue };
            let height = usize::MAX - (number - first);
            let picture = found.entry(of.clone()).or_default();
            picture.extend(members.split(',').map(|member| (member.trim().to_owned(), height)));
        }
    }
    found
}

/// What is wrong with a picture, given who imports whom: a line each. Members are all that there
/// are.
pub(crate) fn compare(
    of: &str,
    picture: Option<&Picture>,
    members: &[String],
    arrows: &[(String, String)],
) -> Vec<String> {
    let Some(picture) = picture else {
        return vec![format!("no page has a picture `{HEADING}{of}`")];
    };
    let missing = members.iter().filter(|member| !picture.contains_key(*member));
    let mut wrong: Vec<String> =
        missing.map(|member| format!("{HEADING}{of}: {member} is not in the picture")).collect();
    let gone = picture.keys().filter(|member| !members.contains(member));
    wrong.extend(gone.map(|member| format!("{HEADING}{of}: {member} is in the picture alone")));
    for (from, to) in arrows {
        if let (Some(above), Some(below)) = (picture.get(from), picture.get(to))
            && above <= below
        {
            wrong
                .push(format!("{HEADING}{of}: {from} imports {to}, which does not stand below it"));
        }
    }
    wrong
}

/// The workspace's crates by cargo's metadata, and which depends on which.
pub(crate) fn crates(metadata: &Value) -> Result<Graph> {
    let packages = metadata
        .get("packages")
        .and_then(Value::as_array)
        .context("cargo's metadata names no packages")?;
    let own = packages.iter().filter(|package| package.get("source").is_some_and(Value::is_null));
    let name = |value: &Value| value.get("name").and_then(Value::as_str).map(str::to_owned);
    let (mut members, mut arrows) = (Vec::new(), Vec::new());
    for package in own {
        let from = name(package).context("a package has no name")?;
        let dependencies = package
            .get("dependencies")
            .and_then(Value::as_array)
            .context("a package's dependencies")?;
        let own = dependencies
            .iter()
            .filter(|dependency| dependency.get("path").is_some_and(|path| !path.is_null()));
        arrows.extend(own.filter_map(name).map(|to| (from.clone(), to)));
        members.push(from);
    }
    Ok((members, arrows))
}

/// The topmost files of all targets of the workspace's crates.
pub(crate) fn targets(metadata: &Value) -> Vec<String> {
    let packages = metadata.get("packages").and_then(Value::as_array).into_iter().flatten();
    let own = packages.filter(|package| package.get("source").is_some_and(Value::is_null));
    let targets = own.filter_map(|package| package.get("targets")?.as_array()).flatten();
    targets.filter_map(|target| target.get("src_path")?.as_str().map(str::to_owned)).collect()
}

/// The members of a folder, its files and folders, and who imports whom among them. The topmost
/// file stands for itself as `main` or `lib`.
pub(crate) fn folders(folder: &Path, arrows: &Arrows) -> Graph {
    let member = |file: &Path| -> Option<String> {
        let inside = file.strip_prefix(folder).ok()?;
        let first = inside.components().next()?.as_os_str().to_string_lossy().into_owned();
        Some(first.trim_end_matches(".rs").to_owned())
    };
    let mut members: Vec<String> = Vec::new();
    let mut between: Vec<(String, String)> = Vec::new();
    for (from, to) in arrows.keys() {
        let (Some(from), Some(to)) = (member(from), member(to)) else { continue };
        for name in [&from, &to] {
            if !members.contains(name) {
                members.push(name.clone());
            }
        }
        if from != to && !between.contains(&(from.clone(), to.clone())) {
            between.push((from, to));
        }
    }
    (members, between)
}

#[cfg(test)]
mod tests {
    use super::{compare, pictures};

    const PAGE: &str = "# Map\n\
                        \n\
                        ## Layers of crates\n\
                        \n\
                        Each on those below.\n\
                        \n    programs   cli, xtask\n    base       core\n\
                        \n\
                        ## Other\n\
                        \n    no  picture\n";

    #[test]
    fn an_arrow_may_go_down_and_no_other_way() {
        let pictures = pictures(PAGE);
        assert_eq!(pictures.keys().collect::<Vec<_>>(), ["crates"]);
        let all = ["cli", "xtask", "core"].map(str::to_owned);
        let wrong = |arrows: &[(&str, &str)]| {
            let arrows: Vec<_> =
                arrows.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
            compare("crates", pictures.get("crates"), &all, &arrows)
        };
        assert!(wrong(&[("cli", "core"), ("xtask", "core")]).is_empty());
        assert_eq!(wrong(&[("core", "cli")]).len(), 1);
        assert_eq!(wrong(&[("cli", "xtask")]).len(), 1, "side by side");
    }

    #[test]
    fn a_picture_has_every_member_and_no_other() {
        let pictures = pictures(PAGE);
        let members = ["cli", "core", "new"].map(str::to_owned);
        let wrong = compare("crates", pictures.get("crates"), &members, &[]);
        assert!(
            wrong.len() == 2 && wrong[0].contains("new") && wrong[1].contains("xtask"),
            "{wrong:?}"
        );
        assert_eq!(compare("agent", pictures.get("agent"), &members, &[]).len(), 1, "no picture");
    }
}
