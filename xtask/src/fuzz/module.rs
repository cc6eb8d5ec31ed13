// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask fuzz --module`: machines in which the module's fuzzer lives, one after the other,
//! and what they leave.

use crate::build::module;
use crate::build::static_program;
use crate::debian::host;
use crate::debian::kernel::Line;
use crate::machine::{self, Options, Status, VmOutcome, VmRequest};
use crate::util::steps::{Step, StepResult};
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

/// What the lines of the fuzzer's journal begin with, among the kernel's own on the console.
const MARK: &str = "ashmem-fuzz: ";
/// Where the guest finds the inputs.
const GIVEN: &str = "/corpus";
/// The longest life of a machine: what leaks shows at its end.
const LIFE: Duration = Duration::from_secs(20 * 60);
/// What a machine may need beyond the search itself: boot, a hung process waited for, the last
/// looks.
const MARGIN: u64 = 420;
/// Memory of a machine, in MiB: a kernel with KASAN keeps an eighth for itself.
const MEMORY: u32 = 1536;
/// After so many findings something is broken that has to be mended first.
const ENOUGH: usize = 8;
/// Inputs kept with a finding: what came before may have to do with it.
const BEFORE: usize = 64;
/// How often each input of a replay is run: a race may want several tries.
const TIMES: u32 = 200;

/// How the module is fuzzed.
#[derive(Debug, Args)]
pub(crate) struct Search {
    /// With --module: how long
    #[arg(long, default_value_t = 10, requires = "module")]
    minutes: u64,
    /// With --module: the kernel
    #[arg(long, default_value = "kasan", requires = "module")]
    kernel: Line,
    /// With --module: processors
    #[arg(long, default_value_t = 2, requires = "module")]
    smp: u32,
    /// With --module: memory in MiB
    #[arg(long, default_value_t = MEMORY, requires = "module")]
    memory: u32,
    /// With --module: where the disorder begins [default: another place each time]
    #[arg(long, requires = "module")]
    seed: Option<u64>,
    /// With --module: only run the inputs of this file, each 200 times
    #[arg(long, value_name = "FILE", requires = "module")]
    replay: Option<PathBuf>,
}

impl Search {
    /// Searches, or tries again what was found.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        host::ensure(&[self.kernel])?;
        let found = match &self.replay {
            Some(file) => usize::from(self.again(file)?),
            None => self.search(true)?,
        };
        Ok(if found == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Runs the inputs of a file; whether they brought up anything.
    fn again(&self, file: &Path) -> Result<bool> {
        let inputs = inputs(
            &fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?,
        );
        let arguments = ["--replay".to_owned(), TIMES.to_string()];
        let outcome =
            Home::new(self.kernel, self.smp, self.memory, true)?.boot(&inputs, &arguments, LIFE)?;
        println!("{}", outcome.status);
        Ok(!outcome.status.is_success())
    }

    /// One machine after the other until the time is over; how many findings there were.
    fn search(&self, live: bool) -> Result<usize> {
        let end = Instant::now() + Duration::from_secs(self.minutes * 60);
        let mut seed = self.seed.unwrap_or_else(now);
        let mut findings = 0;
        let home = Home::new(self.kernel, self.smp, self.memory, live)?;
        loop {
            let left = end.saturating_duration_since(Instant::now()).min(LIFE);
            if left.is_zero() || findings == ENOUGH {
                return Ok(findings);
            }
            let known = known()?;
            eprintln!(
                "fuzz: a machine with kernel {}, {} known inputs, seed {seed}",
                self.kernel,
                known.len()
            );
            let arguments = [
                "--seconds".to_owned(),
                left.as_secs().to_string(),
                "--seed".to_owned(),
                seed.to_string(),
            ];
            let outcome = home.boot(&known, &arguments, left)?;
            let journal = Journal::of(&outcome.console);
            journal.keep()?;
            if machine::is_emulators_fault(&outcome.console) {
                eprintln!("fuzz: the emulator spoilt that machine; the next one");
            } else if !outcome.status.is_success() {
                findings += 1;
                self.found(&outcome, &journal)?;
            }
            seed = seed.wrapping_add(1);
        }
    }

    /// Keeps what a machine ended with.
    fn found(&self, outcome: &VmOutcome, journal: &Journal) -> Result<()> {
        let Some(input) = journal.runs.last() else {
            bail!(
                "the fuzzer did not begin: {}\n{}",
                outcome.status,
                process::tail(&outcome.stderr)
            );
        };
        let folder = workspace::cache("fuzz/findings")?.join(format!("{}-{}", self.kernel, now()));
        let before =
            journal.runs.get(journal.runs.len().saturating_sub(BEFORE)..).unwrap_or_default();
        let files = [
            ("input", format!("{input}\n")),
            ("before", before.iter().map(|input| format!("{input}\n")).collect()),
            ("status", format!("{}\n", outcome.status)),
            ("stderr", String::from_utf8_lossy(&outcome.stderr).into_owned()),
            ("console", outcome.console.clone()),
        ];
        workspace::make_whole(&folder, |folder| {
            for (name, text) in &files {
                fs::write(folder.join(name), text)
                    .with_context(|| format!("keeping the finding's {name}"))?;
            }
            Ok(())
        })?;
        eprintln!("fuzz: FINDING: {}", first_lines(&outcome.status));
        eprintln!("fuzz: kept in {}; again:", folder.display());
        for name in ["input", "before"] {
            let file = folder.join(name);
            eprintln!(
                "    cargo xtask fuzz --module --kernel {} --replay {}",
                self.kernel,
                file.display()
            );
        }
        Ok(())
    }
}

/// The corpus of the tree, once through, on a kernel without a record of coverage: what was found
/// once stays mended.
pub(crate) fn step(kernel: Line) -> Step {
    Step::new(format!("fuzzer's corpus on the module, kernel {kernel}"), move || {
        let arguments = ["--replay".to_owned(), "1".to_owned()];
        let inputs: Vec<String> = corpus(&tree())?.into_iter().collect();
        // Inputs that switch the module's tracepoints while another thread passes them leave a
        // processor with a thread of its own at a breakpoint that is no more, for ever.
        let home = Home { round_robin: true, ..Home::new(kernel, 2, 1024, false)? };
        let outcome = home.boot(&inputs, &arguments, LIFE)?;
        if outcome.status.is_success() {
            let said = String::from_utf8_lossy(&outcome.stderr);
            return Ok(StepResult::Passed(said.lines().last().unwrap_or_default().to_owned()));
        }
        let last = Journal::of(&outcome.console).runs.pop().unwrap_or_default();
        Ok(StepResult::Failed(format!("{}\nthe last input: {last}", outcome.status)))
    })
}

/// A search of some minutes on the kernel that records coverage.
pub(crate) fn search_step() -> Step {
    const MINUTES: u64 = 10;
    Step::new(format!("fuzzer of the module, kernel kasan, {MINUTES} min"), move || {
        let search = Search {
            minutes: MINUTES,
            kernel: Line::Kasan,
            smp: 2,
            memory: MEMORY,
            seed: None,
            replay: None,
        };
        Ok(match search.search(false)? {
            0 => StepResult::Passed(format!("{} known inputs", known()?.len())),
            findings => StepResult::Failed(format!(
                "{findings} findings, kept in target/ashmem/fuzz/findings"
            )),
        })
    })
}

/// A machine with the module, which tells a kernel with KCOV what of it runs, and the fuzzer in it.
struct Home {
    kernel: Line,
    processors: u32,
    memory: u32,
    live: bool,
    /// Whether one thread of the host emulates all processors, in turn.
    round_robin: bool,
    fuzzer: PathBuf,
}

impl Home {
    fn new(kernel: Line, processors: u32, memory: u32, live: bool) -> Result<Self> {
        Ok(Self {
            kernel,
            processors,
            memory,
            live,
            round_robin: false,
            fuzzer: static_program::build("ashmem-module-fuzz")?,
        })
    }

    /// Boots it, for one life.
    fn boot(&self, inputs: &[String], arguments: &[String], life: Duration) -> Result<VmOutcome> {
        let given = workspace::cache("fuzz/module")?.join(format!(
            "given-{}-{}",
            std::process::id(),
            self.kernel
        ));
        let mut options = Options {
            smp: self.processors,
            round_robin: self.round_robin,
            // Pages move between nodes, where each has a processor.
            numa: self.processors.clamp(1, 2),
            memory: self.memory,
            timeout: life.as_secs() + MARGIN,
            ..Options::default()
        };
        let mut arguments = arguments.to_vec();
        if !inputs.is_empty() {
            fs::write(&given, inputs.join("\n"))
                .with_context(|| format!("writing {}", given.display()))?;
            options.file.push(format!("{}:{GIVEN}", given.display()));
            arguments.extend(["--corpus".to_owned(), GIVEN.to_owned()]);
        }
        let (kernel, program, live) = (self.kernel, self.fuzzer.clone(), self.live);
        let outcome = machine::run(&VmRequest { kernel, options, program, arguments, live });
        // Read when the machine was packed.
        let _ = fs::remove_file(&given);
        outcome
    }
}

/// What the fuzzer wrote on the console.
#[derive(Debug, Default, PartialEq, Eq)]
struct Journal {
    /// What was run, in order.
    runs: Vec<String>,
    /// What reached something new, and whether that was a place or only another way between places.
    kept: Vec<(String, bool)>,
    /// What was known and reaches nothing that others do not.
    spent: Vec<String>,
}

impl Journal {
    fn of(console: &str) -> Self {
        let mut journal = Self::default();
        for line in console
            .lines()
            .filter_map(|line| line.split_once(MARK).map(|(_, rest)| rest.trim_end()))
        {
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["run", input] => journal.runs.push((*input).to_owned()),
                ["keep", places, input] if is_input(input) => {
                    journal.kept.push(((*input).to_owned(), *places != "0"))
                }
                ["spent", input] => journal.spent.push((*input).to_owned()),
                // A line that the kernel's own words cut in two.
                _ => {}
            }
        }
        journal
    }

    /// Writes down what is worth it: in the tree what reaches new places, in the cache the rest.
    fn keep(&self) -> Result<()> {
        let cache = workspace::cache("fuzz/corpus/module")?;
        for (input, is_place) in &self.kept {
            let folder = if *is_place { tree() } else { cache.clone() };
            fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
            let file = folder.join(name(input));
            fs::write(&file, format!("{input}\n"))
                .with_context(|| format!("writing {}", file.display()))?;
        }
        for input in &self.spent {
            // Those of the tree stay: they are few, and tell on other kernels.
            let _ = fs::remove_file(cache.join(name(input)));
        }
        if !self.kept.is_empty() {
            let places = self.kept.iter().filter(|(_, is_place)| *is_place).count();
            eprintln!(
                "fuzz: {} inputs kept, {places} of them in {}",
                self.kept.len(),
                tree().display()
            );
        }
        Ok(())
    }
}

/// The corpus that is part of the project.
fn tree() -> PathBuf {
    workspace::root().join("fuzz/corpus-module")
}

/// All inputs there are, those of the tree first.
fn known() -> Result<Vec<String>> {
    let tree = corpus(&tree())?;
    let more = corpus(&workspace::cache("fuzz/corpus/module")?)?;
    Ok(tree.iter().cloned().chain(more.difference(&tree).cloned()).collect())
}

/// The inputs of a folder's files, one in each.
fn corpus(folder: &Path) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for file in module::files(folder)? {
        all.extend(inputs(
            &fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?,
        ));
    }
    Ok(all)
}

/// The inputs of a text, one a line.
fn inputs(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| is_input(line)).map(str::to_owned).collect()
}

/// Whether this is whole steps of six bytes in hexadecimal digits.
fn is_input(text: &str) -> bool {
    const DIGITS: usize = 12;
    !text.is_empty()
        && text.len().is_multiple_of(DIGITS)
        && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A file's name for an input: its content decides it, so that the same is kept once.
fn name(input: &str) -> String {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn first_lines(status: &Status) -> String {
    const LINES: usize = 40;
    status.to_string().lines().take(LINES).collect::<Vec<_>>().join("\n")
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::{Journal, inputs};

    #[test]
    fn the_journal_is_read_from_between_the_kernels_lines() {
        let console = "[    1.0] ashmem: initialized\r\n\
            ashmem-fuzz: run 000000000000\r\n\
            [    1.1] ashmem-fuzz: keep 0 010000000000\r\n\
            ashmem-fuzz: keep 3 020000000000\r\n\
            ashmem-fuzz: keep 3 0200[    1.2] cut\r\n\
            ashmem-fuzz: spent 030000000000\r\n\
            ashmem-fuzz: run 040000000000\r\n\
            [    2.0] BUG: KASAN\r\n";
        let journal = Journal::of(console);
        assert_eq!(journal.runs, ["000000000000", "040000000000"]);
        assert_eq!(
            journal.kept,
            [("010000000000".to_owned(), false), ("020000000000".to_owned(), true)]
        );
        assert_eq!(journal.spent, ["030000000000"]);
    }

    #[test]
    fn inputs_are_whole_steps() {
        assert_eq!(inputs("# none\n000000000000\n\n0000\nzzzzzzzzzzzz\n"), ["000000000000"]);
    }
}
