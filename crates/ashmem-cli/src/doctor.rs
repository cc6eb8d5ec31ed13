// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem doctor`: why /dev/ashmem works here or does not.

use std::io::{BufRead, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use ashmem_doctor::explain::Explanation;
use ashmem_doctor::screen::{self, DiagnosisScreen};
use ashmem_doctor::way::{AskedMode, Way};
use ashmem_doctor::{Diagnosis, Host};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

/// The exit status if the checks could not run, or their result not be written.
const FAILED: u8 = 2;

/// Say why /dev/ashmem works here or does not, and which command helps
///
/// Checks the kernel, the module (loaded, built for this kernel and the next, signed), Secure Boot,
/// the device's node and second name, memfd, seccomp notification, the agent, container runtimes,
/// running containers, binder, Waydroid and the page size. It changes nothing: it tries things in a
/// child process or on a region of its own.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  ashmem doctor
  ashmem doctor --mode module                      # only the module counts
  sudo ashmem doctor --root /proc/4711/root        # a running container's files, seen from outside
  ashmem doctor --json | jq '.checks[] | select(.status == \"fault\")'
  logcat -d | ashmem doctor explain                # from a message to its cause

Exit status: 0 if the mode that --mode names works (auto: if any does), 1 if not, 2 if the checks
could not run."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The mode in which the device should work
    #[arg(long, value_name = "WAY", default_value = "auto")]
    mode: Asked,
    /// Check the files under this directory instead of this machine's; the kernel stays the running
    /// one
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// Print nothing; see the exit status
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Subcommand)]
enum Verb {
    Explain(Explain),
}

/// Name the cause of messages in a log, read from standard input
///
/// Knows the messages of Android (logcat), the kernel (dmesg), Waydroid, DKMS's builds, modprobe
/// and container runtimes about shared memory. It counts other lines, and shows those that name
/// ashmem or memfd.
#[derive(Args)]
#[command(after_help = "\
Examples:
  logcat -d | ashmem doctor explain
  sudo dmesg | ashmem doctor explain
  ashmem doctor explain < /var/lib/waydroid/waydroid.log
  echo 'Module ashmem_linux not found' | ashmem doctor explain

Exit status: 0 if at least one line was recognised, 1 if none was, 2 if the input could not be
read.")]
struct Explain {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Asked {
    /// Any of these
    Auto,
    /// The kernel's driver
    Module,
    /// ashmem agent, for containers
    Agent,
    /// ashmem run, for a program started with it
    Run,
}

impl From<Asked> for AskedMode {
    fn from(asked: Asked) -> Self {
        match asked {
            Asked::Auto => Self::Auto,
            Asked::Module => Self::Only(Way::Module),
            Asked::Agent => Self::Only(Way::Agent),
            Asked::Run => Self::Only(Way::Run),
        }
    }
}

impl Arguments {
    pub(crate) fn run(self) -> ExitCode {
        let done = match &self.verb {
            Some(Verb::Explain(explain)) => explain.run(),
            None => self.look(),
        };
        match done {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("ashmem: {error:#}");
                FAILED.into()
            }
        }
    }

    /// Whether what was asked for works.
    fn look(&self) -> Result<bool> {
        let host = match &self.root {
            None => Host::here(),
            Some(root) => Host::at(root).with_context(|| {
                format!(
                    "looking into {}: is it a directory that this user may enter? (sudo)",
                    root.display()
                )
            })?,
        };
        let diagnosis = Diagnosis::make(&host, self.mode.into());
        if self.json {
            print_json(&diagnosis)?;
        } else if !self.quiet {
            print(&DiagnosisScreen(&diagnosis).to_string())?;
        }
        Ok(diagnosis.works)
    }
}

impl Explain {
    /// Whether anything was recognised.
    fn run(&self) -> Result<bool> {
        if std::io::stdin().is_terminal() {
            eprintln!("paste lines of a log, then Ctrl-D:");
        }
        let mut explanation = Explanation::default();
        for line in std::io::stdin().lock().split(b'\n') {
            let line = line.context("reading standard input")?;
            explanation.add(&String::from_utf8_lossy(&line));
        }
        if self.json {
            print_json(&explanation)?;
        } else {
            print(&screen::Causes(&explanation).to_string())?;
        }
        Ok(!explanation.explained.is_empty())
    }
}

/// With colours where they are wanted: on a terminal, unless NO_COLOR.
fn print(text: &str) -> Result<()> {
    written(write!(anstream::stdout(), "{text}"))
}

fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).context("putting the result into JSON")?;
    written(writeln!(std::io::stdout(), "{text}"))
}

/// A reader that stops (`| head`, `| grep -q`) has read enough: the exit status is still right.
fn written(result: std::io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.context("writing to standard output"),
    }
}
