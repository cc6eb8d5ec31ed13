// SPDX-License-Identifier: MIT OR Apache-2.0
//! Debian's backports, for a machine that has a part of QEMU from there.
//!
//! Parts of two releases of QEMU exclude each other: on such a machine apt would remove that part
//! to install the release's own emulator. So the emulator comes from the backports too, and the
//! machine's list of sources stays as it is.

use crate::util::{process, workspace};
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The packages that have to be of one release with QEMU's other parts.
const EMULATORS: &str = "qemu-system-";

/// A part of QEMU that is installed from the backports: its name and version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Backport {
    package: String,
    version: String,
}

impl Backport {
    /// The one that this machine has, if it has one.
    pub(crate) fn of_host() -> Result<Option<Self>> {
        let list = process::capture(Command::new("dpkg-query").args([
            "--show",
            "--showformat",
            "${db:Status-Abbrev} ${source:Package} ${Package} ${Version}\n",
        ]))?;
        Ok(Self::among(&list))
    }

    fn among(list: &str) -> Option<Self> {
        list.lines().find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            match fields[..] {
                ["ii", "qemu", package, version] if version.contains("~bpo") => {
                    Some(Self { package: package.to_owned(), version: version.to_owned() })
                }
                _ => None,
            }
        })
    }

    /// Installs those of these packages that have to be of one release with it.
    pub(crate) fn install(&self, missing: &[&str], options: &[&str]) -> Result<()> {
        let emulators: Vec<_> =
            missing.iter().filter(|package| package.starts_with(EMULATORS)).collect();
        if emulators.is_empty() {
            return Ok(());
        }
        let suite = format!("{}-backports", codename()?);
        eprintln!(
            "{} {} is installed from the backports: {suite} has the emulators that go with it ...",
            self.package, self.version
        );
        let sources = sources(&suite)?;
        let apt = |verb: &str| {
            let mut apt = Command::new("apt-get");
            apt.env("DEBIAN_FRONTEND", "noninteractive");
            apt.arg("-o").arg(format!("Dir::Etc::sourceparts={}", sources.display()));
            apt.args(["-q", verb]);
            apt
        };
        process::show(&mut apt("update")).context("reading the backports' index")?;
        process::show(apt("install").arg("-y").args(["-t", &suite]).args(options).args(&emulators))
            .context("installing the emulators from the backports; the complaint above is apt's")
    }
}

/// The name of this machine's release.
fn codename() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    let name = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(name.context("/etc/os-release has no VERSION_CODENAME")?.trim_matches('"').to_owned())
}

/// A folder of sources for apt: this machine's, and the backports where they are none of them.
fn sources(suite: &str) -> Result<PathBuf> {
    const OURS: &str = "ashmem-backports.sources";
    let folder = workspace::cache("apt")?.join("sources");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let mut has_suite = fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
    for entry in fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten() {
        let entry = entry?;
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        fs::write(folder.join(entry.file_name()), &text)?;
        has_suite.push_str(&text);
    }
    let is_named = has_suite
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .any(|line| line.split_whitespace().any(|word| word == suite));
    if !is_named {
        let text = format!(
            "Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n",
            crate::debian::archive::DEBIAN
        );
        fs::write(folder.join(OURS), text)?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_installed_part_of_qemu_from_the_backports_counts() {
        let host = "ii  bash bash 5.2~bpo12+1\n\
                    rc  qemu qemu-utils 1:10.0.2~bpo12+1\n\
                    ii  qemu qemu-user-static 1:7.2+dfsg-7\n";
        assert_eq!(Backport::among(host), None);
        let host = format!("{host}ii  qemu qemu-utils 1:10.0.2~bpo12+1\n");
        let found = Backport::among(&host).expect("it is there");
        assert_eq!(found.package, "qemu-utils");
        assert_eq!(found.version, "1:10.0.2~bpo12+1");
    }
}
