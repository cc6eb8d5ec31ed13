// SPDX-License-Identifier: MIT OR Apache-2.0
//! The links of Markdown files, and whether each leads somewhere.
//!
//! A relative link names a tracked file or folder of this repository; `#heading` a heading of the
//! page. `file.rs#L12` names a line of a source file, and the link's text, in backquotes, an item
//! that is defined on that line.

use crate::util::workspace;
use anyhow::{Context, Result};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

/// A Markdown file.
pub(crate) struct Page {
    /// Its path in the repository.
    pub(crate) file: String,
    text: String,
    links: Vec<Link>,
    /// What `#` may name.
    anchors: BTreeSet<String>,
}

/// A link or an image.
#[derive(Debug)]
struct Link {
    /// Where it leads, as it is written.
    to: String,
    /// What a reader sees.
    text: String,
    /// Its bytes in the page.
    place: Range<usize>,
}

/// Every tracked Markdown file.
pub(crate) fn pages() -> Result<Vec<Page>> {
    let read = |file: String| {
        let text = fs::read_to_string(workspace::root().join(&file))
            .with_context(|| format!("reading {file}"))?;
        Ok(Page::new(file, text))
    };
    workspace::tracked(&["*.md"])?.into_iter().map(read).collect()
}

/// The links that lead nowhere, a line each, and the pages of docs/ that the book's table of
/// contents leaves out.
pub(crate) fn wrong(pages: &[Page]) -> Result<Vec<String>> {
    let mut files: BTreeSet<String> = workspace::tracked(&[])?.into_iter().collect();
    let folders = files.iter().flat_map(|file| Path::new(file).ancestors().skip(1));
    files.append(&mut folders.map(|folder| folder.to_string_lossy().into_owned()).collect());
    let anchors: BTreeMap<&str, &BTreeSet<String>> =
        pages.iter().map(|page| (page.file.as_str(), &page.anchors)).collect();
    let source = |file: &str| fs::read_to_string(workspace::root().join(file)).unwrap_or_default();
    let mut wrong = Vec::new();
    for page in pages {
        for link in &page.links {
            if let Some(why) = page.fault(link, &files, &anchors, &source) {
                wrong.push(format!("{}:{}: {}: {why}", page.file, page.line(link), link.to));
            }
        }
    }
    wrong.extend(left_out(pages));
    Ok(wrong)
}

/// The pages of docs/ that stand in no line of docs/SUMMARY.md.
fn left_out(pages: &[Page]) -> Vec<String> {
    const CONTENTS: &str = "docs/SUMMARY.md";
    let Some(contents) = pages.iter().find(|page| page.file == CONTENTS) else {
        return vec![format!("{CONTENTS}: the book has no table of contents")];
    };
    let named: BTreeSet<String> =
        contents.links.iter().map(|link| format!("docs/{}", link.to)).collect();
    let of_book = pages
        .iter()
        .map(|page| &page.file)
        .filter(|file| file.starts_with("docs/") && *file != CONTENTS);
    of_book
        .filter(|file| !named.contains(*file))
        .map(|file| format!("{CONTENTS}: the book leaves out {file}"))
        .collect()
}

impl Page {
    fn new(file: String, text: String) -> Self {
        let (mut links, mut anchors) = (Vec::new(), BTreeSet::new());
        let mut heading: Option<String> = None;
        let mut open: Vec<usize> = Vec::new();
        for (event, place) in Parser::new_ext(&text, Options::ENABLE_TABLES).into_offset_iter() {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let slug = slug(&heading.take().unwrap_or_default());
                    // A heading that comes again is numbered.
                    let numbered = (1..).map(|number| format!("{slug}-{number}"));
                    let name = std::iter::once(slug.clone())
                        .chain(numbered)
                        .find(|name| !anchors.contains(name));
                    anchors.extend(name);
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    open.push(links.len());
                    links.push(Link { to: dest_url.into_string(), text: String::new(), place });
                }
                Event::End(TagEnd::Link | TagEnd::Image) => drop(open.pop()),
                Event::Text(text) | Event::Code(text) => {
                    open.iter().for_each(|link| links[*link].text.push_str(&text));
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                _ => {}
            }
        }
        Self { file, text, links, anchors }
    }

    /// The line a link begins on.
    fn line(&self, link: &Link) -> usize {
        self.text[..link.place.start].matches('\n').count() + 1
    }

    /// Why a link leads nowhere, if so.
    fn fault(
        &self,
        link: &Link,
        files: &BTreeSet<String>,
        anchors: &BTreeMap<&str, &BTreeSet<String>>,
        source: &dyn Fn(&str) -> String,
    ) -> Option<String> {
        if is_elsewhere(&link.to) {
            return None;
        }
        let (path, anchor) =
            link.to.split_once('#').map_or((link.to.as_str(), None), |(path, at)| (path, Some(at)));
        let Some(file) =
            (if path.is_empty() { Some(self.file.clone()) } else { self.resolved(path) })
        else {
            return Some("leads out of the repository".to_owned());
        };
        if !files.contains(&file) {
            return Some(format!("there is no {file}"));
        }
        let anchor = anchor?;
        if let Some(known) = anchors.get(file.as_str()) {
            return (!known.contains(anchor)).then(|| format!("{file} has no heading `{anchor}`"));
        }
        let Some(number) = anchor.strip_prefix('L').and_then(|number| number.parse::<usize>().ok())
        else {
            return Some(format!("`#{anchor}` is no line of a file: write #L and its number"));
        };
        let item = link.text.rsplit("::").next().unwrap_or_default();
        let text = source(&file);
        let defined: Vec<usize> = text
            .lines()
            .zip(1..)
            .filter(|(line, _)| defines(line, item))
            .map(|(_, number)| number)
            .collect();
        (!defined.contains(&number))
            .then(|| format!("`{item}` is defined on line {defined:?} of {file}"))
    }

    /// The repository's path that this page's relative path means.
    fn resolved(&self, path: &str) -> Option<String> {
        let mut whole = PathBuf::from(&self.file);
        whole.pop();
        for part in Path::new(path).components() {
            match part {
                Component::ParentDir => whole.pop().then_some(())?,
                Component::Normal(name) => whole.push(name),
                Component::CurDir => {}
                Component::RootDir | Component::Prefix(_) => return None,
            }
        }
        Some(whole.to_string_lossy().into_owned())
    }

    /// The page's text with links that lead out of its folder made to lead to `root`, where the
    /// repository's files are.
    pub(crate) fn with_outside_at(&self, folder: &str, root: &str) -> String {
        let mut text = self.text.clone();
        // From the end, so that places before stay true.
        for link in self
            .links
            .iter()
            .rev()
            .filter(|link| !is_elsewhere(&link.to) && !link.to.starts_with('#'))
        {
            let (path, anchor) = link.to.split_once('#').unwrap_or((&link.to, ""));
            let Some(file) =
                self.resolved(path).filter(|file| !Path::new(file).starts_with(folder))
            else {
                continue;
            };
            let written = &self.text[link.place.clone()];
            let hash = if anchor.is_empty() { "" } else { "#" };
            let to = format!("({root}/{file}{hash}{anchor})");
            text.replace_range(
                link.place.clone(),
                &written.replace(&format!("({})", link.to), &to),
            );
        }
        text
    }
}

/// Whether a link leads out of the repository on purpose.
fn is_elsewhere(to: &str) -> bool {
    ["http://", "https://", "mailto:"].iter().any(|scheme| to.starts_with(scheme))
}

/// A heading's name in a link, as public forges and mdBook make it.
fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter })
        .flat_map(char::to_lowercase)
        .collect()
}

/// Whether a line of Rust or C defines this item: `fn name(`, `struct Name {`, `impl Trait for Name
/// {`.
fn defines(line: &str, item: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let words = line.split(|letter| !is_word(letter)).filter(|word| !word.is_empty());
    let mut before = "";
    for word in words {
        if word == item
            && ["const", "enum", "fn", "for", "mod", "static", "struct", "trait", "type"]
                .contains(&before)
        {
            return true;
        }
        before = word;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{Page, defines, slug};
    use std::collections::{BTreeMap, BTreeSet};

    fn page(file: &str, text: &str) -> Page {
        Page::new(file.to_owned(), text.to_owned())
    }

    fn faults(text: &str) -> Vec<Option<String>> {
        let other = page("docs/other.md", "# Other\n\n## Twice\n\n## Twice\n");
        let page = page("docs/page.md", text);
        let files = ["docs/other.md", "docs/page.md", "README.md", "src/lib.rs", "src"]
            .map(str::to_owned)
            .into();
        let pages: BTreeMap<&str, &BTreeSet<String>> =
            [&other, &page].map(|page| (page.file.as_str(), &page.anchors)).into();
        let source = |_: &str| "/// pin\npub fn pin(\n".to_owned();
        page.links.iter().map(|link| page.fault(link, &files, &pages, &source)).collect()
    }

    #[test]
    fn a_link_leads_to_a_file_a_folder_a_heading_or_a_line_or_is_a_fault() {
        let good = "# A `b`, c\n\
                    [x](other.md) [x](../src) [x](#a-b-c) [x](other.md#twice-1) \
                    [x](https://e.org/a) [`Pins::pin`](../src/lib.rs#L2) ![x](../README.md)\n\
                    \n    [no link](nowhere)\n";
        assert_eq!(faults(good), vec![None::<String>; 7]);
        for (bad, why) in [
            ("[x](none.md)", "there is no docs/none.md"),
            ("[x](../../etc)", "leads out of the repository"),
            ("[x](other.md#three)", "docs/other.md has no heading `three`"),
            ("[`pin`](../src/lib.rs#L1)", "`pin` is defined on line [2] of src/lib.rs"),
            ("[x](../src/lib.rs#pin)", "`#pin` is no line of a file: write #L and its number"),
        ] {
            assert_eq!(faults(bad), [Some(why.to_owned())], "{bad}");
        }
    }

    #[test]
    fn headings_are_named_as_forges_name_them() {
        assert_eq!(slug("20. Rows without a case"), "20-rows-without-a-case");
        assert_eq!(slug("`ashmem doctor`, what?"), "ashmem-doctor-what");
    }

    #[test]
    fn an_item_is_defined_where_its_keyword_stands() {
        assert!(defines("    pub(crate) fn dispatch(&self) {", "dispatch"));
        assert!(defines("impl fmt::Display for Line<'_> {", "Line"));
        assert!(!defines("        self.dispatch(call)", "dispatch"));
    }

    #[test]
    fn a_books_links_to_sources_lead_to_where_the_sources_are() {
        let page = page("docs/a.md", "[in](b.md#x) [out](../src/lib.rs#L1)\n");
        assert_eq!(
            page.with_outside_at("docs", "https://e.org"),
            "[in](b.md#x) [out](https://e.org/src/lib.rs#L1)\n"
        );
    }
}
