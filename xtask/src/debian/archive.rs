// SPDX-License-Identifier: MIT OR Apache-2.0
//! A Debian archive seen through an apt of its own: own index, own cache, nothing of the host's
//! changed.
//!
//! apt checks the archive's signature over its index and goes on with a cut download where it broke
//! off; xtask has no download code of its own, but holds each package against the hash in that
//! index. No root is needed.

use crate::util::arch::Arch;
use crate::util::process;
use crate::util::workspace::{self, Lock};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every suite is signed by a key of Debian's own archive keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One or more suites that are searched together.
pub(crate) struct Archive {
    name: String,
    /// The architecture whose packages are looked up beside this machine's.
    arch: Arch,
    folder: PathBuf,
    /// apt refuses to work twice in one folder.
    _lock: Lock,
}

/// A suite: the mirror that holds it and its name there.
pub(crate) type Suite = (&'static str, &'static str);

/// Debian's main mirror.
pub(crate) const DEBIAN: &str = "http://deb.debian.org/debian";
/// Debian's security mirror.
pub(crate) const SECURITY: &str = "http://deb.debian.org/debian-security";

impl Archive {
    /// Opens the archive under its own name in the cache and reads its newest index from the
    /// network: of this machine's architecture, and of another one that is asked for.
    pub(crate) fn update(name: &str, suites: &[Suite], arch: Arch) -> Result<Self> {
        if !Path::new(KEYRING).exists() {
            bail!("{KEYRING} is not there to check Debian's archive with: run `cargo xtask setup`");
        }
        let folder = workspace::cache(&format!("apt/{name}"))?;
        let lock = workspace::lock(&format!("apt-{name}"))?;
        for place in
            ["etc/preferences.d", "etc/apt.conf.d", "state/lists/partial", "cache/archives/partial"]
        {
            let place = folder.join(place);
            fs::create_dir_all(&place).with_context(|| format!("making {}", place.display()))?;
        }
        let architectures = match arch {
            Arch::X86_64 => "amd64",
            Arch::Arm64 => "amd64,arm64",
        };
        let lines: String = suites
            .iter()
            .map(|(mirror, suite)| {
                format!("deb [arch={architectures} signed-by={KEYRING}] {mirror} {suite} main\n")
            })
            .collect();
        let sources = folder.join("sources.list");
        fs::write(&sources, lines).with_context(|| format!("writing {}", sources.display()))?;
        let archive = Self { name: name.to_owned(), arch, folder, _lock: lock };
        eprintln!("reading Debian's package index ({name}) ...");
        let mut update = archive.apt("apt-get");
        let (text, status) = process::capture_both(update.args([
            "-q",
            "update",
            "-o",
            "APT::Update::Error-Mode=any",
        ]))?;
        if !status.success() {
            // The options that keep apt to itself would drown what it says.
            let complaint =
                text.lines().find(|line| line.starts_with("E: ")).unwrap_or("E: nothing of why");
            bail!(
                "Debian's package index ({name}) could not be read: make sure that \
                 deb.debian.org can be reached, then run it again; apt says {complaint}"
            );
        }
        Ok(archive)
    }

    /// The newest version of a package (`NAME`, or `NAME:ARCHITECTURE` for one that is not this
    /// machine's), if the archive has it, with the packages it depends on (of
    /// alternatives the first).
    pub(crate) fn look_up(&self, package: &str) -> Result<Package> {
        let text =
            process::capture(self.apt("apt-cache").args(["show", "--no-all-versions", package]))
                .with_context(|| format!("{} has no package {package}", self.name))?;
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .unwrap_or_default()
                .to_owned()
        };
        let first_names = |list: &str| -> Vec<String> {
            list.split(',')
                .filter_map(|wish| wish.split_whitespace().next())
                .map(str::to_owned)
                .collect()
        };
        let version = field("Version");
        if version.is_empty() {
            bail!("{} names {package} but shows no version of it", self.name);
        }
        let depends = first_names(&field("Depends"));
        Ok(Package {
            name: package.to_owned(),
            version,
            size: field("Size").parse().unwrap_or_default(),
            sha256: field("SHA256"),
            depends,
        })
    }

    /// The names of all packages that begin so.
    pub(crate) fn names(&self, start: &str) -> Result<Vec<String>> {
        let text = process::capture(self.apt("apt-cache").args(["pkgnames", start]))?;
        Ok(text.lines().map(|name| name.trim().to_owned()).collect())
    }

    /// Downloads packages and unpacks them over each other into `destination`.
    pub(crate) fn unpack(&self, packages: &[Package], destination: &Path) -> Result<()> {
        let downloads = self.folder.join("downloads");
        fs::create_dir_all(&downloads)
            .with_context(|| format!("making {}", downloads.display()))?;
        self.download(packages, &downloads)?;
        for package in packages {
            let file = package.file_in(&downloads)?;
            process::capture(Command::new("dpkg-deb").arg("-x").arg(&file).arg(destination))?;
        }
        fs::remove_dir_all(&downloads).with_context(|| format!("removing {}", downloads.display()))
    }

    /// Downloads packages into a folder, going on with what lies there.
    fn download(&self, packages: &[Package], folder: &Path) -> Result<()> {
        self.fetch(packages, folder)?;
        // apt takes what has its whole length already for good, unread: a file that was damaged has
        // to go first.
        let damaged = remove_damaged(packages, folder)?;
        if damaged.is_empty() {
            return Ok(());
        }
        eprintln!("damaged, so fetched anew: {}", damaged.join(", "));
        self.fetch(packages, folder)?;
        let damaged = remove_damaged(packages, folder)?;
        if !damaged.is_empty() {
            bail!(
                "damaged on the way again, so removed: {}; run it again on a better line",
                damaged.join(", ")
            );
        }
        Ok(())
    }

    fn fetch(&self, packages: &[Package], folder: &Path) -> Result<()> {
        let mut fetch = self.apt("apt-get");
        fetch
            .arg(if process::is_watched() { "-y" } else { "-qq" })
            .arg("download")
            .current_dir(folder);
        fetch.args(packages.iter().map(|package| format!("{}={}", package.name, package.version)));
        let status = process::show_status(&mut fetch)?;
        if !status.success() {
            bail!(
                "apt-get ended with {} while downloading {}: what it says stands above; run \
                 it again to go on",
                process::describe(status),
                self.name
            );
        }
        Ok(())
    }

    /// An apt program that sees this archive and none of the host's state. The host's proxy
    /// settings still hold.
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
        if self.arch != Arch::X86_64 {
            for arch in [Arch::X86_64, self.arch] {
                command.arg("-o").arg(format!("APT::Architectures::={}", arch.debian()));
            }
        }
        command
    }
}

/// How much a download of these packages is, in MB.
pub(crate) fn megabytes(packages: &[Package]) -> u64 {
    packages.iter().map(|package| package.size).sum::<u64>().div_ceil(1_000_000)
}

/// A package at its newest version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Of the package's file in bytes.
    size: u64,
    /// Of the package's file, from the signed index.
    sha256: String,
    pub(crate) depends: Vec<String>,
}

impl Package {
    /// Where apt put the package's file in a folder.
    fn file_in(&self, folder: &Path) -> Result<PathBuf> {
        // apt names the file by the version, with the colon of an epoch escaped.
        let name = self.name.split(':').next().unwrap_or_default();
        let stem = format!("{name}_{}_", self.version.replace(':', "%3a"));
        let entries =
            fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
        entries
            .flatten()
            .map(|entry| entry.path())
            .find(|path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&stem))
            })
            .with_context(|| {
                format!("apt reported success but {} holds no {stem}*.deb", folder.display())
            })
    }
}

/// Removes the files that are not what the signed index says, and names their packages.
fn remove_damaged<'a>(packages: &'a [Package], folder: &Path) -> Result<Vec<&'a str>> {
    let mut damaged = Vec::new();
    for package in packages {
        let file = package.file_in(folder)?;
        let sum = process::capture(Command::new("sha256sum").arg(&file))?;
        if sum.split_whitespace().next() != Some(&package.sha256) {
            fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
            damaged.push(package.name.as_str());
        }
    }
    Ok(damaged)
}
