//! The commands of a page of docs/, run as they stand there and compared with what the page says they print.

use crate::steps::{Step, Verdict};
use crate::{process, static_program, workspace};
use anyhow::Context;
use std::fs;
use std::process::Command;

/// A box of commands, and what it prints where the page says.
struct Recipe {
    commands: String,
    printed: Vec<String>,
}

/// docs/tracing.md.
pub(crate) fn tracing() -> Step {
    Step::new("docs/tracing.md, command by command", || {
        if !rustix::process::getuid().is_root() {
            return Ok(Verdict::Skipped("its purge and the kernel's events are root's".to_owned()));
        }
        let page = workspace::root().join("docs/tracing.md");
        let text = fs::read_to_string(&page).with_context(|| format!("reading {}", page.display()))?;
        let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
        let programs = ashmem.parent().context("a program lies in a folder")?.display().to_string();
        let folder = std::env::temp_dir().join(format!("ashmem-recipes-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let recipes = recipes(&text);
        let mut failed = String::new();
        for recipe in &recipes {
            let mut shell = Command::new("sh");
            shell.args(["-eu", "-c", &recipe.commands]).current_dir(&folder);
            shell.env("PATH", format!("{programs}:/usr/sbin:/usr/bin:/sbin:/bin"));
            let (output, status) = process::capture_both(&mut shell)?;
            let missing = missing(&output, &recipe.printed);
            if !status.success() || missing.is_some() {
                let why = missing.map_or_else(|| process::describe(status), |line| format!("no line `{line}`"));
                failed.push_str(&format!("{}\n{why} in:\n{output}\n", recipe.commands.trim_end()));
            }
        }
        let _ = fs::remove_dir_all(&folder);
        if failed.is_empty() && !recipes.is_empty() {
            return Ok(Verdict::Passed(format!("{} boxes", recipes.len())));
        }
        Ok(Verdict::Failed(failed))
    })
}

/// The boxes marked `sh`, each with the box marked `text` that follows it.
fn recipes(text: &str) -> Vec<Recipe> {
    let mut found: Vec<Recipe> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match (kind, found.last_mut()) {
            ("sh", _) => found.push(Recipe { commands: inside.join("\n") + "\n", printed: Vec::new() }),
            ("text", Some(recipe)) => recipe.printed = inside.into_iter().map(str::to_owned).collect(),
            _ => {}
        }
    }
    found
}

/// The first line that was not printed, in this order, others between them.
fn missing<'a>(output: &str, wanted: &'a [String]) -> Option<&'a str> {
    let mut printed = output.lines();
    wanted.iter().find(|wanted| !printed.any(|line| is_like(line, wanted))).map(String::as_str)
}

/// Whether a line is what the page shows, where `…` stands for anything.
fn is_like(line: &str, shown: &str) -> bool {
    let mut pieces = shown.split('…');
    let Some(mut rest) = pieces.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let mut last = "";
    for piece in pieces {
        last = piece;
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.is_empty() || line.ends_with(last) && shown.contains('…')
}

#[cfg(test)]
mod tests {
    use super::{is_like, missing, recipes};

    #[test]
    fn boxes_are_commands_and_what_they_print() {
        let found = recipes("a\n```sh\nls\n```\nb\n```text\nx\n```\n```rust\nno\n```\n```sh\ntrue\n```\n");
        let found: Vec<_> = found.iter().map(|recipe| (recipe.commands.as_str(), recipe.printed.len())).collect();
        assert_eq!(found, [("ls\n", 1), ("true\n", 0)]);
    }

    #[test]
    fn lines_may_differ_where_the_page_says_so() {
        assert!(is_like("08:31  python3 12  #1  open = 0  <3 µs>", "…  python3 …  #1  open = 0  <…>"));
        assert!(!is_like("08:31  python3 12  #1  open = 1  <3 µs>", "…  python3 …  #1  open = 0  <…>"));
        assert!(is_like("a", "a") && !is_like("ab", "a") && !is_like("a", "b…"));
        let wanted = ["b".to_owned(), "a".to_owned()];
        assert_eq!(missing("a\nb\n", &wanted), Some("a"));
        assert_eq!(missing("b\nx\na\n", &wanted), None);
    }
}
