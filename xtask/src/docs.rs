// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask docs`: the pages under docs/ as a book, its links checked.

use crate::util::steps::{Step, StepResult};
use crate::util::{links, process, tools, workspace};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The version of mdBook that builds the book.
const MDBOOK: &str = "0.5.4";

/// Build the book of docs/ with mdBook, after checking every link
///
/// Checks the links of every tracked Markdown file, then builds the book into target/ashmem/book.
/// mdBook is installed from crates.io into target/ashmem/tools where it is not there yet: some
/// minutes, once.
#[derive(Debug, Args)]
pub(crate) struct Docs {
    /// Only check the links: needs no mdBook
    #[arg(long)]
    links: bool,
    /// Where the book's links to files outside docs/ lead [default: this checkout]
    #[arg(long, value_name = "URL")]
    sources: Option<String>,
}

impl Docs {
    /// Checks, then builds.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let pages = links::pages()?;
        let wrong = links::wrong(&pages)?;
        if !wrong.is_empty() {
            bail!("{} links lead nowhere:\n{}", wrong.len(), wrong.join("\n"));
        }
        eprintln!("{} pages, every link leads somewhere", pages.len());
        if self.links {
            return Ok(ExitCode::SUCCESS);
        }
        let book = build(&pages, self.sources.as_deref())?;
        println!("{}", book.join("index.html").display());
        Ok(ExitCode::SUCCESS)
    }
}

/// The book, built.
pub(crate) fn step() -> Step {
    Step::new("docs/ as a book", || {
        let pages = links::pages()?;
        let book = build(&pages, None)?;
        let missing: Vec<_> = pages
            .iter()
            .filter_map(|page| page.file.strip_prefix("docs/")?.strip_suffix(".md"))
            .filter(|page| *page != "SUMMARY" && !book.join(format!("{page}.html")).is_file())
            .collect();
        Ok(if missing.is_empty() {
            StepResult::Passed(format!("{} pages", pages.len()))
        } else {
            StepResult::Failed(format!("the book lacks {missing:?}"))
        })
    })
}

/// The book's folder.
fn build(pages: &[links::Page], sources: Option<&str>) -> Result<PathBuf> {
    let mdbook = tools::from_crates_io(
        "mdbook",
        MDBOOK,
        &["--no-default-features", "--features", "search"],
    )?;
    let (source, book) = (workspace::cache("book-source")?, workspace::cache("book")?);
    // What an earlier run left is not to be part of this book.
    fs::remove_dir_all(&source).with_context(|| format!("emptying {}", source.display()))?;
    let checkout = format!("file://{}", workspace::root().display());
    let sources = sources.unwrap_or(&checkout).trim_end_matches('/');
    for file in workspace::tracked(&["docs"])? {
        let to = source.join(Path::new(&file).strip_prefix("docs")?);
        let folder = to.parent().context("a file has a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        match pages.iter().find(|page| page.file == file) {
            Some(page) => fs::write(&to, page.with_outside_at("docs", sources)),
            None => fs::copy(workspace::root().join(&file), &to).map(drop),
        }
        .with_context(|| format!("writing {}", to.display()))?;
    }
    process::show(Command::new(mdbook).arg("build").arg("--dest-dir").arg(&book).arg(&source))?;
    Ok(book)
}
