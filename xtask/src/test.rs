// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask test`: everything that proves the project right, in one go.
//!
//! A new proof is a function that returns a [`Step`], added to one of the two lists below: `here`
//! for what runs on this machine and wants all of it, `booted` for what runs in a machine of its
//! own beside others.

use crate::build::module::{self, Flavour};
use crate::build::static_program;
use crate::debian::host;
use crate::debian::kernel::{Kernel, Line, Platform};
use crate::integration::suite::{self, Comparison, Level, OPERATIONS};
use crate::integration::{
    cdi, confined, containers, doctor, engines, help, inside, kubernetes, library, neighbours,
    oci_image, packages, perfetto, publishing, recipes, report, tracing, waydroid,
};
use crate::machine::{self, Options, Provider, VmRequest};
use crate::util::arch::Arch;
use crate::util::steps::{Runner, Step, StepResult, only};
use crate::util::{process, workspace};
use crate::{check, docs, fuzz};
use anyhow::{Context, Result};
use clap::Args;
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, ExitCode};
use std::thread;

/// The seed of the random sequence every run plays; --all plays more.
const SEED: u64 = 1;

/// How many long sequences --all plays under `ashmem run`, a million operations in all, and how
/// many each has.
const LONG_SEQUENCES: u64 = 5;
const LONG: u64 = 200_000;

/// How long --all runs each fuzz target.
const FUZZ_SECONDS: u32 = 60;

/// An ordinary user that every machine has: nobody.
const NOBODY: u32 = 65534;

/// Run every test: unit and property tests, the suite on every kernel, the comparison with the
/// reference
///
/// Sets up what is missing first. Every step runs whatever became of the others; boots run side by
/// side as processors allow. The last line is `N passed, N failed, N skipped`; the exit status is 0
/// only when nothing failed.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Also the checks of `cargo xtask check`, ten random sequences instead of one, the fuzz
    /// targets, the suite under `ashmem run` in a machine, docs/tracing.md with the module, the
    /// suite, the module's trial and the races on each debug kernel (built here where they are not
    /// yet, in an hour and a half on two processors), every allocation made to fail, the suite, the
    /// trial and the races on all arm64 kernels, `ashmem run` on kernels between Debian's lines,
    /// and the packages
    #[arg(long)]
    all: bool,
    /// Only steps whose name contains this; may be given several times
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Of --all, only what is left out without it
    #[arg(long, requires = "all")]
    rest: bool,
}

impl Test {
    /// Runs every step.
    pub(crate) fn run(self) -> ExitCode {
        let mut runner = Runner::default();
        runner.sequential([Step::new("setup", || {
            let arm64 = [Line::V5_10, Line::V6_12].map(|line| Platform { arch: Arch::Arm64, line });
            let platforms = [Line::ALL.map(Into::into).as_slice(), &arm64].concat();
            host::ensure(&platforms).map(|()| StepResult::Passed(String::new()))
        })]);
        if !runner.is_clean() {
            // Without what the steps stand on, each would only fail for the same reason.
            return runner.close();
        }
        let lanes = thread::available_parallelism().map_or(1, usize::from);
        let usual = self.rest.then(|| {
            let usual = Self { all: false, only: Vec::new(), rest: false };
            let steps = usual.here().into_iter().chain(usual.booted());
            steps.map(|step| step.name().to_owned()).collect::<BTreeSet<_>>()
        });
        let is_asked_for = |name: &str| {
            (self.only.is_empty() || self.only.iter().any(|text| name.contains(text)))
                && usual.as_ref().is_none_or(|usual| !usual.contains(name))
        };
        runner.sequential(only(is_asked_for, self.here()));
        runner.parallel(lanes, only(is_asked_for, self.booted()));
        runner.close()
    }

    fn here(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.all {
            steps.push(check::install_deny());
            steps.extend(check::steps());
        }
        // The optimised build, for property tests run through millions of operations.
        steps.push(Step::new("unit and property tests", || {
            cargo_tests(&["--release", "--workspace"])
        }));
        // With debug assertions: a system call that the agent's own filter refuses, and a library
        // takes for infallible, shows in no other build.
        let restarts = ["--package", "ashmem-cli", "--test", "restart"];
        steps.push(Step::new("restarts of the agent, debug build", move || cargo_tests(&restarts)));
        steps.extend([under_run(Level::Full, None), under_run(Level::Full, Some(NOBODY))]);
        steps.extend([under_run(Level::Fast, Some(NOBODY)), under_run(Level::Bare, Some(NOBODY))]);
        for level in [Level::Inside, Level::Notified] {
            steps.extend([under_run(level, None), under_run(level, Some(NOBODY))]);
        }
        if self.all {
            steps.extend([under_run(Level::Fast, None), under_run(Level::Bare, None)]);
            steps.extend([docs::step(), publishing::step()]);
            steps.extend((SEED..SEED + LONG_SEQUENCES).map(inside_against_notified));
            steps.extend(fuzz::steps(FUZZ_SECONDS));
            // One after another, for each takes all processors.
            let for_arm64 = Line::DEBUG_ARM64.map(|line| Platform { arch: Arch::Arm64, line });
            let debug = Line::DEBUG.into_iter().map(Platform::from).chain(for_arm64);
            steps.extend(debug.map(|kernel| {
                Step::new(format!("debug kernel {kernel}"), move || {
                    host::ensure(&[kernel])?;
                    Ok(StepResult::Passed(Kernel::fetch(kernel)?.version))
                })
            }));
        }
        steps.extend(containers::steps());
        steps.extend([waydroid::here(), cdi::step(), help::step()]);
        steps.extend([kubernetes::step(), kubernetes::with_kubectl()]);
        steps.extend([confined::here(), oci_image::step()]);
        steps.extend(library::here());
        steps.extend(["agent", "syscalls"].map(tracing::here));
        steps.push(recipes::tracing());
        steps.extend([report::step(), perfetto::step()]);
        steps
    }

    fn booted(&self) -> Vec<Step> {
        let mut steps = vec![suite(Provider::Reference, Line::V5_10)];
        steps.extend(Line::ALL.map(|line| suite(Provider::Module, line)));
        let seeds = if self.all { 10 } else { 1 };
        steps.extend((SEED..SEED + seeds).map(|seed| differential(Arch::X86_64, seed)));
        steps.extend(Line::ALL.map(trial));
        steps.extend(library::booted());
        let traced: &[Line] = if self.all { &Line::ALL } else { &[Line::V6_1] };
        steps.extend(traced.iter().map(|line| tracing::module(*line)));
        steps.extend(Line::ALL.map(races));
        // What is the module's own, and not what it makes of a kernel, is seen on one or two.
        let besieged: &[Line] = if self.all { &Line::ALL } else { &[Line::Newest] };
        steps.extend(besieged.iter().flat_map(|line| neighbours::steps(*line, self.all)));
        let fuzzed: &[Line] = if self.all { &Line::ALL } else { &[Line::V5_10, Line::Newest] };
        steps.extend(fuzzed.iter().map(|line| fuzz::module::step(*line)));
        let doctored: &[Line] = if self.all { &[Line::V6_1, Line::Newest] } else { &[Line::V6_1] };
        steps.extend(doctored.iter().map(|line| doctor::step(*line)));
        steps.extend(on_arm64(self.all));
        if self.all {
            steps.extend(Line::DEBUG.map(|line| suite(Provider::Module, line)));
            steps.extend(Line::DEBUG.map(trial));
            steps.extend(Line::DEBUG.map(races));
            steps.push(failslab());
            steps.push(fuzz::module::search_step());
            steps.push(recipes::tracing_on_module());
            steps.extend(
                [Level::Full, Level::Inside, Level::Notified]
                    .map(|level| under_run_booted(level, Line::V6_1, "*")),
            );
            steps.extend(Line::BETWEEN.map(|line| under_run_booted(Level::Full, line, "*")));
            steps.extend(Line::BETWEEN.map(containers::booted::step));
            steps.push(waydroid::booted());
            steps.extend(confined::long());
            steps.extend(engines::steps());
            steps.extend(packages::steps());
        }
        steps
    }
}

/// The tests that cargo finds by these words.
fn cargo_tests(which: &[&str]) -> Result<StepResult> {
    let cargo = || Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let with_nextest =
        cargo().args(["nextest", "--version"]).output().is_ok_and(|output| output.status.success());
    let mut command = cargo();
    command.args(if with_nextest { ["nextest", "run"].as_slice() } else { &["test", "--quiet"] });
    command.args(which).current_dir(workspace::root());
    // What a test leaves out on this host it says on a line of its own; what setup installs it must
    // not leave out.
    command.args(if with_nextest {
        ["--success-output", "final"]
    } else {
        ["--", "--show-output"]
    });
    command.env("ASHMEM_SET_UP", "1");
    // A test that is stopped leaves its files here, and they are removed after the run. Everybody
    // may write here, as in /tmp: some tests work as other users.
    let files = tempfile::Builder::new()
        .prefix("ashmem-tests-")
        .tempdir()
        .context("no directory for the files of the tests")?;
    fs::set_permissions(files.path(), Permissions::from_mode(0o1777))?;
    command.env("TMPDIR", files.path());
    let (text, status) = process::capture_both(&mut command)?;
    if !status.success() {
        return Ok(StepResult::Failed(format!(
            "{} ended with {}:\n{text}",
            process::line(&command),
            process::describe(status)
        )));
    }
    // nextest shows what each test printed, and that has a result of its own.
    let summary = if with_nextest { "Summary" } else { "test result:" };
    let summaries: Vec<_> =
        text.lines().map(str::trim).filter(|line| line.starts_with(summary)).collect();
    let skips: Vec<_> =
        text.lines().map(str::trim).filter(|line| line.starts_with("skipped: ")).collect();
    let skips = if skips.is_empty() {
        String::new()
    } else {
        format!("; {} left out: {}", skips.len(), skips.join("; "))
    };
    Ok(StepResult::Passed(format!("{}{skips}", summaries.join("; "))))
}

/// The suite on one provider.
fn suite(provider: Provider, kernel: impl Into<Platform>) -> Step {
    let kernel = kernel.into();
    Step::new(format!("suite on {provider}, kernel {kernel}"), move || {
        host::ensure(&[kernel])?;
        suite::in_machine(provider, kernel, &[], false).map(|outcome| outcome.step_result())
    })
}

/// What is held to the same on arm64, where kernels, compiler and emulator are fetched first: a
/// machine of it takes two to three times as long as one of this host's own architecture, so one
/// kernel stands for all where not everything is asked for.
fn on_arm64(all: bool) -> Vec<Step> {
    /// What the others are held to under --all.
    const FIRST: Line = Line::V6_12;
    let on = |line| Platform { arch: Arch::Arm64, line };
    let mut steps = vec![
        suite(Provider::Module, on(FIRST)),
        // Where one case alone makes 200,000 calls, each a notification, the whole takes long.
        under_run_booted(Level::Full, on(FIRST), "{open,name,size,mmap,protection,compat}.*"),
        inside::unit_tests(on(FIRST)),
        inside::step(on(FIRST), all),
        differential(Arch::Arm64, SEED),
    ];
    if all {
        // On an old kernel, on larger pages, on the newest, and at the other levels.
        steps.extend(
            [Line::V5_10, FIRST, Line::V6_12LargePages, Line::Newest]
                .map(|line| under_run_booted(Level::Full, on(line), "*")),
        );
        steps.extend(
            [Level::Fast, Level::Bare, Level::Inside, Level::Notified]
                .map(|level| under_run_booted(level, on(FIRST), "*")),
        );
        steps.push(suite(Provider::Reference, on(Line::V5_10)));
        let others = Line::ARM64.into_iter().filter(|line| *line != FIRST);
        let others = others.chain(Line::DEBUG_ARM64);
        steps.extend(others.map(|line| suite(Provider::Module, on(line))));
        steps.extend(Line::ARM64.map(|line| trial(on(line))));
        steps.extend(Line::ARM64.map(|line| races(on(line))));
        steps.push(containers::arm64::step(FIRST));
    }
    steps
}

/// `ashmem run` with its options, as a step is named after it.
fn command(level: Level) -> String {
    ["ashmem run"].iter().chain(level.words()).copied().collect::<Vec<_>>().join(" ")
}

/// The suite on this host under `ashmem run`, as who runs the tests or as an ordinary user.
fn under_run(level: Level, user: Option<u32>) -> Step {
    let user_words = user.map_or_else(String::new, |user| format!(", as user {user}"));
    let name = format!("suite under {}{user_words}", command(level));
    Step::new(name, move || {
        if user.is_some() && !rustix::process::getuid().is_root() {
            return Ok(StepResult::Skipped("this is an ordinary user already".to_owned()));
        }
        let (output, status) = suite::under_run(level, user)?;
        if !status.success() {
            return Ok(StepResult::Failed(format!(
                "it ended with {}:\n{output}",
                process::describe(status)
            )));
        }
        Ok(StepResult::Passed(output.trim_end().lines().last().unwrap_or_default().to_owned()))
    })
}

/// The suite's cases of this pattern under `ashmem run` in a machine, where there is binder, memory
/// may be filled, and the kernel is another one.
fn under_run_booted(level: Level, kernel: impl Into<Platform>, filter: &'static str) -> Step {
    let kernel = kernel.into();
    let what = if filter == "*" { "suite" } else { "part of the suite" };
    Step::new(format!("{what} under {}, kernel {kernel}", command(level)), move || {
        host::ensure(&[kernel])?;
        let arguments = ["--filter", filter].map(str::to_owned);
        suite::under_run_in_machine(level, kernel, &arguments, false)
            .map(|outcome| outcome.step_result())
    })
}

/// The module's coming and going, its tracepoints, and its life without memory.
fn trial(kernel: impl Into<Platform>) -> Step {
    let kernel = kernel.into();
    Step::new(format!("module trial, kernel {kernel}"), move || {
        host::ensure(&[kernel])?;
        let stock = Kernel::fetch(kernel)?;
        let put = |flavour, name: &str| -> Result<String> {
            Ok(format!("{}:/{name}", module::build_flavour(&stock, flavour)?.display()))
        };
        let ashmem = static_program::build_for(kernel.arch, "ashmem-cli", "ashmem")?;
        let file = vec![
            put(Flavour::Plain, "plain.ko")?,
            put(Flavour::Faults, "faults.ko")?,
            format!("{}:/bin/ashmem", ashmem.display()),
        ];
        let options = Options { provider: Provider::None, file, ..Options::default() };
        let program =
            static_program::build_for(kernel.arch, "ashmem-module-test", "ashmem-module-test")?;
        let arguments = ["/plain.ko", "/faults.ko", "/bin/ashmem"].map(str::to_owned).to_vec();
        machine::run(&VmRequest { kernel, options, program, arguments, live: false })
            .map(|outcome| outcome.step_result())
    })
}

/// Every request with each of its allocations made to fail, on the kernel that can.
fn failslab() -> Step {
    Step::new("every allocation made to fail, kernel kasan", move || {
        let program = static_program::build("ashmem-module-test")?;
        let (options, arguments) = (Options::default(), vec!["--failslab".to_owned()]);
        let request =
            VmRequest { kernel: Line::Kasan.into(), options, program, arguments, live: false };
        machine::run(&request).map(|outcome| outcome.step_result())
    })
}

/// Half a minute of threads and processes that race over shared descriptors, on two processors.
fn races(kernel: impl Into<Platform>) -> Step {
    let kernel = kernel.into();
    Step::new(format!("30 s of races, kernel {kernel}"), move || {
        host::ensure(&[kernel])?;
        let arguments = ["--stress".to_owned(), "30".to_owned()];
        suite::in_machine(Provider::Module, kernel, &arguments, false)
            .map(|outcome| outcome.step_result())
    })
}

/// What `ashmem run` answers inside a program, and what it answers notified.
fn inside_against_notified(seed: u64) -> Step {
    Step::new(format!("random sequence {seed}, inside against notified"), move || {
        compared(suite::inside_against_notified(seed, LONG)?)
    })
}

fn differential(arch: Arch, seed: u64) -> Step {
    let kernel = Platform { arch, line: Line::V5_10 };
    let name = format!("random sequence {seed}, reference against module, kernel {kernel}");
    Step::new(name, move || {
        host::ensure(&[kernel])?;
        compared(suite::differential(arch, seed, OPERATIONS)?)
    })
}

fn compared(comparison: Comparison) -> Result<StepResult> {
    Ok(match comparison {
        Comparison::Same { lines } => {
            StepResult::Passed(format!("{lines} lines, the same to the byte"))
        }
        Comparison::Different(difference) => StepResult::Failed(difference),
    })
}
