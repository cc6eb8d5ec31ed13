// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask release`: everything that a release gives away.

use crate::build::distributed::{self, Linkage};
use crate::build::packages;
use crate::build::stage::Version;
use crate::debian::host;
use crate::debian::kernel::{Line, Platform};
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Make everything that a release gives away, into target/dist
///
/// Static programs for x86-64 and arm64 with what debuggers read beside them, the Debian packages
/// of both, the source with the crates that it is built from, the changelog's part, SHA256SUMS.
/// Prints each file's path. Nothing depends on when or in which folder it was made.
#[derive(Debug, Args)]
pub(crate) struct Release {
    /// Make it a second time, from a clone in another folder, and compare both byte by byte
    #[arg(long)]
    twice: bool,
}

impl Release {
    /// Makes it.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        host::ensure_packages(&[Platform { arch: Arch::Arm64, line: Line::V6_1 }])?;
        let version = Version::of_this_tree()?;
        let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
        if !changed.is_empty() {
            eprintln!("not committed, and so in the programs and not in the source:\n{changed}");
        }
        let dist = workspace::root().join("target/dist");
        workspace::make_whole(&dist, |part| {
            for arch in Arch::ALL {
                eprintln!("building the program for {arch} ...");
                let program = distributed::build(arch, Linkage::Static)?;
                let name = format!("ashmem-{version}-{}-linux", arch.machine());
                distributed::part(arch, &program, &part.join(name))?;
                eprintln!("building the packages for {arch} ...");
                copy_all(&packages::build(arch, &version, false)?, part)?;
            }
            source(&version, part)?;
            changes(&version, part)?;
            sums(part)
        })?;
        for file in files(&dist)? {
            println!("{}", file.display());
        }
        if self.twice {
            self::twice(&dist)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The same of a clone, in a folder with another name.
fn twice(dist: &Path) -> Result<()> {
    let clone = workspace::cache("release-again")?.join("a-clone");
    eprintln!("making it again, in {} ...", clone.display());
    workspace::make_whole(&clone, |part| {
        let mut git = Command::new("git");
        git.args(["clone", "--quiet"]).arg(workspace::root()).arg(part);
        process::capture(&mut git).map(drop)
    })?;
    let mut again = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    again.args(["xtask", "release"]).current_dir(&clone).env_remove("CARGO_TARGET_DIR");
    let status = process::show_status(&mut again)?;
    if !status.success() {
        bail!("{} ended with {}", process::line(&again), process::describe(status));
    }
    let other = clone.join("target/dist");
    let mut differing = Vec::new();
    for file in files(dist)? {
        let name = file.file_name().context("a file has a name")?;
        if read(&file)? != read(&other.join(name))? {
            differing.push(name.to_string_lossy().into_owned());
        }
    }
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

/// The committed source with every crate that it is built from.
fn source(version: &Version, dist: &Path) -> Result<()> {
    eprintln!("packing the source ...");
    let name = format!("ashmem-linux-{version}");
    let work = workspace::cache("release-source")?.join(&name);
    let commit = git(&["log", "-1", "--format=%ct"])?;
    workspace::make_whole(&work, |part| {
        let packed = part.join("source.tar");
        let mut archive = Command::new("git");
        archive.args(["archive", "--format=tar", "--output"]).arg(&packed).arg("HEAD");
        process::capture(archive.current_dir(workspace::root()))?;
        process::capture(Command::new("tar").arg("-xf").arg(&packed).arg("-C").arg(part))?;
        fs::remove_file(&packed).context("removing the packed source")?;
        let mut vendor = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        vendor.args(["vendor", "--quiet", "--locked", "--versioned-dirs", "vendor"]);
        let config = process::capture(vendor.current_dir(part))?;
        let file = part.join(".cargo/config.toml");
        let own = fs::read_to_string(&file).unwrap_or_default();
        fs::create_dir_all(part.join(".cargo")).context("making .cargo")?;
        fs::write(&file, format!("{own}\n{config}")).context("writing .cargo/config.toml")
    })?;
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu"]);
    tar.arg(format!("--mtime=@{}", commit.trim())).args(["--mode=u+rw,go=rX", "-cf"]);
    tar.arg(dist.join(format!("{name}.tar"))).arg("-C");
    tar.arg(work.parent().context("it lies in a folder")?).arg(&name);
    process::capture(&mut tar)?;
    process::capture(
        // One thread: the form of what several make depends on their number.
        Command::new("xz").args(["-6", "--threads=1"]).arg(dist.join(format!("{name}.tar"))),
    )?;
    fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))
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
    let names: Vec<_> =
        files(dist)?.iter().filter_map(|file| file.file_name().map(ToOwned::to_owned)).collect();
    let mut command = Command::new("sha256sum");
    let sums = process::capture(command.args(names).current_dir(dist))?;
    fs::write(dist.join("SHA256SUMS"), sums).context("writing SHA256SUMS")
}

fn copy_all(from: &[PathBuf], to: &Path) -> Result<()> {
    for file in from {
        let name = file.file_name().context("a file has a name")?;
        fs::copy(file, to.join(name)).with_context(|| format!("copying {}", file.display()))?;
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("reading {}", file.display()))
}

fn git(words: &[&str]) -> Result<String> {
    process::capture(Command::new("git").args(words).current_dir(workspace::root()))
        .map(|text| text.trim_end().to_owned())
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
