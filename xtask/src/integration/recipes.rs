// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands of a page of docs/, run as they stand there and compared with what the page says
//! they print.

use crate::build::static_program;
use crate::debian::kernel::Line;
use crate::machine::{self, Options, VmRequest};
use crate::util::steps::{Step, StepResult};
use crate::util::{process, tools, workspace};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The tools that the page compares with, and what its example runs on.
const TOOLS: [&str; 6] = ["bpftrace", "dash", "perf", "python3", "strace", "trace-cmd"];
/// What they read beside their libraries.
const PACKAGES: [&str; 2] = ["libpython3.11-minimal", "libpython3.11-stdlib"];

/// What stands before a box's output, and before its status, in what the machine prints.
const BOX: &str = "\u{1e}box";
const END: &str = "\u{1e}end ";

/// Where a box is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On a machine without the module: `sh`.
    Here,
    /// On one with it: `sh module`.
    Module,
    /// On both: `sh both`.
    Both,
}

impl Place {
    fn is(self, place: Self) -> bool {
        self == place || self == Self::Both
    }
}

/// A box of commands, and what it prints where the page says.
struct Recipe {
    place: Place,
    commands: String,
    printed: Vec<String>,
}

/// docs/tracing.md on this machine, which has no module.
pub(crate) fn tracing() -> Step {
    Step::new("docs/tracing.md, command by command", || {
        if !rustix::process::getuid().is_root() {
            return Ok(StepResult::Skipped(
                "its purge and the kernel's events are root's".to_owned(),
            ));
        }
        let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
        let programs = ashmem.parent().context("a program lies in a folder")?.display().to_string();
        let folder = std::env::temp_dir().join(format!("ashmem-recipes-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let recipes = page(Place::Here)?;
        let mut failed = String::new();
        for recipe in &recipes {
            let mut shell = Command::new("sh");
            shell.args(["-eu", "-c", &recipe.commands]).current_dir(&folder);
            shell.env("PATH", format!("{programs}:/usr/sbin:/usr/bin:/sbin:/bin"));
            let (output, status) = process::capture_both(&mut shell)?;
            let status = (!status.success()).then(|| process::describe(status));
            failed.extend(complaint(recipe, &output, status));
        }
        let _ = fs::remove_dir_all(&folder);
        Ok(step_result(recipes.len(), failed))
    })
}

/// docs/tracing.md in a machine with the module, with the tools it compares with.
pub(crate) fn tracing_on_module() -> Step {
    Step::new("docs/tracing.md on the module, beside strace, trace-cmd, perf and bpftrace", || {
        let recipes = page(Place::Module)?;
        let script = workspace::cache("recipes")?.join(format!("{}.sh", std::process::id()));
        fs::write(&script, script_of(&recipes))
            .with_context(|| format!("writing {}", script.display()))?;
        let outcome = in_machine(&script);
        let _ = fs::remove_file(&script);
        let (text, failure) = outcome?;
        let mut failed = String::new();
        for (recipe, output) in recipes.iter().zip(text.split(BOX).skip(1)) {
            let (output, status) = output.split_once(END).unwrap_or((output, "the machine's end"));
            let status = (status.trim() != "0").then(|| format!("status {}", status.trim()));
            failed.extend(complaint(recipe, output, status));
        }
        let ended = text.matches(END).count();
        if let Some(failure) =
            failure.or_else(|| (ended != recipes.len()).then(|| format!("{ended} boxes ended")))
        {
            failed.push_str(&format!("{failure}\n{text}"));
        }
        Ok(step_result(recipes.len(), failed))
    })
}

/// Runs the script in a machine; what it printed, and what went wrong with the machine.
fn in_machine(script: &std::path::Path) -> Result<(String, Option<String>)> {
    let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
    let mut file =
        vec![format!("{}:/bin/ashmem", ashmem.display()), format!("{}:/recipes", script.display())];
    file.push("/usr/bin/dash:/bin/sh".to_owned());
    file.extend(tools::programs(&TOOLS)?);
    file.extend(tools::packages(&PACKAGES)?);
    let options = Options { smp: 2, memory: 1536, file, ..Options::default() };
    let program = PathBuf::from("/bin/busybox");
    let arguments = vec!["sh".to_owned(), "/recipes".to_owned()];
    let outcome = machine::run(&VmRequest {
        kernel: Line::V6_1.into(),
        options,
        program,
        arguments,
        live: false,
    })?;
    let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let failure = (!outcome.status.is_success())
        .then(|| format!("{}\n{}", outcome.status, String::from_utf8_lossy(&outcome.stderr)));
    Ok((text, failure))
}

/// All boxes as one script, each in a shell of its own.
fn script_of(recipes: &[Recipe]) -> String {
    let mut script = "/bin/busybox --install -s /bin\ncd /root\n".to_owned();
    for recipe in recipes {
        let quoted = recipe.commands.replace('\'', r"'\''");
        script.push_str(&format!(
            "printf '{BOX}'\nsh -eu -c '{quoted}' 2>&1\nprintf '{END}%d\\n' $?\n"
        ));
    }
    script
}

fn step_result(boxes: usize, failed: String) -> StepResult {
    if failed.is_empty() && boxes != 0 {
        StepResult::Passed(format!("{boxes} boxes"))
    } else {
        StepResult::Failed(failed)
    }
}

/// What a box did that the page does not say.
fn complaint(recipe: &Recipe, output: &str, status: Option<String>) -> Option<String> {
    let missing = missing(output, &recipe.printed).map(|line| format!("no line `{line}`"));
    let why = missing.or(status)?;
    Some(format!("{}\n{why} in:\n{output}\n", recipe.commands.trim_end()))
}

/// The page's boxes for one place.
fn page(place: Place) -> Result<Vec<Recipe>> {
    let page = workspace::root().join("docs/tracing.md");
    let text = fs::read_to_string(&page).with_context(|| format!("reading {}", page.display()))?;
    let mut recipes = recipes(&text)?;
    recipes.retain(|recipe| recipe.place.is(place));
    Ok(recipes)
}

/// The boxes marked `sh`, each with the box marked `text` that follows it.
fn recipes(text: &str) -> Result<Vec<Recipe>> {
    let mut found: Vec<Recipe> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else { continue };
        let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match (kind, found.last_mut()) {
            ("text", Some(recipe)) => {
                recipe.printed = inside.into_iter().map(str::to_owned).collect()
            }
            (kind, _) => {
                let place = match kind.strip_prefix("sh").map(str::trim_start) {
                    None => continue,
                    Some("") => Place::Here,
                    Some("module") => Place::Module,
                    Some("both") => Place::Both,
                    Some(other) => bail!("a box is marked `sh {other}`, which is no place"),
                };
                found.push(Recipe {
                    place,
                    commands: inside.join("\n") + "\n",
                    printed: Vec::new(),
                });
            }
        }
    }
    Ok(found)
}

/// The first line that was not printed, in this order, others between them.
fn missing<'a>(output: &str, wanted: &'a [String]) -> Option<&'a str> {
    let mut printed = output.lines();
    wanted.iter().find(|wanted| !printed.any(|line| is_like(line, wanted))).map(String::as_str)
}

/// Whether a line is what the page shows, where `…` stands for anything.
fn is_like(line: &str, shown: &str) -> bool {
    let mut pieces = shown.split('…');
    let Some(mut rest) = pieces.next().and_then(|first| line.strip_prefix(first)) else {
        return false;
    };
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
    use super::{Place, is_like, missing, recipes};

    #[test]
    fn boxes_are_commands_and_what_they_print() {
        let page =
            "a\n```sh\nls\n```\nb\n```text\nx\n```\n```rust\nno\n```\n```sh module\ntrue\n```\n";
        let found = recipes(page).expect("a page");
        assert!(found[0].place.is(Place::Here) && !found[0].place.is(Place::Module));
        assert!(found[1].place == Place::Module && Place::Both.is(Place::Module));
        assert!(recipes("```sh mdoule\n```\n").is_err());
        let found: Vec<_> =
            found.iter().map(|recipe| (recipe.commands.as_str(), recipe.printed.len())).collect();
        assert_eq!(found, [("ls\n", 1), ("true\n", 0)]);
    }

    #[test]
    fn lines_may_differ_where_the_page_says_so() {
        assert!(is_like(
            "08:31  python3 12  #1  open = 0  <3 µs>",
            "…  python3 …  #1  open = 0  <…>"
        ));
        assert!(!is_like(
            "08:31  python3 12  #1  open = 1  <3 µs>",
            "…  python3 …  #1  open = 0  <…>"
        ));
        assert!(is_like("a", "a") && !is_like("ab", "a") && !is_like("a", "b…"));
        let wanted = ["b".to_owned(), "a".to_owned()];
        assert_eq!(missing("a\nb\n", &wanted), Some("a"));
        assert_eq!(missing("b\nx\na\n", &wanted), None);
    }
}
