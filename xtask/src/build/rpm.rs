// SPDX-License-Identifier: MIT OR Apache-2.0
//! The RPM packages, by Debian's rpmbuild from a release's archive.

use crate::build::checkout::Checkout;
use crate::build::recipe;
use crate::build::stage::{self, Version};
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// Builds `ashmem` for an architecture from the archive in `folder`, for this machine's also
/// `ashmem-dkms`, which is for all, and leaves them there with the recipe.
pub(crate) fn build(
    arch: Arch,
    version: &Version,
    checkout: &Checkout,
    folder: &Path,
) -> Result<()> {
    let spec = folder.join("ashmem.spec");
    stage::copy_with(&stage::packaging("rpm/ashmem.spec"), &spec, version)?;
    let work = workspace::cache("rpmbuild")?.join(format!("{}{version}", arch.prefix()));
    let _lock = workspace::lock("rpmbuild")?;
    workspace::make_whole(&work, |part| {
        let mut command = process::plain("rpmbuild");
        // No database of packages is asked: nothing is compiled.
        command.args(["-bb", "--quiet", "--nodeps", "--target"]);
        command.arg(format!("{}-linux", arch.machine()));
        for (name, value) in [
            ("_topdir", part.display().to_string()),
            ("_sourcedir", folder.display().to_string()),
            // Neither the machine nor the moment shows.
            ("_buildhost", "ashmem-linux.example".to_owned()),
            ("use_source_date_epoch_as_buildtime", "1".to_owned()),
            ("clamp_mtime_to_source_date_epoch", "1".to_owned()),
            ("_build_name_fmt", "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm".to_owned()),
        ] {
            command.arg("--define").arg(format!("{name} {value}"));
        }
        // It makes a database there.
        command.env("HOME", part);
        command.arg(&spec).env("SOURCE_DATE_EPOCH", checkout.time());
        process::capture(&mut command).map(drop)
    })?;
    recipe::give(arch, &work.join("RPMS"), ".rpm", ".noarch.rpm", folder)?;
    fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))
}
