// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask release`: everything that a release gives away.

use crate::build::checkout::Checkout;
use crate::build::dist::{self, SUMS};
use crate::build::signature;
use crate::build::stage::Version;
use crate::debian::host;
use crate::integration::packages::released;
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Make everything that a release gives away, into target/dist
///
/// Static programs for x86-64 and arm64 with what debuggers read beside them, an archive of each
/// with what belongs to it, the packages of Debian, RPM and Arch of both, Alpine's recipe, the
/// source with the crates that it is built from, bills of materials (CycloneDX), the changelog's
/// part, SHA256SUMS. Prints each file's path. Nothing depends on when or in which folder it was
/// made, but a signature.
///
/// It builds what is committed or not, and packs the source that is committed; with --sign or
/// --twice it refuses a tree where something is not committed. The tools of RPM and
/// Arch are Debian's packages, which it installs when it lacks them (as root) after it has named
/// them.
#[derive(Debug, Args)]
pub(crate) struct Release {
    /// Make it a second time, from a clone in another folder, and compare both byte by byte
    #[arg(long)]
    twice: bool,
    /// Sign SHA256SUMS with this secret key of minisign, which asks for its password (on standard
    /// input) when all is made and compared; nothing may differ from the commit
    #[arg(long, value_name = "KEYFILE")]
    sign: Option<PathBuf>,
    /// Make nothing: hold the release that was made last to its hashes, its bills of materials to
    /// what cargo links, a signature to what must be refused, Alpine's and NixOS's recipes to what
    /// they should lay down
    #[arg(long, conflicts_with_all = ["twice", "sign"])]
    trial: bool,
}

impl Release {
    /// Makes it.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let _lock = dist::lock()?;
        if self.trial {
            println!("{}", released::run(true)?);
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(key) = &self.sign {
            // Before half an hour of building, not after it.
            signature::look_at_key(key)?;
        }
        let checkout = Checkout::read()?;
        let changed = checkout.changed();
        if !changed.is_empty() {
            if self.twice || self.sign.is_some() {
                bail!("a release that is signed or made twice is of a commit alone:\n{changed}");
            }
            eprintln!("not committed, and so in the programs and not in the source:\n{changed}");
        }
        host::ensure_for_release()?;
        let version = Version::of_this_tree()?;
        let dist = dist::folder();
        dist::make(&version, &checkout, &dist)?;
        if self.twice {
            self::twice(&dist, &checkout)?;
        }
        if let Some(key) = &self.sign {
            // What is signed is what was made and compared, and the commit still is the tree's.
            dist::made_before(&version)?;
            checkout.confirm()?;
            signature::sign(&dist.join(SUMS), key, &version)?;
        }
        for file in dist::files(&dist)? {
            println!("{}", file.display());
        }
        if self.sign.is_none() {
            eprintln!("{SUMS} is not signed: --sign KEYFILE signs it");
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The same of a clone, in a folder with another name.
fn twice(dist: &Path, checkout: &Checkout) -> Result<()> {
    let clone = workspace::cache("release-again")?.join("a-clone");
    eprintln!("making it again, in {} ...", clone.display());
    workspace::make_whole(&clone, |part| {
        let mut git = Command::new("git");
        git.args(["clone", "--quiet", "--no-checkout"]).arg(workspace::root()).arg(part);
        process::capture(&mut git)?;
        let mut git = Command::new("git");
        git.args(["checkout", "--quiet", "--detach", checkout.commit()]).current_dir(part);
        process::capture(&mut git).map(drop)
    })?;
    let mut again = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    again.args(["xtask", "release"]).current_dir(&clone).env_remove("CARGO_TARGET_DIR");
    let status = process::show_status(&mut again)?;
    if !status.success() {
        bail!("{} ended with {}", process::line(&again), process::describe(status));
    }
    let other = clone.join("target/dist");
    let differing = differing(dist, &other)?;
    if !differing.is_empty() {
        bail!(
            "made twice, these differ: {} (in {} and {})",
            differing.join(", "),
            dist.display(),
            other.display()
        );
    }
    println!("made twice, in two folders: the same to the byte");
    fs::remove_dir_all(&clone).with_context(|| format!("removing {}", clone.display()))
}

/// The names of the files that only one folder has, or that differ.
fn differing(one: &Path, other: &Path) -> Result<Vec<String>> {
    let mut names = BTreeSet::new();
    for file in dist::files(one)?.into_iter().chain(dist::files(other)?) {
        let name = file.file_name().context("a file has a name")?;
        names.insert(name.to_string_lossy().into_owned());
    }
    let mut differing = Vec::new();
    for name in names {
        let (one, other) = (one.join(&name), other.join(&name));
        if !one.exists() || !other.exists() || read(&one)? != read(&other)? {
            differing.push(name);
        }
    }
    Ok(differing)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("reading {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::differing;
    use std::fs;

    #[test]
    fn a_file_differs_by_its_bytes_and_where_one_folder_lacks_it() {
        let work = std::env::temp_dir().join(format!("ashmem-twice-{}", std::process::id()));
        let (one, other) = (work.join("one"), work.join("other"));
        for folder in [&one, &other] {
            fs::create_dir_all(folder).expect("a folder");
            fs::write(folder.join("same"), "same").expect("a file");
            fs::write(folder.join("changed"), folder.as_os_str().as_encoded_bytes())
                .expect("a file");
        }
        fs::write(one.join("only-one"), "").expect("a file");
        fs::write(other.join("only-other"), "").expect("a file");
        let found = differing(&one, &other);
        fs::remove_dir_all(&work).expect("a folder to remove");
        assert_eq!(found.expect("a list"), ["changed", "only-one", "only-other"]);
    }
}
