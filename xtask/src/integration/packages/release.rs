// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Debian releases that packages are tried in, and a small system of each in the cache: what a
//! machine that would install them has (systemd, udev, a kernel with its headers, DKMS), and the
//! files of a second kernel.

use crate::debian::archive::DEBIAN;
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What every system has beside debootstrap's minimum; a shell that needs no library is in the
/// machine's first file system.
fn included(arch: Arch) -> String {
    let arch = arch.debian();
    format!(
        "busybox-static,dkms,gcc,kmod,libc6-dev,linux-headers-{arch},linux-image-{arch},make,\
         openssl,systemd,systemd-sysv,udev"
    )
}

/// A release of Debian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Release {
    /// Debian 11, for the module's package alone: its kernel has the old driver
    Bullseye,
    /// Debian 12
    Bookworm,
    /// Debian 13
    Trixie,
    /// what the next Debian will be
    Sid,
}

impl Release {
    /// The release's name in the archive.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bullseye => "bullseye",
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Sid => "sid",
        }
    }

    /// The second kernel's packages, for apt: a newer line from the backports, or another build of
    /// the same.
    pub(crate) const fn second_kernel(self) -> &'static str {
        match self {
            Self::Bullseye => "linux-image-rt-amd64 linux-headers-rt-amd64",
            Self::Bookworm => "-t bookworm-backports linux-image-amd64 linux-headers-amd64",
            Self::Trixie => "-t trixie-backports linux-image-amd64 linux-headers-amd64",
            Self::Sid => "linux-image-rt-amd64 linux-headers-rt-amd64",
        }
    }

    /// Run inside once: the second kernel is fetched, not installed. One is enough for another
    /// architecture than this machine's.
    fn fetch_second_kernel(self, arch: Arch) -> String {
        if arch != Arch::X86_64 {
            return "apt-get -q update\n".to_owned();
        }
        let backports = match self {
            Self::Bookworm | Self::Trixie => {
                format!(
                    "echo 'deb {DEBIAN} {self}-backports main' \
                     >/etc/apt/sources.list.d/backports.list\n"
                )
            }
            Self::Bullseye | Self::Sid => String::new(),
        };
        format!(
            "export DEBIAN_FRONTEND=noninteractive\n\
             {backports}apt-get -q -o Acquire::Check-Valid-Until=false update\n\
             apt-get -q install -y --no-install-recommends --download-only {}\n",
            self.second_kernel()
        )
    }

    /// Whether the release's kernel has Android's own driver.
    pub(crate) const fn has_own_driver(self) -> bool {
        matches!(self, Self::Bullseye)
    }

    /// The release's system in the cache, made there if it is missing. Needs root, and for another
    /// architecture than this machine's its emulator.
    pub(crate) fn system(self, arch: Arch) -> Result<PathBuf> {
        let name = format!("{}{self}", arch.prefix());
        let root = workspace::cache("roots")?.join(&name);
        let _lock = workspace::lock(&format!("root-{name}"))?;
        let (included, second) = (included(arch), self.fetch_second_kernel(arch));
        let recipe = format!("{included}\n{second}");
        if fs::read_to_string(recipe_of(&root)).is_ok_and(|have| have == recipe) {
            return Ok(root);
        }
        if !rustix::process::geteuid().is_root() {
            bail!(
                "making a system of Debian's {self} needs root: run this as root, {}",
                workspace::with_root()?
            );
        }
        eprintln!("making a system of Debian's {self} for {arch} (some minutes) ...");
        workspace::make_whole(&root, |part| {
            process::capture(
                Command::new("unshare")
                    .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
                    // Its machine starts with an initramfs of ours; making one of Debian's takes an
                    // emulator half an hour.
                    .env("INITRD", "No")
                    .args([
                        "--mount",
                        "--propagation",
                        "private",
                        "debootstrap",
                        "--variant=minbase",
                    ])
                    .arg(format!("--arch={}", arch.debian()))
                    .args([&format!("--include={included}"), self.name()])
                    .arg(part)
                    .arg(DEBIAN),
            )?;
            let (text, status) = process::capture_both(&mut enter(part, &second))?;
            if !status.success() {
                bail!(
                    "fetching a second kernel for {self} ended with {}:\n{text}",
                    process::describe(status)
                );
            }
            fs::write(recipe_of(part), &recipe).context("noting how the system was made")
        })?;
        Ok(root)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A shell's script as a command inside a root, with `/proc` and nothing else of this machine.
fn enter(root: &Path, script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--propagation",
        "private",
        "sh",
        "-c",
    ]);
    command
        .args([r#"mount -t proc proc "$1/proc" && exec chroot "$1" sh -ec "$2""#, "enter"])
        .arg(root)
        .arg(script);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
        .env("LC_ALL", "C.UTF-8");
    command
}

fn recipe_of(root: &Path) -> PathBuf {
    root.join("etc/ashmem-recipe")
}
