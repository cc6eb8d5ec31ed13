// SPDX-License-Identifier: MIT OR Apache-2.0
//! Everything that a release gives away, in one folder.

use crate::build::checkout::Checkout;
use crate::build::distributed::{self, Linkage};
use crate::build::recipe::{self, Hash};
use crate::build::stage::Version;
use crate::build::{archive, oci_image, packages, pacman, rpm, sbom};
use crate::util::arch::Arch;
use crate::util::process;
use crate::util::workspace::{self, Lock};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The file of a release that lists the others with their hashes.
pub(crate) const SUMS: &str = "SHA256SUMS";

/// Where a release is left; whoever reads or replaces it holds [`lock`].
pub(crate) fn folder() -> PathBuf {
    workspace::root().join("target/dist")
}

/// Holds the release against other runs of xtask until dropped.
pub(crate) fn lock() -> Result<Lock> {
    workspace::lock("dist")
}

/// Makes a release of this tree in `folder`, replacing the one before when it is whole.
pub(crate) fn make(version: &Version, checkout: &Checkout, folder: &Path) -> Result<()> {
    workspace::make_whole(folder, |part| {
        // What wants the network comes first: where there is none, that shows at once.
        sbom::make(version, checkout, part)?;
        eprintln!("packing the source ...");
        archive::source(version, checkout, part)?;
        let mut programs = Vec::new();
        for arch in Arch::ALL {
            eprintln!("building the program for {arch} ...");
            let program = distributed::build(arch, Linkage::Static)?;
            let place = part.join(format!("ashmem-{version}-{}-linux", arch.machine()));
            distributed::part(arch, &program, &place)?;
            let image = part.join(format!("ashmem-{version}-{}-oci.tar", arch.machine()));
            oci_image::write(arch, &place, version.as_str(), &image)?;
            programs.push((arch, place));
        }
        let (_, here) = programs.first().context("there is an architecture")?.clone();
        for (arch, program) in &programs {
            archive::program(*arch, version, program, &here, checkout, part)?;
        }
        for arch in Arch::ALL {
            eprintln!("building the packages for {arch} ...");
            copy_all(&packages::build(arch, version, false)?, part)?;
        }
        others(version, &Arch::ALL, checkout, part)?;
        changes(version, part)?;
        sums(part)?;
        checkout.confirm()
    })
}

/// A release of this tree for trials, in a folder of the cache: what is to be given away is not
/// replaced by it. It is made if that was not done in this run yet, and no other run makes its own
/// until this one ends.
pub(crate) fn made_once(version: &Version) -> Result<PathBuf> {
    static MADE: Mutex<Option<Lock>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = workspace::cache("release-tried")?.join("dist");
    if made.is_none() {
        let lock = workspace::lock("release-tried")?;
        make(version, &Checkout::read()?, &folder)?;
        *made = Some(lock);
    }
    Ok(folder)
}

/// The release that was made last.
pub(crate) fn made_before(version: &Version) -> Result<PathBuf> {
    let folder = folder();
    let mut sha256sum = Command::new("sha256sum");
    sha256sum.args(["--check", "--strict", "--quiet", SUMS]).current_dir(&folder);
    if !folder.join(SUMS).exists()
        || !folder.join(format!("ashmem-{version}-1.x86_64.rpm")).exists()
    {
        bail!("{} is no release of {version}: run `cargo xtask release` first", folder.display());
    }
    process::capture(&mut sha256sum).map(|_| folder)
}

/// The packages of RPM and of Arch for this machine's architecture in another version, in a folder
/// of the cache: what an upgrade begins with. `built`: those that were built last.
pub(crate) fn other_version(version: &Version, built: bool) -> Result<PathBuf> {
    let folder = workspace::cache("release-before")?.join(version.as_str());
    let _lock = workspace::lock("release-before")?;
    if built && folder.exists() {
        return Ok(folder);
    }
    workspace::make_whole(&folder, |part| {
        let checkout = Checkout::read()?;
        let arch = Arch::X86_64;
        let program = distributed::build(arch, Linkage::Static)?;
        let place = part.join("ashmem");
        distributed::part(arch, &program, &place)?;
        archive::program(arch, version, &place, &place, &checkout, part)?;
        others(version, &[arch], &checkout, part)
    })?;
    Ok(folder)
}

/// What is made from the archives that lie in the folder.
fn others(version: &Version, archs: &[Arch], checkout: &Checkout, folder: &Path) -> Result<()> {
    pacman::lay_recipe(version, folder)?;
    // There is no abuild here that could run it.
    recipe::lay("alpine/APKBUILD", Hash::Sha512, "0", version, folder)?;
    for arch in archs {
        eprintln!("building the packages of RPM and Arch for {arch} ...");
        rpm::build(*arch, version, checkout, folder)?;
        pacman::build(*arch, version, checkout, folder)?;
    }
    Ok(())
}

/// What the changelog says of the version; of one that has no part of its own, what is unreleased.
fn changes(version: &Version, dist: &Path) -> Result<()> {
    let file = workspace::root().join("CHANGELOG.md");
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let part = part_of(&text, version.as_str())
        .or_else(|| part_of(&text, "Unreleased"))
        .with_context(|| format!("{} has no part for {version}", file.display()))?;
    fs::write(dist.join("CHANGES.md"), part).context("writing CHANGES.md")
}

/// The part under a heading of the second order, with it.
fn part_of(text: &str, heading: &str) -> Option<String> {
    let start = format!("## [{heading}]");
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&start));
    let first = lines.next()?;
    let rest = lines.take_while(|line| !line.starts_with("## "));
    let lines: Vec<_> = std::iter::once(first).chain(rest).collect();
    Some(format!("{}\n", lines.join("\n").trim_end()))
}

fn sums(dist: &Path) -> Result<()> {
    let names: Vec<OsString> =
        files(dist)?.iter().filter_map(|file| file.file_name().map(ToOwned::to_owned)).collect();
    let mut command = Command::new("sha256sum");
    let sums = process::capture(command.args(names).current_dir(dist))?;
    fs::write(dist.join(SUMS), sums).context("writing SHA256SUMS")
}

fn copy_all(from: &[PathBuf], to: &Path) -> Result<()> {
    for file in from {
        let name = file.file_name().context("a file has a name")?;
        fs::copy(file, to.join(name)).with_context(|| format!("copying {}", file.display()))?;
    }
    Ok(())
}

/// The files of a release, in order.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::part_of;

    #[test]
    fn a_versions_part_ends_where_the_next_begins() {
        let text = "# Changelog\n\n## [Unreleased]\n\n- new\n\n## [0.1.0]\n\n- old\n";
        assert_eq!(part_of(text, "Unreleased").as_deref(), Some("## [Unreleased]\n\n- new\n"));
        assert_eq!(part_of(text, "0.1.0").as_deref(), Some("## [0.1.0]\n\n- old\n"));
        assert_eq!(part_of(text, "9"), None);
    }
}
