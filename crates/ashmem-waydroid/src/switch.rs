// SPDX-License-Identifier: MIT OR Apache-2.0
//! Enabling and disabling: one file, and systemd told of it.

use std::fs;

use crate::drop_in::{DropIn, FOLDER, Found, PART, PATH, PROGRAMS};
use crate::host::{FileError, HostFiles};
use crate::provider::{AGENT_UNIT, Lack, Mode, Provider, When, choose};
use crate::start::{self, ContainerStart};
use crate::waydroid::{self, SERVICE, WaydroidContainer};

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to enable it for.
    #[error(
        "Waydroid is not installed: systemd knows no {SERVICE}; install it first, e.g. `sudo apt \
         install waydroid`"
    )]
    NoWaydroid,
    /// Waydroid is started by something else.
    #[error(
        "this system was not started by systemd (/run/systemd/system is not there), so there is no \
         service to change; put {PROGRAMS} first in the PATH of whatever runs `waydroid container \
         start`, which is all that enabling does"
    )]
    NoSystemd,
    /// Our own half is not there.
    #[error("{PROGRAMS}/lxc-start is not there: install the package ashmem")]
    NoProgram,
    /// Neither can serve.
    #[error(
        "nothing here can answer /dev/ashmem in the mode {mode}, so nothing was changed:{}",
        .lacks.iter().map(|lack| format!("\n  {lack}")).collect::<String>()
    )]
    NoProvider {
        /// The mode.
        mode: Mode,
        /// Why not.
        lacks: Vec<Lack>,
    },
    /// Not ours to replace or remove.
    #[error(
        "{PATH} is not as `ashmem waydroid enable` writes it, so it was left alone: look at it, \
         and remove it yourself if nobody needs it"
    )]
    Foreign,
    /// Waydroid's configuration is not one to build on.
    #[error("{0}; nothing was changed")]
    Configuration(start::Error),
    /// A file could not be written or removed.
    #[error("{0}; nothing was changed")]
    File(#[from] FileError),
    /// systemd did not take it.
    #[error("`systemctl daemon-reload` failed ({0}); {PATH} was put back as it was")]
    Reload(String),
    /// systemd could not restart Waydroid's service.
    #[error(
        "`systemctl restart {SERVICE}` failed ({0}), and what was switched waits for it: \
         `systemctl status {SERVICE}` says why"
    )]
    Restart(String),
}

/// What was done, and what is left for the user to do.
#[derive(Debug, Default)]
pub struct SwitchReport {
    /// What was done, or would be.
    pub done: Vec<String>,
    /// What there is to know beside.
    pub notes: Vec<String>,
    /// The commands that complete it.
    pub next: Vec<String>,
}

/// What makes the running service see the change; the session of Waydroid's user ends with it.
pub const RESTART: &str = "sudo systemctl restart waydroid-container.service";

/// Gives Waydroid the device from its service's next start on. With `dry` it only says what it
/// would do.
///
/// # Errors
/// See [`Error`]; nothing is half done.
pub fn enable(host: &HostFiles, mode: Mode, dry: bool) -> Result<SwitchReport, Error> {
    if !host.runs_systemd() {
        return Err(Error::NoSystemd);
    }
    if !waydroid::is_installed(host) {
        return Err(Error::NoWaydroid);
    }
    if !host.at(&format!("{PROGRAMS}/lxc-start")).exists() {
        return Err(Error::NoProgram);
    }
    let when = if dry { When::Later } else { When::Now };
    let (provider, lacks) = rehearse(host, mode, when);
    let Some(provider) = provider else { return Err(Error::NoProvider { mode, lacks }) };
    let mut report = SwitchReport::default();
    report.notes.extend(lacks.iter().map(ToString::to_string));
    match ContainerStart::plan(host, mode, When::Later) {
        Ok(_) => {}
        Err(start::Error::NotInitialised) => report.notes.push(
            "Waydroid is not initialised yet: run `sudo waydroid init`; what was enabled here \
             holds then too"
                .to_owned(),
        ),
        Err(error) => return Err(Error::Configuration(error)),
    }
    let wanted = DropIn::new(host, mode);
    let found = DropIn::find(host);
    match &found {
        Found::Foreign => return Err(Error::Foreign),
        Found::Ours(found) if *found == wanted => {
            report.done.push(format!("enabled already, in the mode {mode}: nothing was changed"));
        }
        _ if dry => report.done.push(format!("would write {PATH}:\n\n{}", wanted.text())),
        _ => {
            replace(host, &found, Some(&wanted))?;
            report.done.push(format!("wrote {PATH}"));
            report.done.push(format!(
                "the container's /dev/ashmem: by the {provider} as things stand (mode {mode})"
            ));
        }
    }
    report.next.extend(restart_if_stale(host, Some(mode)));
    Ok(report)
}

/// Takes it back, wholly. With `dry` it only says what it would do.
///
/// # Errors
/// See [`Error`].
pub fn disable(host: &HostFiles, dry: bool) -> Result<SwitchReport, Error> {
    let mut report = SwitchReport::default();
    let found = DropIn::find(host);
    let has_part = host.at(PART).exists();
    match &found {
        Found::Foreign => return Err(Error::Foreign),
        Found::Nothing if !has_part => {
            report.done.push("it was not enabled: nothing was changed".to_owned())
        }
        _ if dry => report.done.push(format!("would remove {PATH}")),
        _ => {
            host.remove(PART)?;
            replace(host, &found, None)?;
            report.done.push(format!("removed {PATH}"));
        }
    }
    if dry {
        return Ok(report);
    }
    report.next.extend(restart_if_stale(host, None));
    if WaydroidContainer::running(host).is_none() {
        start::clear(host)?;
    }
    if host.answer("systemctl", &["is-enabled", AGENT_UNIT]).is_none()
        && host.answer("systemctl", &["is-active", AGENT_UNIT]).is_some()
    {
        report.notes.push(format!(
            "{AGENT_UNIT} stays open until the next boot; `sudo systemctl stop {AGENT_UNIT} \
             ashmem-agent.service` after the restart closes it, if no other container needs it"
        ));
    }
    Ok(report)
}

/// Restarts the service, where that is what was left to do. Under another root nothing is run, and
/// it stays to be done.
///
/// # Errors
/// systemd could not; what was switched stays so.
pub fn take_effect(host: &HostFiles, report: &mut SwitchReport) -> Result<(), Error> {
    if report.next.is_empty() {
        return Ok(());
    }
    let Some(mut restart) = host.program("systemctl") else { return Ok(()) };
    match restart.args(["restart", SERVICE]).output() {
        Ok(output) if output.status.success() => {
            report.next.clear();
            report.done.push(format!("restarted {SERVICE}"));
            Ok(())
        }
        Ok(output) => {
            Err(Error::Restart(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
        }
        Err(error) => Err(Error::Restart(error.to_string())),
    }
}

/// Who would serve when Waydroid's service is started. The module is loaded, to see whether the
/// kernel takes it; the agent's socket need not be there yet, for the drop-in brings it.
fn rehearse(host: &HostFiles, mode: Mode, when: When) -> (Option<Provider>, Vec<Lack>) {
    let mut lacks = Vec::new();
    for (part, allowed, when) in [
        (Mode::Module, mode.allows_module(), when),
        (Mode::Agent, mode.allows_agent(), When::Later),
    ] {
        if allowed {
            match choose(host, part, when) {
                (Some(provider), _) => return (Some(provider), lacks),
                (None, reasons) => lacks.extend(reasons),
            }
        }
    }
    (None, lacks)
}

/// Puts the file in the place of the one that was found, and tells systemd; or puts that one back.
fn replace(host: &HostFiles, found: &Found, wanted: Option<&DropIn>) -> Result<(), Error> {
    put(host, found, wanted)?;
    let Some(mut reload) = host.program("systemctl") else { return Ok(()) };
    let said = match reload.arg("daemon-reload").output() {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    let before = if let Found::Ours(before) = found { Some(before) } else { None };
    let now = wanted.map_or(Found::Nothing, |wanted| Found::Ours(wanted.clone()));
    put(host, &now, before)?;
    Err(Error::Reload(said))
}

fn put(host: &HostFiles, found: &Found, wanted: Option<&DropIn>) -> Result<(), FileError> {
    match (found, wanted) {
        (_, Some(wanted)) => host.write(PATH, &wanted.text()).inspect_err(|_| {
            if wanted.made_folder {
                let _ = fs::remove_dir(host.at(FOLDER));
            }
        }),
        (found, None) => {
            host.remove(PATH)?;
            if matches!(found, Found::Ours(DropIn { made_folder: true, .. })) {
                // One that somebody has put another file into stays.
                let _ = fs::remove_dir(host.at(FOLDER));
            }
            Ok(())
        }
    }
}

/// The restart, where the running service was started with another mode than this.
fn restart_if_stale(host: &HostFiles, mode: Option<Mode>) -> Option<String> {
    let pid = waydroid::service_pid(host)?;
    (service_mode(host, pid).as_deref() != mode.map(Mode::name)).then(|| RESTART.to_owned())
}

/// The mode that the running service was started with.
pub(crate) fn service_mode(host: &HostFiles, pid: u32) -> Option<String> {
    let finds_ours = waydroid::service_variable(host, pid, "PATH")?.starts_with(PROGRAMS);
    finds_ours.then(|| waydroid::service_variable(host, pid, crate::drop_in::MODE)).flatten()
}
