//! A Debian archive seen through an apt of its own: own index, own cache, nothing of the host's changed.
//!
//! apt checks the archive's signature over its index and the index's hash over each package, and goes on with a cut
//! download where it broke off; xtask has no download code of its own. No root is needed.

use crate::{process, workspace};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every suite is signed by a key of Debian's own archive keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One or more suites that are searched together.
pub(crate) struct Archive {
    name: &'static str,
    folder: PathBuf,
}

/// A suite: the mirror that holds it and its name there.
pub(crate) type Suite = (&'static str, &'static str);

/// Debian's main mirror.
pub(crate) const DEBIAN: &str = "http://deb.debian.org/debian";
/// Debian's security mirror.
pub(crate) const SECURITY: &str = "http://deb.debian.org/debian-security";

impl Archive {
    /// Opens the archive under its own name in the cache and reads its newest index from the network.
    pub(crate) fn update(name: &'static str, suites: &[Suite]) -> Result<Self> {
        if !Path::new(KEYRING).exists() {
            bail!("{KEYRING} is not there to check Debian's archive with: run `cargo xtask setup`");
        }
        let folder = workspace::cache(&format!("apt/{name}"))?;
        for place in ["etc/preferences.d", "etc/apt.conf.d", "state/lists/partial", "cache/archives/partial"] {
            let place = folder.join(place);
            fs::create_dir_all(&place).with_context(|| format!("making {}", place.display()))?;
        }
        let lines: String = suites
            .iter()
            .map(|(mirror, suite)| format!("deb [arch=amd64 signed-by={KEYRING}] {mirror} {suite} main\n"))
            .collect();
        let sources = folder.join("sources.list");
        fs::write(&sources, lines).with_context(|| format!("writing {}", sources.display()))?;
        let archive = Self { name, folder };
        eprintln!("reading the package index of {name} ...");
        process::capture(archive.apt("apt-get").args(["-q", "update", "-o", "APT::Update::Error-Mode=any"]))
            .with_context(|| format!("reading the package index of {name}; is the network there?"))?;
        Ok(archive)
    }

    /// The newest version of a package, if the archive has it, with the packages it depends on (of alternatives the
    /// first).
    pub(crate) fn look_up(&self, package: &str) -> Result<Package> {
        let text = process::capture(self.apt("apt-cache").args(["show", "--no-all-versions", package]))
            .with_context(|| format!("{} has no package {package}", self.name))?;
        let field = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default().to_owned()
        };
        let first_names = |list: &str| -> Vec<String> {
            list.split(',').filter_map(|wish| wish.split_whitespace().next()).map(str::to_owned).collect()
        };
        let version = field("Version");
        if version.is_empty() {
            bail!("{} names {package} but shows no version of it", self.name);
        }
        Ok(Package { name: package.to_owned(), version, depends: first_names(&field("Depends")) })
    }

    /// Downloads packages and unpacks them over each other into `destination`.
    pub(crate) fn unpack(&self, packages: &[Package], destination: &Path) -> Result<()> {
        let downloads = self.folder.join("downloads");
        fs::create_dir_all(&downloads).with_context(|| format!("making {}", downloads.display()))?;
        let mut fetch = self.apt("apt-get");
        fetch.arg(if process::is_watched() { "-y" } else { "-qq" }).arg("download").current_dir(&downloads);
        fetch.args(packages.iter().map(|package| format!("{}={}", package.name, package.version)));
        process::show(&mut fetch).with_context(|| format!("downloading from {}; run it again to go on", self.name))?;
        for package in packages {
            // apt names the file by the version with the colon of an epoch escaped; no kernel package has an epoch.
            let stem = format!("{}_{}_", package.name, package.version);
            let file = find(&downloads, &stem)?;
            process::capture(Command::new("dpkg-deb").arg("-x").arg(&file).arg(destination))?;
        }
        fs::remove_dir_all(&downloads).with_context(|| format!("removing {}", downloads.display()))
    }

    /// An apt program that sees this archive and none of the host's state. The host's proxy settings still hold.
    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let at = |place: &str| self.folder.join(place).display().to_string();
        command.env("LC_ALL", "C.UTF-8");
        for (option, value) in [
            ("Dir::Etc", at("etc")),
            ("Dir::Etc::sourcelist", at("sources.list")),
            ("Dir::Etc::sourceparts", "-".to_owned()),
            ("Dir::State", at("state")),
            ("Dir::State::status", "/dev/null".to_owned()),
            ("Dir::Cache", at("cache")),
            ("APT::Architecture", "amd64".to_owned()),
            ("Acquire::Languages", "none".to_owned()),
            ("Acquire::Retries", "3".to_owned()),
            // The cache belongs to whoever runs xtask, where apt's own user may not write.
            ("APT::Sandbox::User", "root".to_owned()),
        ] {
            command.arg("-o").arg(format!("{option}={value}"));
        }
        command
    }
}

/// A package at its newest version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) depends: Vec<String>,
}

fn find(folder: &Path, stem: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(stem)))
        .with_context(|| format!("apt reported success but {} holds no {stem}*.deb", folder.display()))
}
