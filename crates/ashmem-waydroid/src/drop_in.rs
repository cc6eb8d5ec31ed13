// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one file in `/etc`: a drop-in of Waydroid's service, by which it finds our `lxc-start`
//! before LXC's.
//!
//! Why the service's PATH, and not an edit of what LXC reads: Waydroid writes those files anew with
//! each `waydroid init` and `upgrade`, and starts the container at once; whoever watches them and
//! adds his lines comes too late now and then. Every start by the service passes here, after all
//! that Waydroid does for it. A directory that is not there (this package is removed) is passed
//! over, and all is as it was.

use crate::host::HostFiles;
use crate::provider::{AGENT_UNIT, Mode};
use crate::waydroid::SERVICE;

/// The file.
pub const PATH: &str = "/etc/systemd/system/waydroid-container.service.d/50-ashmem.conf";
/// The directory it lies in.
pub const FOLDER: &str = "/etc/systemd/system/waydroid-container.service.d";
/// What a write that was cut off leaves.
pub const PART: &str = "/etc/systemd/system/waydroid-container.service.d/50-ashmem.part";
/// The directory in which our `lxc-start` lies.
pub const PROGRAMS: &str = "/usr/lib/ashmem/waydroid";
/// The variable that carries the mode.
pub const MODE: &str = "ASHMEM_WAYDROID_MODE";

/// What systemd gives services where nobody says otherwise.
const USUAL: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const FOLDER_MADE: &str = "# The folder was made with it.\n";

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropIn {
    /// Which of the two may serve.
    pub mode: Mode,
    /// Where the service finds programs without us.
    pub search: String,
    /// Whether the folder is to go with the file.
    pub made_folder: bool,
}

/// How the file stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is not there.
    Nothing,
    /// It is as we wrote it.
    Ours(DropIn),
    /// Somebody has changed it, or wrote another by its name.
    Foreign,
}

impl DropIn {
    /// The file as it should be on this machine.
    pub fn new(host: &HostFiles, mode: Mode) -> Self {
        let made_folder = match Self::find(host) {
            Found::Ours(before) => before.made_folder,
            _ => !host.at(FOLDER).is_dir(),
        };
        Self { mode, search: search(host), made_folder }
    }

    /// The file that is there.
    pub fn find(host: &HostFiles) -> Found {
        if host.at(PATH).symlink_metadata().is_err() {
            return Found::Nothing;
        }
        let text = host.read(PATH).unwrap_or_default();
        match Self::parse(&text).filter(|found| found.text() == text) {
            Some(found) => Found::Ours(found),
            None => Found::Foreign,
        }
    }

    /// Its text.
    pub fn text(&self) -> String {
        let Self { mode, search, made_folder } = self;
        let made_folder = if *made_folder { FOLDER_MADE } else { "" };
        let agent = if mode.allows_agent() {
            format!("[Unit]\nWants={AGENT_UNIT}\nAfter={AGENT_UNIT}\n\n")
        } else {
            String::new()
        };
        format!(
            "# Written by `ashmem waydroid enable`, removed by `ashmem waydroid disable`; not to \
             be edited.\n\
             # {PROGRAMS}/lxc-start adds /dev/ashmem to each start of the container.\n\
             {made_folder}\n\
             {agent}[Service]\n\
             Environment=PATH={PROGRAMS}:{search}\n\
             Environment={MODE}={mode}\n"
        )
    }

    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            text.lines().find_map(|line| line.strip_prefix("Environment=")?.strip_prefix(key))
        };
        let mode = value(&format!("{MODE}="))?;
        let mode = Mode::ALL.into_iter().find(|known| known.name() == mode)?;
        let search = value(&format!("PATH={PROGRAMS}:"))?.to_owned();
        Some(Self { mode, search, made_folder: text.contains(FOLDER_MADE) })
    }
}

/// Where Waydroid's service finds programs without us: by its unit, by systemd's own setting, or as
/// usual.
fn search(host: &HostFiles) -> String {
    let ours = format!("{PROGRAMS}:");
    let path_in = |text: &str| {
        let word = text
            .split_whitespace()
            .rev()
            .find_map(|word| word.trim_matches('"').strip_prefix("PATH="))?;
        Some(word.strip_prefix(&ours).unwrap_or(word).to_owned())
    };
    let unit = host.answer("systemctl", &["show", "--property=Environment", "--value", SERVICE]);
    let manager = || host.answer("systemctl", &["show-environment"]);
    unit.and_then(|text| path_in(&text))
        .or_else(|| manager().and_then(|text| path_in(&text)))
        .filter(|path| path.split(':').all(|place| place.starts_with('/')))
        .unwrap_or_else(|| USUAL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::DropIn;
    use crate::provider::Mode;

    #[test]
    fn what_is_written_is_read_again() {
        for mode in Mode::ALL {
            for made_folder in [false, true] {
                let drop_in = DropIn { mode, search: "/usr/bin:/bin".to_owned(), made_folder };
                assert_eq!(DropIn::parse(&drop_in.text()), Some(drop_in));
            }
        }
    }
}
