// SPDX-License-Identifier: MIT OR Apache-2.0
//! The suite on one provider, or one random sequence on two.

use crate::build::static_program;
use crate::debian::kernel::{Line, Platform};
use crate::machine::{self, Options, Provider, VmOutcome, VmRequest};
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::thread;

/// How many operations a random sequence has.
pub(crate) const OPERATIONS: u64 = 20_000;

/// How `ashmem run` is told to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// as it does by itself
    Full,
    /// `--fidelity fast`
    Fast,
    /// `--namespace never`
    Bare,
    /// `--inside at-once`: calls answered inside the program, from the first on
    Inside,
    /// `--inside never`: every call notified
    Notified,
}

impl Level {
    /// The words for `ashmem run`.
    pub(crate) fn words(self) -> &'static [&'static str] {
        match self {
            Self::Full => &[],
            Self::Fast => &["--fidelity", "fast"],
            Self::Bare => &["--namespace", "never"],
            Self::Inside => &["--inside", "at-once"],
            Self::Notified => &["--inside", "never"],
        }
    }

    /// The suite's name for who answers then.
    fn provider(self) -> &'static str {
        match self {
            Self::Full | Self::Inside | Self::Notified => "run",
            Self::Fast => "run-fast",
            Self::Bare => "run-bare",
        }
    }

    /// `ashmem run` of the suite.
    fn command(self, ashmem: &Path, suite: &Path) -> Command {
        let mut command = Command::new(ashmem);
        command.arg("run").args(self.words()).arg("--").arg(suite);
        command.args(["--provider", self.provider()]);
        command
    }
}

/// Runs the suite in a machine.
pub(crate) fn in_machine(
    provider: Provider,
    kernel: impl Into<Platform>,
    arguments: &[String],
    live: bool,
) -> Result<VmOutcome> {
    let kernel = kernel.into();
    /// Seconds for a case on a stock kernel: it bounds one that hangs, and must not end one whose
    /// machine the host keeps waiting.
    const LIMIT: u32 = 120;
    let limit = LIMIT * kernel.patience();
    let mut all = vec![
        "--provider".to_owned(),
        provider.to_string(),
        "--limit".to_owned(),
        limit.to_string(),
    ];
    all.extend_from_slice(arguments);
    let options = Options { provider, smp: 2, timeout: 1800, ..Options::default() };
    machine::run(&VmRequest { kernel, options, program: suite(kernel.arch)?, arguments: all, live })
}

/// Runs the suite in a machine under `ashmem run`, where memory may be filled and binder is.
pub(crate) fn under_run_in_machine(
    level: Level,
    kernel: impl Into<Platform>,
    arguments: &[String],
    live: bool,
) -> Result<VmOutcome> {
    let kernel = kernel.into();
    /// Seconds for a case: each notification is two switches between processes, and those are what
    /// emulation is slowest at.
    const LIMIT: u32 = 600;
    let limit = (LIMIT * kernel.patience()).to_string();
    let program = static_program::build_for(kernel.arch, "ashmem-cli", "ashmem")?;
    // Herds of pages fit into it, and the supervisor beside them that alone frees their memory.
    let memory = Options::default().memory * if kernel.line.has_large_pages() { 4 } else { 1 };
    let options = Options {
        provider: Provider::None,
        smp: 2,
        memory,
        timeout: 2400,
        file: vec![format!("{}:/bin/suite", suite(kernel.arch)?.display())],
        ..Options::default()
    };
    let mut all = vec!["run"];
    all.extend(level.words());
    all.extend(["--", "/bin/suite", "--limit", &limit, "--provider", level.provider()]);
    let arguments = all.into_iter().map(str::to_owned).chain(arguments.iter().cloned()).collect();
    machine::run(&VmRequest { kernel, options, program, arguments, live })
}

/// What two providers made of one sequence.
pub(crate) enum Comparison {
    /// The same, to the byte.
    Same { lines: usize },
    /// Not the same; the first difference with what led to it.
    Different(String),
}

/// Plays one random sequence on the reference and on the module, both on the architecture's kernel
/// 5.10.
pub(crate) fn differential(arch: Arch, seed: u64, operations: u64) -> Result<Comparison> {
    let arguments = [
        "--differential".to_owned(),
        seed.to_string(),
        "--operations".to_owned(),
        operations.to_string(),
    ];
    let play = |provider| -> Result<Vec<u8>> {
        let kernel = Platform { arch, line: Line::V5_10 };
        let outcome = in_machine(provider, kernel, &arguments, false)?;
        if !outcome.status.is_success() {
            let said = process::tail(&outcome.stderr);
            bail!("the sequence of seed {seed} on {provider}: {}\nit said: {said}", outcome.status);
        }
        if outcome.stdout.is_empty() {
            bail!("the sequence of seed {seed} on {provider} left no transcript");
        }
        Ok(outcome.stdout)
    };
    let (reference, module) = thread::scope(|scope| {
        let reference = scope.spawn(|| play(Provider::Reference));
        let module = play(Provider::Module);
        (reference.join(), module)
    });
    let Ok(reference) = reference else { bail!("the thread that ran the reference died") };
    Ok(transcripts(["reference", "module"], &reference?, &module?))
}

/// Plays one random sequence under `ashmem run` twice on this host: answered inside the program,
/// and each call notified.
pub(crate) fn inside_against_notified(seed: u64, operations: u64) -> Result<Comparison> {
    let play = |level| -> Result<Vec<u8>> {
        let mut command = command(level)?;
        command.args(["--differential", &seed.to_string()]);
        command.args(["--operations", &operations.to_string()]);
        let output = process::capture(&mut command)?;
        Ok(output.lines().filter(|line| is_shown_by_both(line)).flat_map(without_path).collect())
    };
    let (inside, notified) = thread::scope(|scope| {
        let inside = scope.spawn(|| play(Level::Inside));
        let notified = play(Level::Notified);
        (inside.join(), notified)
    });
    let Ok(inside) = inside else { bail!("the thread that played it inside died") };
    Ok(transcripts(["inside", "notified"], &inside?, &notified?))
}

/// A line, without the name that maps shows: one that was set while several descriptors were open
/// may be shown or not (docs/module-less.md). GET_NAME answers it in both.
fn without_path(line: &str) -> impl Iterator<Item = u8> {
    const PATH: &str = "/memfd:dev/ashmem";
    let operation = line.split_whitespace().nth(2);
    let end = line.find(PATH).filter(|_| operation == Some("Line"));
    line[..end.map_or(line.len(), |at| at + PATH.len())].bytes().chain(*b"\n")
}

/// Whether both ways promise the same of a line's operation. What is read, sought and written by a
/// program's own calls before the first mapping is the memfd's, which has one size inside and
/// another notified (docs/module-less.md).
fn is_shown_by_both(line: &str) -> bool {
    let operation = line.split_whitespace().nth(2).unwrap_or_default();
    !["Read", "Pread", "Seek", "Write"].contains(&operation)
}

fn transcripts(names: [&str; 2], reference: &[u8], module: &[u8]) -> Comparison {
    const CONTEXT: usize = 12;
    if reference == module {
        return Comparison::Same {
            lines: reference.split(|byte| *byte == b'\n').count().saturating_sub(1),
        };
    }
    // An end of line is part of the line: a transcript without its last one differs.
    let lines = |text: &[u8]| -> Vec<String> {
        text.split_inclusive(|byte| *byte == b'\n')
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect()
    };
    let (reference, module) = (lines(reference), lines(module));
    let first = reference.iter().zip(&module).take_while(|(left, right)| left == right).count();
    let before = reference.get(first.saturating_sub(CONTEXT)..first).unwrap_or_default();
    let line = |lines: &[String]| match lines.get(first) {
        Some(line) => line.trim_end().to_owned(),
        None => "(its transcript ends here)".to_owned(),
    };
    let before: String = before.iter().map(|line| format!("            {line}")).collect();
    Comparison::Different(format!(
        "the transcripts differ from line {} on:\n{before}  {:9} {}\n  {:9} {}",
        first + 1,
        names[0],
        line(&reference),
        names[1],
        line(&module)
    ))
}

/// `ashmem run` of the suite on this host.
pub(crate) fn command(level: Level) -> Result<Command> {
    Ok(level.command(&static_program::build_named("ashmem-cli", "ashmem")?, &suite(Arch::X86_64)?))
}

/// Runs the suite on this host under `ashmem run`, as another user if wanted. Answers what was
/// printed and how it ended.
pub(crate) fn under_run(level: Level, user: Option<u32>) -> Result<(String, ExitStatus)> {
    let programs = [static_program::build_named("ashmem-cli", "ashmem")?, suite(Arch::X86_64)?];
    // In a place that every user can reach, which a home folder need not be.
    let place = std::env::temp_dir().join(format!("ashmem-under-run-{}", std::process::id()));
    workspace::make_whole(&place, |folder| {
        for program in &programs {
            let name = program.file_name().context("a program has a name")?;
            fs::copy(program, folder.join(name))
                .with_context(|| format!("copying {}", program.display()))?;
        }
        fs::set_permissions(folder, Permissions::from_mode(0o755))
            .context("opening the folder to all")
    })?;
    let mut command = level.command(&place.join("ashmem"), &place.join("ashmem-conformance"));
    command.current_dir("/");
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let result = process::capture_both(&mut command);
    fs::remove_dir_all(&place).with_context(|| format!("removing {}", place.display()))?;
    result
}

fn suite(arch: Arch) -> Result<std::path::PathBuf> {
    static_program::build_for(arch, "ashmem-conformance", "ashmem-conformance")
}

#[cfg(test)]
mod tests {
    use super::{Comparison, transcripts};

    const NAMES: [&str; 2] = ["reference", "module"];

    #[test]
    fn equal_transcripts_are_the_same() {
        assert!(matches!(transcripts(NAMES, b"a\nb\n", b"a\nb\n"), Comparison::Same { lines: 2 }));
    }

    #[test]
    fn the_first_difference_is_shown_with_its_number() {
        let Comparison::Different(text) = transcripts(NAMES, b"a\nb 1\nc\n", b"a\nb 2\nc\n") else {
            panic!("they differ")
        };
        assert!(
            text.contains("line 2")
                && text.contains("reference b 1")
                && text.contains("module    b 2"),
            "{text}"
        );
    }

    #[test]
    fn a_shorter_transcript_differs_where_it_ends() {
        for (left, right) in [(&b"a\nb\n"[..], &b"a\n"[..]), (b"a\n", b"a\nb\n"), (b"a\n", b"a")] {
            assert!(matches!(transcripts(NAMES, left, right), Comparison::Different(_)));
        }
    }
}
