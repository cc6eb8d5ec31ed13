// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Debian packages.

use crate::build::stage::{self, Version};
use crate::debian::toolchain::Toolchain;
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Builds the packages of a version for an architecture, with the one for all, and lets lintian
/// look at them where they are to be given away.
pub(crate) fn build(arch: Arch, version: &Version, lint_them: bool) -> Result<Vec<PathBuf>> {
    let folder = folder(arch, version)?;
    let _lock = workspace::lock("packages")?;
    workspace::make_whole(&folder, |part| {
        let tree = part.join("ashmem-linux");
        stage::fill(&tree, arch, version)?;
        let mut command = Command::new("dpkg-buildpackage");
        command.args(["--build=binary", "--no-sign"]).current_dir(&tree);
        command.arg(format!("--host-arch={}", arch.debian()));
        let tools = Toolchain::ensure(arch)?;
        tools.serve(&mut command);
        if let Some(libraries) = tools.libraries() {
            command.env("ASHMEM_LIBRARIES", libraries);
        }
        let (text, status) = process::capture_both(&mut command)?;
        if !status.success() {
            bail!("{} ended with {}:\n{text}", process::line(&command), process::describe(status));
        }
        if lint_them {
            lint(&packages(part)?)?;
        }
        fs::remove_dir_all(&tree).context("removing the tree the packages were made from")
    })?;
    packages(&folder)
}

/// Lays the packages where people find them, and takes away those of earlier builds.
pub(crate) fn publish(built: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let folder = workspace::root().join("target/packages");
    workspace::make_whole(&folder, |part| {
        for package in built {
            let name = package.file_name().context("a package has a name")?;
            fs::copy(package, part.join(name))
                .with_context(|| format!("copying {}", package.display()))?;
        }
        Ok(())
    })?;
    packages(&folder)
}

/// The packages of a version as the first trial of this run built them.
pub(crate) fn built_once(version: &Version, lint_them: bool) -> Result<Vec<PathBuf>> {
    static BUILT: Mutex<BTreeMap<String, Vec<PathBuf>>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(packages) = built.get(version.as_str()) {
        return Ok(packages.clone());
    }
    let packages = build(Arch::X86_64, version, lint_them)?;
    built.insert(version.as_str().to_owned(), packages.clone());
    Ok(packages)
}

/// Where a version's packages for an architecture are left.
pub(crate) fn folder(arch: Arch, version: &Version) -> Result<PathBuf> {
    Ok(workspace::cache("packages")?.join(format!("{}{version}", arch.prefix())))
}

/// The packages in a folder, in order.
pub(crate) fn packages(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| path.extension().is_some_and(|ending| ending == "deb"));
    found.sort();
    Ok(found)
}

/// Debian's checker; whatever it says above a hint is a failure.
fn lint(packages: &[PathBuf]) -> Result<()> {
    let mut command = Command::new("lintian");
    command.args([
        "--allow-root",
        "--fail-on",
        "error,warning",
        "--display-info",
        "--tag-display-limit",
        "0",
    ]);
    let (text, status) = process::capture_both(command.args(packages))?;
    if !status.success() {
        bail!("{} ended with {}:\n{text}", process::line(&command), process::describe(status));
    }
    eprint!("{text}");
    Ok(())
}
