// SPDX-License-Identifier: MIT OR Apache-2.0
//! The archives of a release: the same to the byte whoever makes them, whenever, in which folder.

use crate::build::checkout::Checkout;
use crate::build::stage::{self, Version};
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The release's archive for an architecture, which other distributions' packages are made from,
/// left in `into`: a static program, what belongs to it, the module's source. `here` is the same
/// program for this machine.
pub(crate) fn program(
    arch: Arch,
    version: &Version,
    program: &Path,
    here: &Path,
    checkout: &Checkout,
    into: &Path,
) -> Result<PathBuf> {
    let name = format!("ashmem-{version}-{}-linux", arch.machine());
    let work = workspace::cache("release-archive")?.join(&name);
    let _lock = workspace::lock("release-archive")?;
    workspace::make_whole(&work, |part| stage::fill_archive(part, arch, version, program, here))?;
    pack(&work, checkout, into)
}

/// The committed source with every crate that it is built from.
pub(crate) fn source(version: &Version, checkout: &Checkout, into: &Path) -> Result<PathBuf> {
    let _lock = workspace::lock("release-source")?;
    let work = workspace::cache("release-source")?.join(format!("ashmem-linux-{version}"));
    workspace::make_whole(&work, |part| {
        checkout.unpack(part)?;
        let mut vendor = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        vendor.args(["vendor", "--quiet", "--locked", "--versioned-dirs", "vendor"]);
        let config = process::capture(vendor.current_dir(part))?;
        let file = part.join(".cargo/config.toml");
        let own = fs::read_to_string(&file).unwrap_or_default();
        fs::create_dir_all(part.join(".cargo")).context("making .cargo")?;
        fs::write(&file, format!("{own}\n{config}")).context("writing .cargo/config.toml")
    })?;
    pack(&work, checkout, into)
}

/// Packs a folder under its own name, and removes it.
fn pack(folder: &Path, checkout: &Checkout, into: &Path) -> Result<PathBuf> {
    let name = folder.file_name().context("a folder has a name")?.to_string_lossy().into_owned();
    let packed = into.join(format!("{name}.tar"));
    let mut tar = process::plain("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu"]);
    tar.arg(format!("--mtime=@{}", checkout.time())).args(["--mode=u+rw,go=rX", "-cf"]);
    tar.arg(&packed).arg("-C").arg(folder.parent().context("it lies in a folder")?).arg(&name);
    process::capture(&mut tar)?;
    process::capture(
        // One thread: the form of what several make depends on their number.
        process::plain("xz").args(["-6", "--force", "--threads=1"]).arg(&packed),
    )?;
    fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    Ok(into.join(format!("{name}.tar.xz")))
}
