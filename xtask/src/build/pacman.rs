// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arch's packages, by Debian's makepkg from a release's archive.

use crate::build::checkout::Checkout;
use crate::build::stage::{self, Version};
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What pacman runs for each package.
const SCRIPTS: [&str; 2] = ["ashmem.install", "ashmem-dkms.install"];

/// makepkg writes its folder's path into the package and refuses to run as root: it works in a
/// place that is the same everywhere, as a user that is none of the machine's. $1 is the folder.
const ENTER: &str = r#"set -e
mount --bind "$1" /mnt
cd /mnt
exec unshare --user --map-user=1000 --map-group=1000 makepkg --config /mnt/makepkg.conf \
	--nodeps --force --nocheck"#;

/// Lays the recipe of both packages into a release's folder, with the archives' hashes that lie
/// there.
pub(crate) fn lay_recipe(version: &Version, folder: &Path) -> Result<()> {
    let recipe = folder.join("PKGBUILD");
    stage::copy_with(&stage::packaging("arch/PKGBUILD"), &recipe, version)?;
    let mut text = read(&recipe)?;
    for arch in Arch::ALL {
        let archive = folder.join(archive_of(arch, version));
        // A trial builds for this machine alone.
        let sum = if archive.exists() { sum("sha256sum", &archive)? } else { "SKIP".to_owned() };
        text = text.replace(&format!("@SHA256_{}@", arch.machine().to_uppercase()), &sum);
    }
    fs::write(&recipe, text).context("writing PKGBUILD")?;
    for script in SCRIPTS {
        let file = stage::packaging("arch").join(script);
        fs::copy(&file, folder.join(script)).with_context(|| format!("copying {script}"))?;
    }
    Ok(())
}

/// Builds `ashmem` for an architecture from the archive and the recipe in `folder`, for this
/// machine's also `ashmem-dkms`, which is for all, and leaves them there. Their paths.
pub(crate) fn build(
    arch: Arch,
    version: &Version,
    checkout: &Checkout,
    folder: &Path,
) -> Result<Vec<PathBuf>> {
    let work = workspace::cache("makepkg")?.join(format!("{}{version}", arch.prefix()));
    let _lock = workspace::lock("makepkg")?;
    let archive = archive_of(arch, version);
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
    let mut packages = Vec::new();
    let entries = fs::read_dir(&work).with_context(|| format!("listing {}", work.display()))?;
    for package in entries.flatten().map(|entry| entry.path()) {
        let name = package.file_name().context("a package has a name")?;
        let text = name.to_string_lossy();
        // makepkg packs both. This machine's is the one for all; of the second nobody could tell
        // which was given away.
        let is_again = arch != Arch::X86_64 && text.ends_with("-any.pkg.tar.zst");
        if text.ends_with(".pkg.tar.zst") && !is_again {
            let place = folder.join(name);
            fs::copy(&package, &place).with_context(|| format!("copying {}", package.display()))?;
            packages.push(place);
        }
    }
    packages.sort();
    fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))?;
    Ok(packages)
}

/// Alpine's recipe, with the archives' hashes; there is no abuild here that could run it.
pub(crate) fn lay_apkbuild(version: &Version, folder: &Path) -> Result<()> {
    let recipe = folder.join("APKBUILD");
    stage::copy_with(&stage::packaging("alpine/APKBUILD"), &recipe, version)?;
    let mut text = read(&recipe)?;
    for arch in Arch::ALL {
        let archive = folder.join(archive_of(arch, version));
        // A trial builds for this machine alone.
        let sum = if archive.exists() { sum("sha512sum", &archive)? } else { "0".to_owned() };
        text = text.replace(&format!("@SHA512_{}@", arch.machine().to_uppercase()), &sum);
    }
    fs::write(&recipe, text).context("writing APKBUILD")
}

fn archive_of(arch: Arch, version: &Version) -> String {
    format!("ashmem-{version}-{}-linux.tar.xz", arch.machine())
}

fn sum(program: &str, file: &Path) -> Result<String> {
    let said = process::capture(Command::new(program).arg(file))?;
    let sum = said.split_whitespace().next();
    sum.map(ToOwned::to_owned).with_context(|| format!("{program} told no hash"))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
