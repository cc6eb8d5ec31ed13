// SPDX-License-Identifier: MIT OR Apache-2.0
//! How it all stands, as one value that can be printed or read by a script.

use crate::drop_in::{DropIn, Found, PATH};
use crate::host::HostFiles;
use crate::provider::{Mode, Provider, When};
use crate::start::{ContainerStart, Error};
use crate::switch::{RESTART, service_mode};
use crate::waydroid::{self, WaydroidContainer};

/// The version of [`WaydroidStatus`]: it grows when a field changes its meaning or goes, not when
/// one comes.
pub const FORMAT: u32 = 1;

/// How things stand. docs/schemas/waydroid-status.json describes it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct WaydroidStatus {
    /// [`FORMAT`]; `version` is Waydroid's own.
    pub format: u32,
    /// Whether Waydroid's service is installed.
    pub installed: bool,
    /// Waydroid's version.
    pub version: Option<String>,
    /// Whether `waydroid init` was run.
    pub initialised: bool,
    /// Whether `ashmem waydroid enable` holds.
    pub enabled: bool,
    /// Which of the two may serve.
    pub mode: Option<Mode>,
    /// Who would serve at a start of the container now.
    pub provider: Option<Provider>,
    /// What `sys.use_memfd` would say in it.
    pub use_memfd: Option<bool>,
    /// Whether the running service has what was enabled; none while it does not run.
    pub service_has_it: Option<bool>,
    /// The running container.
    pub container: Option<WaydroidContainer>,
    /// What is wrong or not as good as it could be.
    pub problems: Vec<String>,
    /// The commands that mend it.
    pub next: Vec<String>,
}

impl WaydroidStatus {
    /// Looks at everything; changes nothing, loads nothing.
    pub fn of(host: &HostFiles) -> Self {
        let found = DropIn::find(host);
        let mode = if let Found::Ours(drop_in) = &found { Some(drop_in.mode) } else { None };
        let service = waydroid::service_pid(host);
        let mut status = Self {
            format: FORMAT,
            installed: waydroid::is_installed(host),
            version: waydroid::version(host),
            initialised: waydroid::is_initialised(host),
            enabled: mode.is_some(),
            mode,
            provider: None,
            use_memfd: None,
            service_has_it: service
                .map(|pid| service_mode(host, pid).as_deref() == mode.map(Mode::name)),
            container: WaydroidContainer::running(host),
            problems: Vec::new(),
            next: Vec::new(),
        };
        if found == Found::Foreign {
            status.problems.push(format!("{PATH} is not as `ashmem waydroid enable` writes it"));
        }
        if !status.installed {
            status.problems.push("Waydroid is not installed".to_owned());
            return status;
        }
        match ContainerStart::plan(host, mode.unwrap_or_default(), When::Later) {
            Ok(start) => {
                status.provider = start.provider;
                status.use_memfd = Some(start.use_memfd);
                // Where one serves, what speaks against the other is no problem.
                if start.provider.is_none() {
                    status.problems.extend(start.lacks.iter().map(ToString::to_string));
                }
            }
            Err(error) => {
                if matches!(error, Error::NotInitialised) {
                    status.next.push("sudo waydroid init".to_owned());
                }
                status.problems.push(error.to_string());
            }
        }
        if !status.enabled {
            status.next.push("sudo ashmem waydroid enable".to_owned());
        } else if status.service_has_it == Some(false) {
            status.problems.push(
                "Waydroid's service runs since before it was enabled, or in another mode"
                    .to_owned(),
            );
            status.next.push(RESTART.to_owned());
        } else if status.container.as_ref().is_some_and(|container| !container.is_complete()) {
            status.problems.push(
                "the running container lacks the device: it was started past the service \
                 (`waydroid container restart` does that), or neither the module nor the agent was \
                 there"
                    .to_owned(),
            );
            status.next.push(RESTART.to_owned());
        }
        status
    }

    /// Whether it is enabled, and a container that starts now, or runs, has the device.
    pub fn is_good(&self) -> bool {
        self.enabled && self.problems.is_empty()
    }
}
