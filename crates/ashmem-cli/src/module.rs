// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem module`: the kernel module, kernel by kernel.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use ashmem_doctor::Host;
use ashmem_doctor::module_state::{ModuleScreen, ModuleState};
use clap::{Args, Subcommand};

/// The exit status if nothing could be looked at, or the result not be written.
const FAILED: u8 = 2;

/// Say for which kernels the kernel module is there
#[derive(Args)]
#[command(after_help = "\
Examples:
  ashmem module status")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Status(Status),
}

/// Show each installed kernel, and whether a boot of it would have the module
///
/// For each kernel under /lib/modules: whether the module is there and was built for it, whether it
/// is signed, who put it there (DKMS, by which source and package, or the kernel's own package),
/// and what to type where it is not there. Then whether it is loaded, and whether a boot loads it.
/// It changes nothing. A driver that is built into a kernel is not seen: `ashmem doctor` sees the
/// running kernel's.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ashmem module status
  ashmem module status --json | jq -r '.kernels[] | select(.module != \"ready\") | .release'

Exit status: 0 if a boot of each installed kernel loads the module, 1 if not, 2 if nothing could be
looked at. Whether it is loaded now does not count. A kernel that demands signatures may still
refuse the module: `ashmem doctor` looks at that.")]
struct Status {
    /// Look at the files under this directory instead of this machine's
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) fn run(self) -> ExitCode {
        let Verb::Status(status) = self.verb;
        match status.show() {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("ashmem: {error:#}");
                FAILED.into()
            }
        }
    }
}

impl Status {
    /// Whether every kernel is ready.
    fn show(&self) -> Result<bool> {
        let host = match &self.root {
            None => Host::here(),
            Some(root) => Host::at(root).with_context(|| {
                format!(
                    "looking into {}: is it a directory that this user may enter? (sudo)",
                    root.display()
                )
            })?,
        };
        let state = ModuleState::read(&host);
        let text = if self.json {
            serde_json::to_string_pretty(&state).context("putting the result into JSON")? + "\n"
        } else {
            ModuleScreen(&state).to_string()
        };
        match std::io::stdout().write_all(text.as_bytes()) {
            // The reader has read enough: the exit status is still right.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            other => other.context("writing to standard output")?,
        }
        Ok(state.is_ready)
    }
}
