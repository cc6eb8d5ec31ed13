// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arch's packages, by Debian's makepkg from a release's archive.

use crate::build::checkout::Checkout;
use crate::build::recipe::{self, Hash};
use crate::build::stage::{self, Version};
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// What pacman runs for each package.
const SCRIPTS: [&str; 2] = ["ashmem.install", "ashmem-dkms.install"];

/// makepkg writes its folder's path into the package and refuses to run as root: it works in a
/// place that is the same everywhere, as a user that is none of the machine's. $1 is the folder.
const ENTER: &str = r#"set -e
mount --bind "$1" /mnt
cd /mnt
exec unshare --user --map-user=1000 --map-group=1000 makepkg --config /mnt/makepkg.conf \
	--nodeps --force --nocheck"#;

/// Lays the recipe of both packages into a release's folder.
pub(crate) fn lay_recipe(version: &Version, folder: &Path) -> Result<()> {
    recipe::lay("arch/PKGBUILD", Hash::Sha256, "SKIP", version, folder)?;
    for script in SCRIPTS {
        let file = stage::packaging("arch").join(script);
        fs::copy(&file, folder.join(script)).with_context(|| format!("copying {script}"))?;
    }
    Ok(())
}

/// Builds `ashmem` for an architecture from the archive and the recipe in `folder`, for this
/// machine's also `ashmem-dkms`, which is for all, and leaves them there.
pub(crate) fn build(
    arch: Arch,
    version: &Version,
    checkout: &Checkout,
    folder: &Path,
) -> Result<()> {
    let work = workspace::cache("makepkg")?.join(format!("{}{version}", arch.prefix()));
    let _lock = workspace::lock("makepkg")?;
    let archive = recipe::archive_of(arch, version);
    let machine = arch.machine();
    workspace::make_whole(&work, |part| {
        for name in SCRIPTS.iter().copied().chain(["PKGBUILD", archive.as_str()]) {
            fs::copy(folder.join(name), part.join(name))
                .with_context(|| format!("copying {name}"))?;
        }
        let settings = format!(
            "CARCH={machine}\n\
             CHOST={machine}-pc-linux-gnu\n\
             BUILDENV=(!distcc !color !ccache !check !sign)\n\
             OPTIONS=(!strip docs libtool staticlibs emptydirs !zipman !purge !debug)\n\
             INTEGRITY_CHECK=(sha256)\n\
             PACKAGER='ashmem-linux maintainers <maintainers@ashmem-linux.example>'\n\
             COMPRESSZST=(zstd -c -q -T1 -19 -)\n\
             PKGEXT=.pkg.tar.zst\n\
             SRCEXT=.src.tar.gz\n"
        );
        fs::write(part.join("makepkg.conf"), settings).context("writing makepkg.conf")?;
        let mut command = process::plain("unshare");
        if !rustix::process::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        command.args(["--mount", "--propagation", "private", "sh", "-c", ENTER, "enter"]).arg(part);
        command.env("HOME", "/mnt").env("SOURCE_DATE_EPOCH", checkout.time());
        process::capture(&mut command).map(drop)
    })?;
    // makepkg packs both.
    recipe::give(arch, &work, ".pkg.tar.zst", "-any.pkg.tar.zst", folder)?;
    fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))
}
