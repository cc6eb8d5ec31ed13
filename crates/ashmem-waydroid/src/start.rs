// SPDX-License-Identifier: MIT OR Apache-2.0
//! What one start of the container needs beside Waydroid's own configuration.
//!
//! It is written to `/run`, where each start replaces it: a configuration that includes Waydroid's,
//! so that what `waydroid upgrade` or the user put there holds, followed by
//!
//! - the device's two names. The long one ends in the id of this boot, which libcutils reads where
//!   the host does: `/proc` in the container says the same;
//! - under the agent, the program by which the container's first program joins it, with the
//!   agent's socket beside it, and a command that begins with it: Waydroid's policy stays as it is;
//! - Android's properties once more, if `sys.use_memfd` has to say something else. Waydroid decides
//!   that by what it finds when it is initialised or upgraded.
//!
//! # `sys.use_memfd`
//!
//! With the module it is off: Android's own libraries then use the device, with its protection mask
//! and its purging. With the agent it is on: a memfd costs them no notification, the agent answers
//! ashmem's ioctls on it too, which is what Android 16 asks of a memfd, and whoever opens the
//! device itself is answered. With neither it is on, for there is nothing else.

use crate::config::{self, Config};
use crate::host::{FileError, HostFiles};
use crate::provider::{AGENT_SOCKET, JOIN, Lack, Mode, Provider, When, choose};
use crate::waydroid::{CONFIG, PROPERTIES};

/// Where a start's files lie.
pub const DIRECTORY: &str = "/run/ashmem/waydroid";
/// The files that there may be; `seccomp` is an earlier version's.
const NAMES: [&str; 3] = ["config", "seccomp", "waydroid.prop"];
/// Where the container finds what it joins by.
const JOIN_INSIDE: &str = "dev/.ashmem-join";
const SOCKET_INSIDE: &str = "dev/.ashmem-join.sock";
/// Where Android's init reads its properties, in the container.
const PROPERTIES_INSIDE: &str = "vendor/waydroid.prop";
const USE_MEMFD: &str = "sys.use_memfd";

/// Why a start is left as Waydroid has it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Waydroid has no container yet.
    #[error("Waydroid is not initialised ({CONFIG} is not there): run `sudo waydroid init`")]
    NotInitialised,
    /// Its configuration is not as LXC reads it.
    #[error("Waydroid's configuration is damaged: {0}; `sudo waydroid upgrade -o` writes it anew")]
    Damaged(#[from] config::Error),
    /// A setting is not there without which nothing can be added.
    #[error(
        "Waydroid's configuration has no {0}: this is none that Waydroid 1.4 to 1.6 writes, so \
         nothing is added to it; `sudo waydroid upgrade -o` writes it anew"
    )]
    Unknown(&'static str),
    /// Somebody else's settings are in the way.
    #[error(
        "Waydroid's configuration has {key} = {value} of another's: take it out of {CONFIG} first"
    )]
    Taken {
        /// The setting.
        key: &'static str,
        /// What it says.
        value: String,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What one start needs.
#[derive(Debug)]
pub struct ContainerStart {
    /// Who serves; nobody where neither can.
    pub provider: Option<Provider>,
    /// What speaks against those that were tried and do not.
    pub lacks: Vec<Lack>,
    /// What Android is told of memfd.
    pub use_memfd: bool,
    /// What Waydroid would have told it, if its properties are written.
    pub was_use_memfd: Option<bool>,
    /// The files, by name and text.
    files: Vec<(&'static str, String)>,
}

impl ContainerStart {
    /// Looks at the machine and at Waydroid's configuration; changes nothing but that it may load
    /// the module where `when` is now.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn plan(host: &HostFiles, mode: Mode, when: When) -> Result<Self, Error> {
        let config = read(host)?;
        let (provider, lacks) = choose(host, mode, when);
        let mut lines = Vec::new();
        let mut files = Vec::new();
        match provider {
            Some(Provider::Module) => lines.extend(names(host, &config, "/dev/ashmem")?),
            Some(Provider::Agent) => {
                lines.extend(names(host, &config, "/dev/full")?);
                lines.extend(joins(&config));
            }
            None => {}
        }
        let use_memfd = provider != Some(Provider::Module);
        let properties = host.read(PROPERTIES).ok();
        let was_use_memfd = properties.as_deref().map(says_memfd);
        if let Some(text) = properties.filter(|text| says_memfd(text) != use_memfd) {
            files.push(("waydroid.prop", with_memfd(&text, use_memfd)));
            lines.push(format!(
                "lxc.mount.entry = {DIRECTORY}/waydroid.prop {PROPERTIES_INSIDE} none \
                 bind,optional 0 0"
            ));
        }
        if !lines.is_empty() {
            let ours: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let head = "# Written by ashmem at each start of Waydroid's container; see `ashmem \
                        waydroid status`.";
            files.push(("config", format!("{head}\nlxc.include = {CONFIG}\n{ours}")));
        }
        Ok(Self { provider, lacks, use_memfd, was_use_memfd, files })
    }

    /// Writes the files; the configuration for LXC, or none where Waydroid's needs nothing beside
    /// it.
    ///
    /// # Errors
    /// A file could not be written.
    pub fn write(&self, host: &HostFiles) -> Result<Option<String>, FileError> {
        for (name, text) in &self.files {
            host.write(&format!("{DIRECTORY}/{name}"), text)?;
        }
        let has_config = self.files.iter().any(|(name, _)| *name == "config");
        Ok(has_config.then(|| format!("{DIRECTORY}/config")))
    }

    /// What there is to tell of it, in one line.
    pub fn summary(&self) -> String {
        let why = self.lacks.iter().map(|lack| format!("; {lack}")).collect::<String>();
        let memfd = if self.use_memfd { "on" } else { "off" };
        match self.provider {
            Some(provider) => format!("/dev/ashmem by the {provider}, {USE_MEMFD} {memfd}{why}"),
            None => format!("the container starts without /dev/ashmem, {USE_MEMFD} {memfd}{why}"),
        }
    }
}

/// Removes what a start has written.
///
/// # Errors
/// A file is still there.
pub fn clear(host: &HostFiles) -> Result<(), FileError> {
    NAMES.iter().try_for_each(|name| host.remove(&format!("{DIRECTORY}/{name}")))?;
    // Not ours alone where it is not empty.
    let _ = std::fs::remove_dir(host.at(DIRECTORY));
    Ok(())
}

/// Waydroid's configuration, if it is one.
fn read(host: &HostFiles) -> Result<Config, Error> {
    if !host.at(CONFIG).exists() {
        return Err(Error::NotInitialised);
    }
    let config = Config::read(host, CONFIG)?;
    for key in ["lxc.rootfs.path", "lxc.seccomp.profile"] {
        if config.value(key).is_none_or(str::is_empty) {
            return Err(Error::Unknown(key));
        }
    }
    if config.mounted_at("dev") != Some("tmpfs") {
        return Err(Error::Unknown("lxc.mount.entry of a tmpfs at dev"));
    }
    if let Some(value) = config.value("lxc.seccomp.notify.proxy") {
        return Err(Error::Taken { key: "lxc.seccomp.notify.proxy", value: value.to_owned() });
    }
    match config.mounted_at("dev/ashmem") {
        None | Some("/dev/ashmem") => Ok(config),
        Some(value) => {
            Err(Error::Taken { key: "lxc.mount.entry at dev/ashmem", value: value.to_owned() })
        }
    }
}

/// The entries that put a node at the device's names, where Waydroid has not.
fn names(host: &HostFiles, config: &Config, node: &str) -> Result<Vec<String>, FileError> {
    let names = ["dev/ashmem".to_owned(), format!("dev/ashmem{}", host.boot_id()?)];
    let missing = names.iter().filter(|name| config.mounted_at(name) != Some(node));
    Ok(missing
        .map(|name| format!("lxc.mount.entry = {node} {name} none bind,create=file,optional 0 0"))
        .collect())
}

/// The settings by which the container's first program joins the agent. What it takes lies in
/// `/dev`, which is a tmpfs: Android's own file system may be read-only. If the agent is gone by
/// then, the container starts all the same, and `waydroid log` says why it has no device.
fn joins(config: &Config) -> [String; 3] {
    let init = config.value("lxc.init.cmd").filter(|init| !init.is_empty()).unwrap_or("/sbin/init");
    [
        format!("lxc.mount.entry = {JOIN} {JOIN_INSIDE} none bind,ro,create=file 0 0"),
        format!("lxc.mount.entry = {AGENT_SOCKET} {SOCKET_INSIDE} none bind,create=file 0 0"),
        format!("lxc.init.cmd = /{JOIN_INSIDE} --agent /{SOCKET_INSIDE} --or-without -- {init}"),
    ]
}

/// What Android reads in these properties, by the words that it takes for true.
fn says_memfd(properties: &str) -> bool {
    let value = properties
        .lines()
        .rev()
        .find_map(|line| line.trim().strip_prefix(USE_MEMFD)?.strip_prefix('='));
    value.is_some_and(|value| ["1", "y", "yes", "on", "true"].contains(&value))
}

/// The properties with another answer.
fn with_memfd(properties: &str, value: bool) -> String {
    let is_ours =
        |line: &&str| line.trim().strip_prefix(USE_MEMFD).is_some_and(|rest| rest.starts_with('='));
    let kept: String =
        properties.lines().filter(|line| !is_ours(line)).map(|line| format!("{line}\n")).collect();
    format!("{kept}{USE_MEMFD}={value}\n")
}

#[cfg(test)]
mod tests {
    use super::{says_memfd, with_memfd};

    #[test]
    fn the_property_is_read_as_android_reads_it() {
        assert!(says_memfd("a=b\nsys.use_memfd=true\n"));
        assert!(says_memfd("sys.use_memfd=false\nsys.use_memfd=1"));
        assert!(!says_memfd("sys.use_memfd=false\n"));
        assert!(!says_memfd("sys.use_memfd_too=true\n"));
        assert!(!says_memfd(""));
    }

    #[test]
    fn one_answer_is_left_of_it() {
        let text =
            with_memfd("a=b\nsys.use_memfd=true\nsys.use_memfd_too=1\nsys.use_memfd=1\n", false);
        assert_eq!(text, "a=b\nsys.use_memfd_too=1\nsys.use_memfd=false\n");
    }
}
