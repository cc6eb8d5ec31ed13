// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the recipes of other distributions share: the archives' hashes that stand in them, and the
//! packages that come of them.

use crate::build::stage::{self, Version};
use crate::util::arch::Arch;
use crate::util::process;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Which hash a recipe names.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn of(self, file: &Path) -> Result<String> {
        let program = format!("{}sum", self.name());
        let said = process::capture(Command::new(&program).arg(file))?;
        let sum = said.split_whitespace().next();
        sum.map(ToOwned::to_owned).with_context(|| format!("{program} told no hash"))
    }
}

/// The name of a release's archive.
pub(crate) fn archive_of(arch: Arch, version: &Version) -> String {
    format!("ashmem-{version}-{}-linux.tar.xz", arch.machine())
}

/// Lays a recipe of packaging/ into a release's folder, with the hashes of the archives that lie
/// there. In the place of one that does not (a trial builds for this machine alone) stands `none`.
pub(crate) fn lay(
    recipe: &str,
    hash: Hash,
    none: &str,
    version: &Version,
    folder: &Path,
) -> Result<()> {
    let from = stage::packaging(recipe);
    let to = folder.join(from.file_name().context("a recipe has a name")?);
    stage::copy_with(&from, &to, version)?;
    let mut text = fs::read_to_string(&to).with_context(|| format!("reading {}", to.display()))?;
    for arch in Arch::ALL {
        let archive = folder.join(archive_of(arch, version));
        let sum = if archive.exists() { hash.of(&archive)? } else { none.to_owned() };
        let place = format!("@{}_{}@", hash.name(), arch.machine()).to_uppercase();
        text = text.replace(&place, &sum);
    }
    fs::write(&to, text).with_context(|| format!("writing {}", to.display()))
}

/// Copies the packages that were built for an architecture from `made` into a release's folder. Of
/// one that is for all (its name ends in `for_all`) this machine's is given: of a second nobody
/// could tell which was given away.
pub(crate) fn give(
    arch: Arch,
    made: &Path,
    suffix: &str,
    for_all: &str,
    folder: &Path,
) -> Result<()> {
    let entries = fs::read_dir(made).with_context(|| format!("listing {}", made.display()))?;
    for package in entries.flatten().map(|entry| entry.path()) {
        let name = package.file_name().context("a package has a name")?;
        let text = name.to_string_lossy();
        if text.ends_with(suffix) && (arch == Arch::X86_64 || !text.ends_with(for_all)) {
            fs::copy(&package, folder.join(name))
                .with_context(|| format!("copying {}", package.display()))?;
        }
    }
    Ok(())
}
