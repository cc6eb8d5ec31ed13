// SPDX-License-Identifier: MIT OR Apache-2.0
//! A small Debian of another release, for kernels whose headers want newer tools than the host's.
//!
//! It is made by debootstrap, which checks the archive's signature. Its mounts live in a mount
//! namespace of the one command that needs them: nothing stays mounted, however that command ends.

use crate::debian::archive::DEBIAN;
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A chroot in the cache, whole.
pub(crate) struct Chroot {
    pub(crate) root: PathBuf,
}

impl Chroot {
    /// The chroot of a Debian release, if the cache has it.
    pub(crate) fn cached(release: &str) -> Result<Self> {
        let root = workspace::cache("chroots")?.join(release);
        if !list_of_packages(&root).exists() {
            bail!("the {release} chroot is not there: run `cargo xtask setup`");
        }
        Ok(Self { root })
    }

    /// A chroot at a place known to be whole.
    pub(crate) const fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Makes the chroot of a Debian release that holds `make`, `binutils` and the packages named,
    /// unless the one in the cache does. Needs root.
    pub(crate) fn ensure<'a>(
        release: &str,
        packages: impl Iterator<Item = &'a str>,
    ) -> Result<Self> {
        let mut wanted: Vec<_> = packages.chain(["binutils", "gcc", "make"]).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let wanted = wanted.join(",");
        let _lock = workspace::lock(&format!("chroot-{release}"))?;
        let root = workspace::cache("chroots")?.join(release);
        if fs::read_to_string(list_of_packages(&root)).is_ok_and(|have| have == wanted) {
            return Ok(Self { root });
        }
        if !rustix::process::geteuid().is_root() {
            bail!(
                "making the {release} chroot needs root; run this one command, then go on as \
                 yourself:\n\n  {}\n",
                workspace::with_root()?
            );
        }
        eprintln!("making a {release} chroot with {wanted} (about a minute) ...");
        workspace::make_whole(&root, |part| {
            process::capture(
                // It mounts /proc in there, and leaves it so when it is killed.
                Command::new("unshare")
                    .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
                    .args(["--mount", "--propagation", "private", "debootstrap"])
                    .args(["--variant=minbase", "--include", &wanted, release])
                    .arg(part)
                    .arg(DEBIAN),
            )?;
            // The packages were needed once only.
            fs::remove_dir_all(part.join("var/cache/apt/archives"))
                .context("emptying the chroot's package cache")?;
            fs::write(list_of_packages(part), &wanted).context("noting what the chroot holds")
        })?;
        Ok(Self { root })
    }

    /// A command inside, where each of `folders` is found under the path it has outside.
    pub(crate) fn command(&self, program: &str, folders: &[&Path]) -> Command {
        // $1 is the root, $2 the number of folders, then the folders and the command.
        const ENTER: &str = r#"set -e
root=$1 count=$2; shift 2
mount --rbind /proc "$root/proc"
while [ "$count" -gt 0 ]; do
    mkdir -p "$root$1"
    mount --bind "$1" "$root$1"
    shift; count=$((count - 1))
done
exec chroot "$root" "$@""#;
        let mut command = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            // Root of a user namespace may mount and change its root as well; what it writes
            // belongs to the caller.
            command.arg("--map-root-user");
        }
        command
            .args(["--mount", "--propagation", "private", "sh", "-c", ENTER, "enter"])
            .arg(&self.root);
        command.arg(folders.len().to_string()).args(folders).arg(program);
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }
}

fn list_of_packages(root: &Path) -> PathBuf {
    root.join("etc/ashmem-chroot")
}
