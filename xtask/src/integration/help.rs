// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the program writes about itself, given to those who read it: each manual page to mandoc,
//! each completion to its shell.

use crate::build::static_program;
use crate::util::process;
use crate::util::steps::{Step, StepResult};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// One step for all of them.
pub(crate) fn step() -> Step {
    Step::new("manual pages and completions", || {
        let folder = std::env::temp_dir().join(format!("ashmem-help-{}", std::process::id()));
        let result = look(&folder).map(StepResult::Passed);
        let _ = fs::remove_dir_all(&folder);
        result
    })
}

fn look(folder: &Path) -> Result<String> {
    let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
    process::capture(Command::new(&ashmem).arg("man").arg(folder))?;
    let entries = fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    let pages: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    ensure!(!pages.is_empty(), "`ashmem man` wrote no page");
    quiet(Command::new("mandoc").args(["-Tlint", "-Wwarning"]).args(&pages))?;
    for shell in SHELLS {
        let script = folder.join(shell);
        fs::write(&script, process::capture(Command::new(&ashmem).args(["completions", shell]))?)
            .with_context(|| format!("writing {}", script.display()))?;
        quiet(Command::new(shell).arg("-n").arg(&script))?;
        offers(shell, &script, "w", "waydroid")?;
        offers(shell, &script, "run --fidelity fast mkdi", "mkdir")?;
        offers(shell, &script, "list --le", "--leaks")?;
    }
    Ok(format!("{} pages, {}", pages.len(), SHELLS.join(", ")))
}

/// That a shell can read a script says little of what it offers: fish tells what it would, bash is
/// asked as it asks itself.
fn offers(shell: &str, script: &Path, written: &str, offer: &str) -> Result<()> {
    let script = script.display();
    let question = match shell {
        "fish" => format!("source {script}; complete -C 'ashmem {written}'"),
        "bash" => format!(
            "source {script}; COMP_WORDS=(ashmem {written}); \
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _ashmem_or_program ashmem \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; printf \
             '%s\\n' \"${{COMPREPLY[@]}}\""
        ),
        // zsh completes at a terminal alone.
        _ => return Ok(()),
    };
    let said = process::capture(Command::new(shell).args(["-c", &question]))?;
    ensure!(
        said.lines().any(|line| line.starts_with(offer)),
        "{shell} offers this for `ashmem {written}`: {said}"
    );
    Ok(())
}

/// A checker that finds nothing says nothing.
fn quiet(command: &mut Command) -> Result<()> {
    let (said, status) = process::capture_both(command)?;
    ensure!(
        status.success() && said.trim().is_empty(),
        "{} ended with {}:\n{said}",
        process::line(command),
        process::describe(status)
    );
    Ok(())
}
