// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem cdi`: the device for docker, podman, containerd and CRI-O.

mod spec;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use spec::Spec;

use crate::ending::ending;
use crate::output::print;

/// Print or write the CDI specification: --device android.dev/ashmem=all
///
/// Container engines that know CDI (Container Device Interface) then give a container both names of
/// the device, /dev/ashmem and /dev/ashmem<boot_id>, without --privileged. The second name changes
/// with each boot: write to /run/cdi, which a boot empties, and let ashmem-cdi.service do it anew,
/// which udev starts whenever the module's device appears.
#[derive(Args)]
#[command(after_help = "\
Examples:
  sudo ashmem cdi --output /run/cdi/ashmem.json
  podman run --device android.dev/ashmem=all …
  docker run --device android.dev/ashmem=all …
  ctr run --device android.dev/ashmem=all …

Docker before 28.3 wants \"features\": {\"cdi\": true} in daemon.json, containerd 1.7 wants
enable_cdi = true; newer ones take it as they are.

Exit status: 0 if it was written, 1 if there is no device or it could not be.")]
pub(crate) struct Arguments {
    /// Write here instead of to standard output; replaced whole, its folder made if missing
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn run(self) -> ExitCode {
        ending(self.write())
    }

    fn write(&self) -> Result<()> {
        let spec = Spec::of_host()?;
        match &self.output {
            Some(path) => spec.write(path)?,
            None => {
                print(&spec.to_json())?;
            }
        }
        Ok(())
    }
}
