// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask bench`: what the device costs, the original driver and this project's side by side.

mod chart;
mod figures;
mod goals;
mod inspect;
mod library;
mod load;
mod measure;
mod record;
mod results;
mod run;
mod trace;
mod users;

use crate::debian::host;
use crate::debian::kernel::{Line, Platform};
use crate::machine::Provider;
use crate::util::arch::Arch;
use crate::util::workspace;
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use comfy_table::Table;
use serde::Serialize;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measure what the device costs, beside the original driver and memfd
///
/// Boots the same stock 5.10 kernel with Debian's own ashmem_linux.ko and with this project's
/// module and runs the same static program on both. Times are instructions: the guest counts each
/// as one nanosecond, so that they repeat on any machine, busy or not. Only the two threads are
/// timed by the clock, on two processors: they want a machine with two processors to spare, and the
/// row of a system call that shares nothing shows what it had to give.
///
/// A figure that does not reach its goal is shown as such; the exit status is 0 whenever everything
/// could be measured.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Whose figures
    #[arg(long, default_value = "all")]
    provider: Choice,
    /// The architecture of the machine that the drivers are measured in
    #[arg(long, default_value_t, conflicts_with = "record")]
    arch: Arch,
    /// Everything measured as JSON, instead of tables
    #[arg(long)]
    json: bool,
    /// Where the plot of cost against number of unpinned ranges goes [default:
    /// target/ashmem/bench/ranges.svg]
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Also write the tables into docs/bench.md and the plot to docs/images/ranges.svg
    #[arg(long, conflicts_with = "provider")]
    record: bool,
}

/// Whose figures are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// this project's module
    Module,
    /// Debian 5.10's own driver
    Reference,
    /// both, compared
    All,
    /// `ashmem run`, without a module, by the clock on this host
    Run,
    /// tracing: tracepoints that nobody reads, and lives under `ashmem trace`, on the module and
    /// under the agent
    Trace,
    /// the C library beside the bare calls that its functions stand for
    Library,
    /// looking: `ashmem list` of 10,000 regions, `ashmem top` beside them, on this host
    Inspect,
    /// what people wait for: `ashmem doctor`, DKMS's build of the module
    Users,
}

impl Bench {
    /// Measures and shows.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let providers = match self.provider {
            Choice::Module => vec![Provider::Module],
            Choice::Reference => vec![Provider::Reference],
            Choice::All => vec![Provider::Reference, Provider::Module],
            Choice::Run => return self.on_host(),
            Choice::Trace => return self.traced(),
            Choice::Library => {
                host::ensure(&[Line::V5_10.into()])?;
                let rows = library::measure()?;
                return self.show(&rows, &library::table(&rows));
            }
            Choice::Inspect => {
                host::ensure(&[])?;
                let rows = inspect::measure()?;
                return self.show(&rows, &inspect::table(&rows));
            }
            Choice::Users => {
                host::ensure(&[])?;
                let rows = users::measure()?;
                return self.show(&rows, &users::table(&rows));
            }
        };
        host::ensure(&[Platform { arch: self.arch, line: Line::V5_10 }])?;
        let results = measure::run(self.arch, providers)?;
        let rows = goals::rows(&results);
        if self.json {
            let document =
                json!({ "reference": results.reference, "module": results.module, "goals": rows });
            println!("{document:#}");
        } else {
            println!("{}", goals::table(&rows));
            println!(
                "\nUNPIN and PIN of one page among other unpinned ranges, ns:\n\n{}",
                goals::ranges(&results)
            );
            println!("\nThe calls of one life, ns:\n\n{}", goals::pieces(&results));
        }
        let chart = chart::svg(&results);
        let plot = match self.plot {
            Some(file) => file,
            None => workspace::cache("bench")?.join("ranges.svg"),
        };
        std::fs::write(&plot, &chart)
            .with_context(|| format!("writing the plot {}", plot.display()))?;
        eprintln!("plot: {}", plot.display());
        if self.record {
            record::write(&results, &rows, &chart)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn traced(&self) -> Result<ExitCode> {
        host::ensure(&[Line::V6_1.into()])?;
        let report = trace::measure()?;
        self.show(&report, &report.table())
    }

    fn on_host(&self) -> Result<ExitCode> {
        host::ensure(&[])?;
        let report = run::measure()?;
        self.show(&report, &report.table())
    }

    fn show(&self, figures: &impl Serialize, table: &Table) -> Result<ExitCode> {
        if self.json {
            println!("{:#}", serde_json::to_value(figures).context("writing the figures as JSON")?);
        } else {
            println!("{table}");
        }
        Ok(ExitCode::SUCCESS)
    }
}
