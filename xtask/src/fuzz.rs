// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask fuzz`: the fuzz targets, each for a while, or the kernel module in a machine of its
//! own.

pub(crate) mod module;

use crate::util::steps::{Runner, Step, StepResult};
use crate::util::{process, tools, workspace};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::fs;
use std::process::{Command, ExitCode};

/// The version of cargo-fuzz the targets are built with.
const CARGO_FUZZ: &str = "0.13.2";

/// Fuzz what hostile programs and broken runtimes can send
///
/// Builds each target of fuzz/ with libFuzzer and runs it, from its seeds and from what earlier
/// runs found (target/ashmem/fuzz/corpus). A failure's input is kept and its path printed. Installs
/// cargo-fuzz into target/ashmem/tools first, which takes some minutes once.
///
/// With --module, the kernel module: in a virtual machine, by random calls from racing threads and
/// processes, guided by what the kernel says of the module's coverage (on kernels with KCOV:
/// `kasan`). It begins with the inputs of fuzz/corpus-module and adds there what reaches new
/// places; the status is 1 if the kernel complained, hung or died, and the input that was tried
/// then is kept, with how to try it again.
#[derive(Debug, Args)]
pub(crate) struct Fuzz {
    /// The targets [default: all]
    targets: Vec<String>,
    /// How long each runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Fuzz the kernel module instead, in a virtual machine
    #[arg(long, conflicts_with_all = ["targets", "seconds"])]
    module: bool,
    #[command(flatten)]
    machine: module::Search,
}

impl Fuzz {
    /// Runs the targets one after the other, or the module's fuzzer.
    pub(crate) fn run(self) -> Result<ExitCode> {
        if self.module {
            return self.machine.run();
        }
        let all = targets()?;
        if let Some(unknown) = self.targets.iter().find(|target| !all.contains(target)) {
            bail!("{unknown} is no fuzz target; there are {}", all.join(", "));
        }
        let wanted = if self.targets.is_empty() { all } else { self.targets };
        let mut runner = Runner::default();
        runner.sequential(wanted.into_iter().map(|target| step(target, self.seconds)));
        Ok(runner.close())
    }
}

/// Every target for so many seconds, to be run among other steps.
pub(crate) fn steps(seconds: u32) -> Vec<Step> {
    targets().map_or_else(
        |error| vec![Step::new("fuzz targets", || Err(error))],
        |targets| targets.into_iter().map(|target| step(target, seconds)).collect(),
    )
}

fn step(target: String, seconds: u32) -> Step {
    Step::new(format!("fuzz target {target}, {seconds} s"), move || fuzz(&target, seconds))
}

/// The names of all targets.
fn targets() -> Result<Vec<String>> {
    let folder = workspace::root().join("fuzz/fuzz_targets");
    let files = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let sources = files
        .flatten()
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|it| it == "rs"));
    let mut names: Vec<_> =
        sources.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort_unstable();
    Ok(names)
}

fn fuzz(target: &str, seconds: u32) -> Result<StepResult> {
    let cache = workspace::cache("fuzz")?;
    let corpus = workspace::cache(&format!("fuzz/corpus/{target}"))?;
    let seeds = workspace::root().join("fuzz/seeds").join(target);
    let mut command = Command::new(tools::from_crates_io("cargo-fuzz", CARGO_FUZZ, &[])?);
    // The stable compiler takes the coverage flags with this alone. Without the address sanitizer:
    // see fuzz/README.md.
    command.env("RUSTC_BOOTSTRAP", "1").args([
        "fuzz",
        "run",
        "--sanitizer",
        "none",
        "--target-dir",
    ]);
    command.arg(cache.join("build")).arg(target).arg(corpus);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    command.args(["--", &format!("-max_total_time={seconds}")]).current_dir(workspace::root());
    let (text, status) = process::capture_both(&mut command)?;
    if !status.success() {
        return Ok(StepResult::Failed(format!(
            "it ended with {}:\n{}",
            process::describe(status),
            process::tail(text.as_bytes())
        )));
    }
    // libFuzzer's own last word: `Done 1234567 runs in 61 second(s)`.
    let runs = text
        .lines()
        .rev()
        .find(|line| line.starts_with("Done "))
        .context("libFuzzer did not say how often it ran")?;
    Ok(StepResult::Passed(runs.trim_start_matches("Done ").to_owned()))
}
