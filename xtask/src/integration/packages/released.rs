// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a release gives away besides packages: bills of materials, a signature, the recipes that
//! are not run here.

use crate::build::stage::Version;
use crate::build::{dist, sbom, signature};
use crate::debian::host;
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Looks at a release; what was seen, in one line. `built`: at the one that was made last.
pub(crate) fn run(built: bool) -> Result<String> {
    host::ensure_for_release()?;
    let version = Version::of_this_tree()?;
    let folder = if built { dist::made_before(&version) } else { dist::made_once(&version) }?;
    let bills = sbom::check(&version, &folder)?;
    let work = workspace::cache("release-trial")?.join(std::process::id().to_string());
    let mut seen = String::new();
    let mut alpine = Vec::new();
    workspace::make_whole(&work, |part| {
        let signed = signature::attempt(&folder, &version, part)?;
        for arch in Arch::ALL {
            alpine.push(self::alpine(arch, &version, &folder, &part.join(arch.machine()))?);
        }
        let alpine = alpine.join(", ");
        let nixos = nixos(&version, part)?;
        seen = format!("bills of materials ({bills}); {signed}; {alpine}; {nixos}");
        Ok(())
    })?;
    std::fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))?;
    Ok(seen)
}

/// Runs what Alpine's recipe says of the package, by busybox's shell as Alpine has it, and holds
/// the files to RPM's.
fn alpine(arch: Arch, version: &Version, folder: &Path, work: &Path) -> Result<String> {
    const RUN: &str = r#"set -eu
CARCH=$1 srcdir=$2/src pkgdir=$2/pkg recipe=$3/APKBUILD folder=$3
mkdir -p "$srcdir" "$pkgdir"
. "$recipe"
cd "$folder"
for archive in $source; do
	echo "$sha512sums" | grep " $archive\$" | sha512sum -c - >&2
	xz -dc "$archive" | tar -xf - -C "$srcdir"
done
cd "$srcdir"
package >&2
cd "$pkgdir"
find . -type f | sed 's/^\.//'"#;
    let mut shell = Command::new("busybox");
    shell.args(["sh", "-c", RUN, "abuild", arch.machine()]).arg(work).arg(folder);
    let alpine: BTreeSet<_> =
        process::capture(&mut shell)?.lines().map(ToOwned::to_owned).collect();
    let package = folder.join(format!("ashmem-{version}-1.{}.rpm", arch.machine()));
    let mut rpm = Command::new("rpm");
    // This host has no database of RPM's, and none is made.
    rpm.args(["--query", "--list", "--package", "--dbpath"]).arg(work.join("rpmdb")).arg(&package);
    let others: BTreeSet<_> = process::capture(&mut rpm)?.lines().map(ToOwned::to_owned).collect();
    // Alpine has neither systemd nor runit, and its services lie where OpenRC reads them.
    let is_elsewhere = |file: &&String| {
        ["/usr/share/doc/", "/usr/lib/systemd/", "/usr/share/licenses/", "/etc/init.d/"]
            .iter()
            .any(|folder| file.starts_with(folder))
    };
    let lacks: Vec<_> = others
        .iter()
        .filter(|file| !is_elsewhere(file) && !alpine.contains(*file))
        // Folders that RPM's package owns.
        .filter(|file| !alpine.iter().any(|other| other.starts_with(&format!("{file}/"))))
        .collect();
    let more: Vec<_> =
        alpine.iter().filter(|file| !is_elsewhere(file) && !others.contains(*file)).collect();
    if !lacks.is_empty() || !more.is_empty() || !alpine.contains("/etc/init.d/ashmem-agent") {
        bail!("Alpine's package lacks {lacks:?}, has {more:?} more than RPM's, of {alpine:?}");
    }
    Ok(format!("APKBUILD's package() laid {} files for {arch}", alpine.len()))
}

/// Evaluates NixOS's module of the archive with stand-ins for nixpkgs, which cannot be had here:
/// what NixOS would be told is what it should be.
fn nixos(version: &Version, work: &Path) -> Result<String> {
    let machine = Arch::X86_64.machine();
    // Alpine's recipe unpacked it there.
    let tree = work.join(machine).join(format!("src/ashmem-{version}-{machine}-linux"));
    let expression = work.join("nixos.nix");
    std::fs::write(&expression, include_str!("nixos.nix")).context("writing nixos.nix")?;
    let mut eval = Command::new("nix-instantiate");
    eval.args(["--eval", "--strict", "--json"]).arg(&expression);
    eval.arg("--arg").arg("tree").arg(&tree).args(["--argstr", "version", version.as_str()]);
    // It leaves nothing on this machine.
    for (variable, folder) in [
        ("NIX_STORE_DIR", "store"),
        ("NIX_STATE_DIR", "state"),
        ("NIX_LOG_DIR", "log"),
        ("HOME", "home"),
    ] {
        eval.env(variable, work.join(folder));
    }
    let said = process::capture(&mut eval)?;
    if said.trim() != "true" {
        bail!("NixOS's module makes something else of its options: {said}");
    }
    Ok("NixOS's module evaluated".to_owned())
}
