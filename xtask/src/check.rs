// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask check`: what can be said about the sources without running them.

mod columns;
mod eager;
mod imports;
mod layers;
mod licence_lines;
mod subjects;
mod type_names;

use crate::debian::host;

use crate::util::steps::{Runner, Step, StepResult, only};
use crate::util::workspace::tracked;
use crate::util::{links, process, tools, workspace};
use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Licences a dependency may have; of alternatives, one must be here. deny.toml has the same list.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Check format, lints, guards, documentation, layers, type names, links, columns, licences,
/// wording, the threat model, commits, packages
///
/// Layers: no file imports another that imports it, and crates and folders import only what
/// ARCHITECTURE.md and docs/layers.md draw below them. Type names: no two types of the product,
/// which is crates/ and module/ without their tests, have one name. Commits: the subjects of those
/// that are not on `main` yet. All checks run whatever became of the others; the last line counts
/// them. Nothing is changed.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Only checks whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Instead of checking, write the SPDX line into each source file that has none
    #[arg(long)]
    write_licences: bool,
}

impl Check {
    /// Runs every check.
    pub(crate) fn run(self) -> ExitCode {
        let mut runner = Runner::default();
        if self.write_licences {
            let write = || {
                Ok(StepResult::Passed(format!(
                    "{} files have a line more",
                    licence_lines::write()?
                )))
            };
            runner.sequential([Step::new("write SPDX lines", write)]);
        } else {
            let is_asked_for =
                |name: &str| self.only.as_deref().is_none_or(|text| name.contains(text));
            runner.sequential(only(is_asked_for, steps()));
        }
        runner.close()
    }
}

/// The checks, to be run among other steps.
pub(crate) fn steps() -> Vec<Step> {
    vec![
        Step::new("format", || cargo(&["fmt", "--all", "--check"], &[])),
        Step::new("lints", || {
            cargo(
                &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"],
                &[],
            )
        }),
        Step::new("guards", guards),
        Step::new("documentation", || {
            cargo(
                &["doc", "--workspace", "--no-deps", "--document-private-items", "--quiet"],
                &[("RUSTDOCFLAGS", "-D warnings")],
            )
        }),
        Step::new("layers", layers),
        Step::new("type names", type_names),
        Step::new("links", || {
            let pages = links::pages()?;
            Ok(step_result(&links::wrong(&pages)?, format!("{} pages", pages.len())))
        }),
        Step::new("columns", lines),
        Step::new("licences", licences),
        Step::new("SPDX lines", || {
            let (wrong, files) = licence_lines::wrong()?;
            Ok(step_result(&wrong, format!("{files} files")))
        }),
        Step::new("cargo deny", deny),
        Step::new("manifests", manifests),
        Step::new("commit subjects", commit_subjects),
        Step::new("wording", wording),
        Step::new("threat model", threats),
        Step::new("packages", host::beside_cross_compiler),
    ]
}

/// No lock's guard is made before the lock is held.
fn guards() -> Result<StepResult> {
    let sources = sources()?;
    Ok(step_result(&eager::guards(&sources)?, format!("{} files", sources.len())))
}

/// No line of prose or of a source is longer than a reader's window is wide.
fn lines() -> Result<StepResult> {
    let (pages, mut sources) = (texts(&["*.md"])?, sources()?);
    sources.extend(texts(&columns::OTHERS)?);
    let mut wrong: Vec<_> =
        pages.iter().flat_map(|(file, text)| columns::prose(file, text)).collect();
    wrong.extend(sources.iter().flat_map(|(file, text)| columns::source(file, text)));
    let note = format!("{} pages, {} sources", pages.len(), sources.len());
    Ok(step_result(&wrong, note))
}

/// The version of cargo-deny that reads deny.toml.
const DENY: &str = "0.20.2";

/// What deny.toml asks for, where cargo-deny is there. Advisories are left out: their list is not
/// part of the tree.
fn deny() -> Result<StepResult> {
    let own = tools::installed("cargo-deny")?;
    let Some(program) = [own, PathBuf::from("cargo-deny")]
        .into_iter()
        .find(|program| process::capture(Command::new(program).arg("--version")).is_ok())
    else {
        return Ok(StepResult::Skipped(
            "there is no cargo-deny (`cargo xtask test --all` installs it)".to_owned(),
        ));
    };
    let mut deny = Command::new(program);
    deny.args(["--offline", "--workspace", "check", "bans", "licenses", "sources"])
        .current_dir(workspace::root());
    let (text, status) = process::capture_both(&mut deny)?;
    Ok(if status.success() {
        StepResult::Passed(String::new())
    } else {
        StepResult::Failed(format!("{} says:\n{text}", process::line(&deny)))
    })
}

/// Installs cargo-deny, for the check that needs it: some minutes, once.
pub(crate) fn install_deny() -> Step {
    Step::new("setup of cargo-deny", || {
        let program = tools::from_crates_io("cargo-deny", DENY, &["--no-default-features"])?;
        Ok(StepResult::Passed(program.display().to_string()))
    })
}

/// Every source in Rust: its path and its text.
fn sources() -> Result<Vec<(String, String)>> {
    texts(&["*.rs"])
}

/// The files that match: each one's path and text.
fn texts(patterns: &[&str]) -> Result<Vec<(String, String)>> {
    let read = |file: String| {
        let text = fs::read_to_string(workspace::root().join(&file))
            .with_context(|| format!("reading {file}"))?;
        Ok((file, text))
    };
    tracked(patterns)?.into_iter().map(read).collect()
}

fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Result<StepResult> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments).envs(environment.iter().copied()).current_dir(workspace::root());
    let (text, status) = process::capture_both(&mut cargo)?;
    Ok(if status.success() {
        StepResult::Passed(String::new())
    } else {
        StepResult::Failed(format!(
            "{} ended with {}:\n{text}",
            process::line(&cargo),
            process::describe(status)
        ))
    })
}

/// What cargo knows of the workspace and all that it depends on.
fn metadata() -> Result<Value> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["metadata", "--format-version", "1", "--locked"]).current_dir(workspace::root());
    serde_json::from_str(&process::capture(&mut cargo)?).context("reading cargo's metadata")
}

/// No files import each other, and crates and folders import as the pages draw them.
fn layers() -> Result<StepResult> {
    let root = workspace::root();
    let mut pictures = BTreeMap::new();
    for page in layers::PAGES {
        let text =
            fs::read_to_string(root.join(page)).with_context(|| format!("reading {page}"))?;
        pictures.extend(layers::pictures(&text));
    }
    let metadata = metadata()?;
    let (crates, between) = layers::crates(&metadata)?;

    let mut wrong =
        layers::compare("crates", pictures.remove("crates").as_ref(), &crates, &between);
    let fuzz_targets =
        tracked(&["fuzz/fuzz_targets/*.rs"])?.into_iter().map(|file| root.join(file));
    let mut arrows = imports::Arrows::new();
    for top in layers::targets(&metadata).into_iter().map(Into::into).chain(fuzz_targets) {
        for ((from, to), names) in imports::arrows(&top)? {
            let short = |file: &Path| file.strip_prefix(root).unwrap_or(file).to_owned();
            arrows.entry((short(&from), short(&to))).or_default().extend(names);
        }
    }
    wrong.extend(imports::circles(&arrows));
    // Of a folder: what the pictures that are left are of.
    for (folder, picture) in &pictures {
        let (members, between) = layers::folders(Path::new(folder), &arrows);
        wrong.extend(layers::compare(folder, Some(picture), &members, &between));
    }
    let note = format!(
        "{} crates, {} imports between files, {} folders drawn",
        crates.len(),
        arrows.len(),
        pictures.len()
    );
    Ok(step_result(&wrong, note))
}

/// No two types of the product have one name.
fn type_names() -> Result<StepResult> {
    let root = workspace::root();
    let mut files = BTreeSet::new();
    for top in layers::targets(&metadata()?).iter().map(Path::new) {
        if type_names::is_product(top.strip_prefix(root).unwrap_or(top)) {
            files.extend(imports::files(top)?);
        }
    }
    let read = |file: &PathBuf| {
        let text =
            fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        Ok((file.strip_prefix(root).unwrap_or(file).display().to_string(), text))
    };
    let sources = files.iter().map(read).collect::<Result<Vec<_>>>()?;
    let (wrong, types) = type_names::wrong(&sources, type_names::EXCEPTIONS)?;
    Ok(step_result(&wrong, format!("{types} names of types, {} files", sources.len())))
}

/// Each dependency's version stands once, in the workspace's own manifest.
fn manifests() -> Result<StepResult> {
    let own = tracked(&["*/Cargo.toml"])?;
    let own: Vec<_> = own.iter().filter(|file| !file.starts_with("fuzz/")).collect();
    let mut wrong = Vec::new();
    for file in &own {
        let text = fs::read_to_string(workspace::root().join(file))
            .with_context(|| format!("reading {file}"))?;
        let mut lists = false;
        for (number, line) in text.lines().enumerate() {
            if line.starts_with('[') {
                lists = line.ends_with("dependencies]");
            } else if lists && line.contains('=') && !line.contains("workspace = true") {
                wrong.push(format!(
                    "{file}:{}: not from [workspace.dependencies]: {line}",
                    number + 1
                ));
            }
        }
    }
    Ok(step_result(&wrong, format!("{} manifests", own.len())))
}

/// The commits that are not on `main` yet have subjects as CONTRIBUTING.md asks.
fn commit_subjects() -> Result<StepResult> {
    let git = |words: &[&str]| {
        process::capture(Command::new("git").args(words).current_dir(workspace::root()))
    };
    let known = |base: &&&str| {
        git(&["rev-parse", "--verify", "--quiet", &format!("{base}^{{commit}}")]).is_ok()
    };
    let mut log = None;
    // On `main` itself, what is new is new against where the clone came from.
    for base in subjects::BASES.iter().filter(known) {
        let new = git(&["log", "--no-merges", "--format=%h %s", &format!("{base}..HEAD")])?;
        if log.get_or_insert(new.clone()).is_empty() {
            log = Some(new);
        }
    }
    Ok(match log {
        Some(log) => {
            step_result(&subjects::wrong(&log), format!("{} new commits", log.lines().count()))
        }
        None => StepResult::Skipped("this clone has no main branch to compare with".to_owned()),
    })
}

/// Our crates carry the licence their place asks for, the module's C files say theirs, and no
/// dependency has one we cannot ship.
fn licences() -> Result<StepResult> {
    let metadata = metadata()?;
    let packages = metadata
        .get("packages")
        .and_then(Value::as_array)
        .context("cargo's metadata names no packages")?;
    let mut wrong = Vec::new();
    for package in packages {
        let text = |field: &str| package.get(field).and_then(Value::as_str);
        let name = text("name").unwrap_or_default();
        let licence = text("license").unwrap_or_default();
        let fits = match (text("source"), name) {
            (Some(_), _) => is_allowed(licence),
            // Linked into the kernel.
            (None, "ashmem-module") => licence == "GPL-2.0",
            // Linked into the kernel and into everything else.
            (None, "ashmem-core") => {
                let mut all: Vec<_> = licence.split(" OR ").collect();
                all.sort_unstable();
                all == ["Apache-2.0", "GPL-2.0", "MIT"]
            }
            (None, _) => licence == "MIT OR Apache-2.0",
        };
        if !fits {
            wrong.push(format!("{name}: licence {licence:?} does not fit its place"));
        }
    }
    let sources = tracked(&["module/*.c", "module/*.h"])?;
    for file in &sources {
        let text = fs::read_to_string(workspace::root().join(file))
            .with_context(|| format!("reading {file}"))?;
        if !text.lines().next().unwrap_or_default().contains("SPDX-License-Identifier: GPL-2.0") {
            wrong.push(format!("{file}: the first line is no `SPDX-License-Identifier: GPL-2.0`"));
        }
    }
    Ok(step_result(&wrong, format!("{} packages, {} C files", packages.len(), sources.len())))
}

fn is_allowed(licence: &str) -> bool {
    spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX).is_ok_and(|terms| {
        terms.evaluate(|term| term.license.id().is_some_and(|id| ALLOWED.contains(&id.name)))
    })
}

/// No tracked file holds words of unfinished work, or names a place outside this repository.
fn wording() -> Result<StepResult> {
    // Each in two halves, so that this list is not its own finding.
    let unfinished = [
        ["TO", "DO"],
        ["FIX", "ME"],
        ["XX", "X"],
        ["HA", "CK"],
        ["to", "do!"],
        ["unimple", "mented!"],
        ["db", "g!("],
    ];
    let outside = [["../sha", "red"], ["/work/", "main"], ["/work/", "shared"]];
    let (unfinished, outside) =
        (unfinished.map(|word| word.concat()), outside.map(|word| word.concat()));
    let files = tracked(&[])?;
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| !is_foreign_text(file)) {
        let Ok(text) = fs::read_to_string(workspace::root().join(file)) else { continue };
        for (number, line) in text.lines().enumerate() {
            let words =
                line.split(|letter: char| !letter.is_alphanumeric() && !"!(_".contains(letter));
            let found = words.into_iter().find(|word| {
                unfinished
                    .iter()
                    .any(|bad| word == bad || bad.contains('!') && word.starts_with(bad.as_str()))
            });
            let found = found
                .or_else(|| outside.iter().map(String::as_str).find(|place| line.contains(place)));
            if let Some(word) = found {
                wrong.push(format!("{file}:{}: {word:?}: {}", number + 1, line.trim()));
            }
        }
    }
    Ok(step_result(&wrong, format!("{} files", files.len())))
}

/// Each line of docs/security.md names a test that there is.
fn threats() -> Result<StepResult> {
    let page = fs::read_to_string(workspace::root().join("docs/security.md"))
        .context("reading docs/security.md")?;
    let sources = sources()?;
    let (mut lines, mut names, mut wrong) = (0, 0, Vec::new());
    for line in
        page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Threat |"))
    {
        lines += 1;
        let tests = line.trim_end_matches('|').rsplit(" | ").next().unwrap_or_default();
        // What stands between backquotes.
        let mut quoted = tests.split('`').skip(1).step_by(2).peekable();
        if quoted.peek().is_none() {
            wrong.push(format!("names no test: {line}"));
        }
        for name in quoted {
            names += 1;
            if !is_test(name, &sources) {
                wrong.push(format!("{name} is no test: {line}"));
            }
        }
    }
    if lines == 0 {
        wrong.push("docs/security.md has no table of threats".to_owned());
    }
    Ok(step_result(&wrong, format!("{lines} threats, {names} tests")))
}

/// Whether this names a test of these sources: a function by its path, a module of tests, a case or
/// a group of cases of the suite, a fuzz target, a trial of the module among hostile neighbours, a
/// step, or a word in one of the programs of a step.
fn is_test(name: &str, sources: &[(String, String)]) -> bool {
    let any =
        |holds: &dyn Fn(&str, &str) -> bool| sources.iter().any(|(file, text)| holds(file, text));
    let function = name.rsplit("::").next().unwrap_or(name);
    // `module::tests::function` lies in module.rs; a bare function anywhere.
    let lies_in = |file: &str| match name.split_once("::tests") {
        Some((module, _)) => file.ends_with(&format!("/src/{}.rs", module.replace("::", "/"))),
        None => true,
    };
    let is_function = any(&|file, text| {
        let place = text.find(&format!("fn {function}("));
        lies_in(file) && place.is_some_and(|at| text[..at].trim_end().ends_with("#[test]"))
    });
    // What a macro makes a test of: `name: "a client's verb"`.
    let is_made = any(&|file, text| {
        file.contains("/tests/") && text.contains(&format!("    {function}: \""))
    });
    let is_module = name.ends_with("::tests")
        && any(&|file, text| lies_in(file) && text.contains("mod tests {"));
    let case =
        name.strip_suffix('*').map_or_else(|| format!("\"{name}\""), |group| format!("\"{group}"));
    let is_case =
        any(&|file, text| file.contains("conformance/src/cases/") && text.contains(&case));
    let is_target = any(&|file, _| file.ends_with(&format!("fuzz_targets/{name}.rs")));
    let is_trial = any(&|file, text| {
        file.contains("tests/module/src/") && text.contains(&format!("name: \"{name}\""))
    });
    let step = name.trim_end_matches(" …");
    // Not in this file, which names some to try them out.
    let is_step = any(&|file, text| {
        file.starts_with("xtask/src/") && file != "xtask/src/check.rs" && text.contains(step)
    });
    is_function || is_made || is_module || is_case || is_target || is_trial || is_step
}

/// Texts that are kept word for word as others wrote them, or by a tool.
fn is_foreign_text(file: &str) -> bool {
    file.contains("LICENSE") || file == "Cargo.lock"
}

fn step_result(wrong: &[String], note: String) -> StepResult {
    if wrong.is_empty() { StepResult::Passed(note) } else { StepResult::Failed(wrong.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::{ALLOWED, is_allowed, is_test};

    #[test]
    fn a_test_is_known_by_its_place_and_nothing_else_passes_for_one() {
        let sources = [
            (
                "crates/agent/src/oci.rs",
                "mod tests {\n    #[test]\n    fn it_holds() {}\n    fn helper() {}\n}",
            ),
            ("tests/conformance/src/cases/security.rs", "Case::new(\"security.race\", …)"),
            ("fuzz/fuzz_targets/lxc.rs", ""),
            ("tests/module/src/neighbours/mod.rs", "Trial {\n        name: \"move-pages\",\n"),
            ("xtask/src/integration/containers/mod.rs", "Step::new(\"LXC containers\", …)"),
        ]
        .map(|(file, text)| (file.to_owned(), text.to_owned()));
        for name in [
            "it_holds",
            "oci::tests::it_holds",
            "oci::tests",
            "security.race",
            "security.*",
            "lxc",
            "move-pages",
            "LXC containers",
            "LXC …",
        ] {
            assert!(is_test(name, &sources), "{name}");
        }
        for name in [
            "helper",
            "move-page",
            "lxc::tests::it_holds",
            "lxc::tests",
            "security.rac",
            "pins.*",
            "runc containers",
        ] {
            assert!(!is_test(name, &sources), "{name}");
        }
    }

    #[test]
    fn deny_toml_allows_the_same_licences() {
        let file = super::workspace::root().join("deny.toml");
        let text = std::fs::read_to_string(file).expect("deny.toml");
        let (_, list) = text.split_once("\nallow = [").expect("its list of licences");
        let (list, _) = list.split_once(']').expect("the list's end");
        assert_eq!(list.split('"').skip(1).step_by(2).collect::<Vec<_>>(), ALLOWED);
    }

    #[test]
    fn one_allowed_alternative_is_enough_and_every_part_is_needed() {
        assert!(is_allowed("MIT OR GPL-3.0-only"));
        assert!(is_allowed("MIT/Apache-2.0"));
        assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(is_allowed("Apache-2.0 WITH LLVM-exception OR MIT"));
        assert!(!is_allowed("MIT AND GPL-3.0-only"));
        assert!(!is_allowed("GPL-2.0"));
        assert!(!is_allowed(""));
    }
}
