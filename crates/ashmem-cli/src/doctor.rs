// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem doctor`: why /dev/ashmem works here or does not.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use ashmem_agent::notice;
use ashmem_doctor::distribution::Distribution;
use ashmem_doctor::explain::Log;
use ashmem_doctor::image::ImageReport;
use ashmem_doctor::log_reader::LogReader;
use ashmem_doctor::screen::{self, DiagnosisScreen, ImageScreen};
use ashmem_doctor::way::{AskedMode, Way};
use ashmem_doctor::{Diagnosis, Host};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use crate::ending::tell;
use crate::output::{print, print_coloured};

/// The exit status if the checks could not run, or their result not be written.
const FAILED: u8 = 2;

/// Say why /dev/ashmem works here or does not, and which command helps
///
/// Checks the kernel, the module (loaded, built for this kernel and the next, signed), Secure Boot,
/// the device's node and second name, memfd, seccomp notification, the agent, container runtimes,
/// running containers layer by layer, binder, the other devices that Android asks for, Waydroid and
/// the page size. It changes nothing: it tries things in a child process or on a region of its own.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  ashmem doctor
  ashmem doctor --mode module                      # only the module counts
  sudo ashmem doctor --root /proc/4711/root        # a running container's files, seen from outside
  ashmem doctor --json --mode module | jq '.checks[] | select(.status == \"fault\")'
  ashmem doctor --image /var/lib/waydroid/images/system.img    # what an image will ask for
  logcat -d | ashmem doctor explain                # from a message to its cause

Exit status: 0 if the mode that --mode names works (auto: if any does), 1 if not, 2 if the checks
could not run. With --image: 0 if it is Android's and for this machine's processor, 1 if not."
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
    /// Look at an image of Android instead: a root directory, or a file with ext4, sparse or not
    /// (system.img; a vendor.img beside it is read too)
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["root", "mode"])]
    image: Option<PathBuf>,
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
/// Knows what Android (logcat, in any of its formats), the kernel (dmesg), Waydroid, LXC, container
/// engines, Kubernetes, modprobe, DKMS, compilers and package managers say about shared memory, and
/// about binder and the other devices that Android asks for. A line counts only if it names its
/// subject. Commands are those of the distribution that the log comes from, if it tells.
#[derive(Args)]
#[command(after_help = "\
Examples:
  logcat -d | ashmem doctor explain
  sudo dmesg | ashmem doctor explain
  ashmem doctor explain < /var/lib/waydroid/waydroid.log
  echo 'Module ashmem_linux not found' | ashmem doctor explain

Exit status: 0 if at least one line's trouble was explained, 1 if nothing is wrong or nothing is
known (the last lines say which), 2 if the input could not be read or is no text.")]
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
            None => match &self.image {
                Some(image) => self.look_at_image(image),
                None => self.look(),
            },
        };
        match done {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                tell(&error);
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
            print_coloured(&DiagnosisScreen(&diagnosis).to_string())?;
        }
        Ok(diagnosis.works)
    }
}

impl Arguments {
    /// Whether the image is Android's, and for this machine.
    fn look_at_image(&self, path: &Path) -> Result<bool> {
        let image = ImageReport::make(path)?;
        if self.json {
            print_json(&image)?;
        } else if !self.quiet {
            print_coloured(&ImageScreen(&image).to_string())?;
        }
        Ok(image.is_android() && image.is_for_this_machine != Some(false))
    }
}

impl Explain {
    /// Whether any trouble was explained.
    fn run(&self) -> Result<bool> {
        if std::io::stdin().is_terminal() {
            notice!("paste lines of a log, then Ctrl-D:");
        }
        let mut log = Log::default();
        let mut input =
            LogReader::new(std::io::stdin().lock()).context("reading standard input")?;
        while let Some(line) = input.next_line().context("reading standard input")? {
            log.add(&line);
        }
        let explanation = log.explain(|| Distribution::of(&Host::here()));
        if self.json {
            print_json(&explanation)?;
        } else {
            print_coloured(&screen::Causes(&explanation).to_string())?;
        }
        Ok(!explanation.explained.is_empty())
    }
}

fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).context("putting the result into JSON")?;
    print(&(text + "\n"))
}
