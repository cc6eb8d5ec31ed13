// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem waydroid`: /dev/ashmem in Waydroid's container.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use ashmem_agent::notice;
use ashmem_waydroid::host::HostFiles;
use ashmem_waydroid::provider::{self, When};
use ashmem_waydroid::start::ContainerStart;
use ashmem_waydroid::status::WaydroidStatus;
use ashmem_waydroid::switch::{self, SwitchReport};
use clap::{Args, Subcommand, ValueEnum};

use crate::ending::ending_with;
use crate::output::print;

/// Give Waydroid's container /dev/ashmem, and keep it there
///
/// Waydroid looks for the device only when it is initialised or upgraded, and never for
/// /dev/ashmem<boot_id>, which Android 16 opens. Once enabled, each start of its container gets
/// both names, from the kernel module or the agent, and the fitting sys.use_memfd: after a reboot,
/// a kernel update or `waydroid upgrade` too. No file of Waydroid's is changed; `disable` removes
/// everything again.
#[derive(Args)]
#[command(after_help = "\
Examples:
  sudo ashmem waydroid enable --now   # restarts Waydroid's service, if it runs: its session ends
  ashmem waydroid status
  ashmem waydroid enable --dry-run")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Status(StatusArguments),
    Enable(Enable),
    Disable(Disable),
    #[command(hide = true)]
    Prepare(Prepare),
}

/// Show whether it is enabled, what would serve the device, and what the running container has
#[derive(Args)]
#[command(after_help = "Exit status: 0 if it is enabled and the device is, or would be, in the \
                        container; 1 if not; it prints the problems and the commands that solve \
                        them.")]
struct StatusArguments {
    /// Print one JSON object
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// Print nothing; see the exit status
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    place: RootArgument,
}

/// Give the container /dev/ashmem from the next start of Waydroid's service on
#[derive(Args)]
#[command(after_help = "\
Writes one file, /etc/systemd/system/waydroid-container.service.d/50-ashmem.conf, and reloads
systemd.

Exit status: 0 if it is enabled now, or was; 1 if it could not be enabled: it prints the reason
and changes nothing.")]
struct Enable {
    /// What may serve the device
    #[arg(long, value_name = "MODE", default_value = "auto")]
    mode: ModeArgument,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Restart Waydroid's service if it runs without the device; its session ends
    #[arg(long, conflicts_with = "dry_run")]
    now: bool,
    #[command(flatten)]
    place: RootArgument,
}

/// Remove everything that `enable` added
#[derive(Args)]
#[command(
    after_help = "Exit status: 0 if everything is removed; 1 if something could not be removed: it \
                  prints the reason."
)]
struct Disable {
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Restart Waydroid's service if it runs with the device; its session ends
    #[arg(long, conflicts_with = "dry_run")]
    now: bool,
    #[command(flatten)]
    place: RootArgument,
}

/// Write what a start of the container needs to /run/ashmem/waydroid, and print the configuration's
/// path for lxc-start
#[derive(Args)]
struct Prepare {
    /// What may serve the device
    #[arg(long, value_name = "MODE", default_value = "auto")]
    mode: ModeArgument,
    #[command(flatten)]
    place: RootArgument,
}

#[derive(Args)]
struct RootArgument {
    /// Use the files below this directory instead of /, and run no program of it
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum ModeArgument {
    /// The kernel module if there is one for the running kernel, else the agent
    Auto,
    /// Only the kernel module
    Module,
    /// Only the agent, through LXC's seccomp notifications
    Agent,
}

impl From<ModeArgument> for provider::Mode {
    fn from(mode: ModeArgument) -> Self {
        match mode {
            ModeArgument::Auto => Self::Auto,
            ModeArgument::Module => Self::Module,
            ModeArgument::Agent => Self::Agent,
        }
    }
}

impl RootArgument {
    fn host(self) -> HostFiles {
        HostFiles::new(self.root)
    }
}

impl Arguments {
    pub(crate) fn run(self) -> ExitCode {
        let done = match self.verb {
            Verb::Status(verb) => verb.show(),
            Verb::Enable(verb) => verb.switch(),
            Verb::Disable(verb) => verb.switch(),
            Verb::Prepare(verb) => verb.write(),
        };
        ending_with(done)
    }
}

impl StatusArguments {
    fn show(self) -> Result<ExitCode> {
        let status = WaydroidStatus::of(&self.place.host());
        let text = if self.quiet {
            String::new()
        } else if self.json {
            serde_json::to_string_pretty(&status)? + "\n"
        } else {
            words(&status)
        };
        print(&text)?;
        Ok(if status.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Enable {
    fn switch(self) -> Result<ExitCode> {
        let host = self.place.host();
        tell(
            switch::enable(&host, self.mode.into(), self.dry_run).context("not enabled")?,
            &host,
            self.now,
        )
    }
}

impl Disable {
    fn switch(self) -> Result<ExitCode> {
        let host = self.place.host();
        tell(switch::disable(&host, self.dry_run).context("not disabled")?, &host, self.now)
    }
}

impl Prepare {
    /// Its errors end up in Waydroid's log.
    fn write(self) -> Result<ExitCode> {
        let host = self.place.host();
        let left = "the container starts as Waydroid has it";
        let start = ContainerStart::plan(&host, self.mode.into(), When::Now).context(left)?;
        let config = start.write(&host).context(left)?;
        notice!("{}", start.summary());
        if let Some(config) = config {
            print(&format!("{config}\n"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Says what was done, after it was made to take effect where that is wanted.
fn tell(mut report: SwitchReport, host: &HostFiles, now: bool) -> Result<ExitCode> {
    if now && !report.next.is_empty() {
        notice!("restarting Waydroid's service ...");
        switch::take_effect(host, &mut report)?;
    }
    let mut text: String = report.done.iter().map(|line| format!("{line}\n")).collect();
    text.extend(report.notes.iter().map(|note| format!("note: {note}\n")));
    if !report.next.is_empty() {
        text.push_str("Waydroid runs; this makes it take effect, and ends its session:\n");
        text.extend(report.next.iter().map(|command| format!("  {command}\n")));
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn words(status: &WaydroidStatus) -> String {
    let yes_or_no = |value| if value { "yes" } else { "no" };
    let named = |value: Option<String>| value.unwrap_or_else(|| "nobody".to_owned());
    let mut lines = vec![
        (
            "Waydroid",
            match (&status.version, status.installed) {
                (_, false) => "not installed".to_owned(),
                (version, true) => {
                    let state = if status.initialised { "initialised" } else { "not initialised" };
                    format!("{}, {state}", version.as_deref().unwrap_or("installed"))
                }
            },
        ),
        (
            "enabled",
            match status.mode {
                Some(mode) => format!("yes, in the mode {mode}"),
                None => "no".to_owned(),
            },
        ),
        ("would serve", named(status.provider.map(|provider| format!("the {provider}")))),
    ];
    if let Some(value) = status.use_memfd {
        lines.push(("sys.use_memfd", if value { "on" } else { "off" }.to_owned()));
    }
    if let Some(value) = status.service_has_it {
        lines.push(("service has it", yes_or_no(value).to_owned()));
    }
    lines.push((
        "container",
        match &status.container {
            None => "does not run".to_owned(),
            Some(container) => format!(
                "runs; /dev/ashmem {}, /dev/ashmem<boot_id> {}, answered by {}",
                yes_or_no(container.short_name),
                yes_or_no(container.long_name),
                named(container.provider.map(|provider| format!("the {provider}")))
            ),
        },
    ));
    let mut text: String =
        lines.iter().map(|(name, value)| format!("{name:16}{value}\n")).collect();
    text.extend(status.problems.iter().map(|problem| format!("problem: {problem}\n")));
    text.extend(status.next.iter().map(|command| format!("  {command}\n")));
    text
}
