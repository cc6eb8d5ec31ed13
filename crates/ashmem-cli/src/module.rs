// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem module`: the kernel module, kernel by kernel.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use ashmem_agent::notice;
use ashmem_doctor::Host;
use ashmem_doctor::module_state::{ModuleScreen, ModuleState};
use ashmem_module_install::{InstallPlan, InstallRequest, TargetMachine, remove};
use clap::{Args, Subcommand};

use crate::ending::tell;
use crate::output::print;

/// The exit status if nothing could be looked at, or the result not be written.
const FAILED: u8 = 2;

/// Install the kernel module, remove it, say for which kernels it is there
#[derive(Args)]
#[command(after_help = "\
Examples:
  sudo ashmem module install
  ashmem module status
  sudo ashmem module remove")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Install(Install),
    Remove(Remove),
    Status(Status),
}

/// Build the kernel module for the installed kernels, load it, and keep it over kernel updates
///
/// The module's source is part of this program. DKMS builds it where the distribution has DKMS;
/// elsewhere the kernel's own build system does, and the distribution is told to call this program
/// when kernels come. It is signed with the distribution's own key for modules, where there is one,
/// and loaded now and at each boot. What it needs, such as headers or a compiler, it names with the
/// command that installs it, before anything is changed. Interrupted or failing at any point, it
/// puts back what was there.
#[derive(Args)]
#[command(after_help = "\
Examples:
  sudo ashmem module install
  ashmem module install --dry-run
  sudo ashmem module install --kernel 6.1.0-53-amd64 --no-load
  sudo ashmem module install --root /mnt    # the system mounted there, by its own tools

Exit status: 0 if the module is installed, and loaded unless --no-load is given; 1 if not: it
prints why, and what was there before still is. `ashmem module remove` takes everything away.")]
struct Install {
    /// Build it for this kernel; may be given several times [default: each that has headers]
    #[arg(long, value_name = "RELEASE")]
    kernel: Vec<String>,
    /// This kernel is being removed, though its files may be there still: it loses its module
    #[arg(long, value_name = "RELEASE", hide = true)]
    gone: Vec<String>,
    /// Load nothing, and do not try the device
    #[arg(long)]
    no_load: bool,
    /// Use the kernel's own build system even where there is DKMS
    #[arg(long)]
    without_dkms: bool,
    /// Replace a newer version of the module
    #[arg(long)]
    downgrade: bool,
    #[command(flatten)]
    place: InstallPlace,
}

/// Remove everything that `install` brought, and unload the module
///
/// While programs use the module it stays loaded, with their regions whole. Interrupted, it is
/// finished by being run again.
#[derive(Args)]
#[command(after_help = "\
Exit status: 0 if everything is removed; 1 if not: it prints why. What a package of the
distribution's brought is left alone.")]
struct Remove {
    #[command(flatten)]
    place: InstallPlace,
}

#[derive(Args)]
struct InstallPlace {
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Enter this root directory first and use its tools; nothing is loaded
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
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
        let (done, failed) = match self.verb {
            Verb::Install(install) => (install.install().map(|()| true), 1),
            Verb::Remove(remove) => (remove.remove().map(|()| true), 1),
            Verb::Status(status) => (status.show(), FAILED),
        };
        match done {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                tell(&error);
                failed.into()
            }
        }
    }
}

impl InstallPlace {
    /// The machine, entered.
    fn enter(&self) -> Result<TargetMachine> {
        let path = std::env::current_exe().context("asking where this program lies")?;
        let program = File::open("/proc/self/exe").context("opening this program's own file")?;
        if !self.dry_run && !rustix::process::geteuid().is_root() {
            bail!("this needs root: run it with sudo (--dry-run shows what it would do)");
        }
        if let Some(root) = &self.root {
            std::env::set_current_dir(root)
                .and_then(|()| Ok(rustix::process::chroot(".")?))
                .with_context(|| format!("entering {} (as root)", root.display()))?;
        }
        let mut machine = TargetMachine::new(Host::here(), self.root.is_none());
        machine.program = Some((program, path));
        machine.say = |line| notice!("{line}");
        Ok(machine)
    }
}

impl Install {
    fn install(self) -> Result<()> {
        let machine = self.place.enter()?;
        let request = InstallRequest {
            kernels: self.kernel,
            gone: self.gone,
            load: !self.no_load,
            without_dkms: self.without_dkms,
            downgrade: self.downgrade,
        };
        if self.place.dry_run {
            let plan = InstallPlan::make(&machine, &request)?;
            return say(plan.notes.iter().cloned().chain(plan.steps(&machine)));
        }
        machine.watch_signals().context("taking notice of signals")?;
        say(ashmem_module_install::install(&machine, &request)?)
    }
}

impl Remove {
    fn remove(&self) -> Result<()> {
        let machine = self.place.enter()?;
        if self.place.dry_run {
            return say(remove::would_remove(&machine)?);
        }
        // Begun is finished.
        machine.watch_signals().context("taking notice of signals")?;
        say(ashmem_module_install::remove(&machine)?)
    }
}

/// Lines for the user.
fn say(lines: impl IntoIterator<Item = String>) -> Result<()> {
    let text: String = lines.into_iter().map(|line| line + "\n").collect();
    print(&text)
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
        print(&text)?;
        Ok(state.is_ready)
    }
}
