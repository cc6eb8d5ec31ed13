// SPDX-License-Identifier: MIT OR Apache-2.0
//! Debian 13 with Waydroid installed from its backports, kept in the cache.

use crate::debian::archive::DEBIAN;
use crate::util::{process, workspace};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Changes whenever the root file system would come out differently.
const RECIPE: &str = "2";
const RELEASE: &str = "trixie";
/// What is installed beside Waydroid and what that needs: a system that boots.
const PACKAGES: &str =
    "dbus,dnsmasq-base,iproute2,kmod,lxc,procps,python3,systemd,systemd-sysv,udev";

/// Run inside: no service is started there, and nothing that is merely recommended is installed.
const INSTALL: &str = r#"set -e
cd "$1"
mount -t proc proc proc
mount --bind /dev dev
printf '#!/bin/sh\nexit 101\n' >usr/sbin/policy-rc.d
chmod 755 usr/sbin/policy-rc.d
cp /etc/resolv.conf etc/resolv.conf
echo "deb $3 $2-backports main" >etc/apt/sources.list.d/backports.list
chroot . apt-get -q update
chroot . apt-get -q install -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io \
    -t "$2-backports" waydroid
chroot . apt-get clean
rm -rf var/lib/apt/lists/* usr/sbin/policy-rc.d usr/share/locale usr/share/doc usr/share/man
umount proc dev"#;

/// The root file system; made if the cache has none.
pub(super) fn ensure() -> Result<PathBuf> {
    let _lock = workspace::lock("root-waydroid")?;
    let root = workspace::cache("roots")?.join("waydroid");
    if fs::read_to_string(recipe_of(&root)).is_ok_and(|recipe| recipe == RECIPE) {
        return Ok(root);
    }
    eprintln!("making a root file system of {RELEASE} with Waydroid (about three minutes) ...");
    workspace::make_whole(&root, |part| {
        let private = || {
            let mut command = Command::new("unshare");
            // What is mounted in there goes with the command, however it ends.
            command
                .args(["--mount", "--propagation", "private"])
                .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
            command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C.UTF-8");
            command
        };
        let mut minimum = private();
        minimum.args(["debootstrap", "--variant=minbase", "--include", PACKAGES, RELEASE]);
        process::capture(minimum.arg(part).arg(DEBIAN))?;
        process::capture(
            private().args(["sh", "-c", INSTALL, "install"]).arg(part).args([RELEASE, DEBIAN]),
        )?;
        fs::write(recipe_of(part), RECIPE).context("noting how the root file system was made")
    })?;
    Ok(root)
}

fn recipe_of(root: &Path) -> PathBuf {
    root.join("etc/ashmem-recipe")
}
