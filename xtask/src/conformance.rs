// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask conformance`: the suite on one provider, or one random sequence on two.

use crate::debian::host;
use crate::debian::kernel::{Line, Platform};
use crate::integration::suite::{
    Comparison, Level, OPERATIONS, command, differential, in_machine, under_run_in_machine,
};
use crate::machine::{Provider, Status};
use crate::util::arch::Arch;
use crate::util::process;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use std::io::Write;
use std::process::ExitCode;

/// Hold a provider to the specification, or compare two on one random sequence
///
/// Builds the suite as a static program and runs it where the provider is: `reference` (Debian
/// 5.10's own driver) and `module` in a virtual machine, `run` (no module at all) on this host, or
/// in a machine if a kernel is named. Output and exit status are the suite's own; see `cargo xtask
/// vm --help` for those of a guest whose kernel fails.
///
/// With --differential SEED the same random sequence runs on the reference and on the module, both
/// on kernel 5.10, and the transcripts are compared byte by byte.
#[derive(Debug, Args)]
pub(crate) struct Conformance {
    /// What to hold to the specification
    #[arg(long, default_value = "module")]
    provider: Answerer,
    /// With --provider run: how the agent is told to work; the suite holds each level to what is
    /// declared for it
    #[arg(long, default_value = "full")]
    level: Level,
    /// The kernel to boot [default: 5.10, where alone `reference` exists; with --provider run:
    /// none, this host's runs]
    #[arg(long)]
    kernel: Option<Line>,
    /// The architecture of the machine
    #[arg(long, default_value_t)]
    arch: Arch,
    /// Only cases whose id matches this pattern
    #[arg(long, value_name = "GLOB")]
    filter: Option<String>,
    /// The suite's report as JSON
    #[arg(long)]
    json: bool,
    /// Compare the reference and the module on the random sequence of this seed
    #[arg(
        long,
        value_name = "SEED",
        conflicts_with_all = ["provider", "level", "kernel", "filter", "json"]
    )]
    differential: Option<u64>,
    /// Length of the random sequence
    #[arg(long, default_value_t = OPERATIONS, requires = "differential")]
    operations: u64,
}

/// Who answers the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Answerer {
    /// Debian 5.10's own driver, in a virtual machine
    Reference,
    /// this project's module, in a virtual machine
    Module,
    /// `ashmem run` on this host, without a module
    Run,
}

impl Conformance {
    /// Runs the suite; the status is its own.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let here = matches!(self.provider, Answerer::Run)
            && self.kernel.is_none()
            && self.arch == Arch::X86_64;
        let kernel = Platform { arch: self.arch, line: self.kernel.unwrap_or(Line::V5_10) };
        let here = here && self.differential.is_none();
        host::ensure(if here { &[] } else { std::slice::from_ref(&kernel) })?;
        if let Some(seed) = self.differential {
            return self.compare(seed);
        }
        let mut arguments = Vec::new();
        if let Some(filter) = &self.filter {
            arguments.extend(["--filter".to_owned(), filter.clone()]);
        }
        if self.json {
            arguments.push("--json".to_owned());
        }
        let outcome = match self.provider {
            Answerer::Reference => in_machine(Provider::Reference, kernel, &arguments, true)?,
            Answerer::Module => in_machine(Provider::Module, kernel, &arguments, true)?,
            Answerer::Run if here => return on_host(self.level, &arguments),
            Answerer::Run => under_run_in_machine(self.level, kernel, &arguments, true)?,
        };
        if !matches!(outcome.status, Status::Exit(_)) {
            eprintln!("conformance: {}", outcome.status);
        }
        Ok(outcome.status.code().into())
    }

    fn compare(&self, seed: u64) -> Result<ExitCode> {
        match differential(self.arch, seed, self.operations)? {
            Comparison::Same { lines } => {
                println!(
                    "seed {seed}: {lines} lines of transcript, the same on reference and module"
                );
                Ok(ExitCode::SUCCESS)
            }
            Comparison::Different(difference) => {
                println!("seed {seed}: {difference}");
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

/// Runs the suite on this host under `ashmem run`.
fn on_host(level: Level, arguments: &[String]) -> Result<ExitCode> {
    let mut command = command(level)?;
    command.args(arguments);
    std::io::stdout().flush().context("writing to stdout")?;
    let status =
        command.status().with_context(|| format!("starting {}", process::line(&command)))?;
    match status.code() {
        Some(code) => Ok(u8::try_from(code).unwrap_or(u8::MAX).into()),
        None => bail!("{} ended with {}", process::line(&command), process::describe(status)),
    }
}
