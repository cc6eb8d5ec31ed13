// SPDX-License-Identifier: MIT OR Apache-2.0
//! The next step, in the words of the distribution that it is for.

use crate::distribution::Distribution;

/// A step: fixed, or worded for a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// The same everywhere. A line that begins with `#` is for the reader.
    Do(&'static str),
    /// Install what modules are built with for the kernel.
    Headers,
    /// Install a compiler and make.
    Compiler,
    /// Install clang and its linker.
    Clang,
    /// Install this project's module.
    Module,
    /// Bring binder.
    Binder,
    /// Build this project's module once more for the kernel.
    Rebuild,
    /// Install a package of the distribution's own.
    Package(&'static str),
}

/// What modprobe(8) wants for a binder that is a module without binderfs.
const LOAD_BINDER: &str = "sudo modprobe binder_linux devices=binder,hwbinder,vndbinder";
/// What a kernel with binderfs wants.
const MOUNT_BINDER: &str =
    "sudo mkdir -p /dev/binderfs && sudo mount -t binder binder /dev/binderfs";

impl NextStep {
    /// The lines to show, for a distribution and a kernel's release (`None`: the running one's).
    pub fn lines(self, distribution: &Distribution, release: Option<&str>) -> Vec<String> {
        let release = release.unwrap_or("$(uname -r)");
        match self {
            Self::Do(line) => vec![line.to_owned()],
            Self::Headers => vec![distribution.install_headers(release)],
            Self::Compiler => vec![compiler(distribution)],
            Self::Clang => vec![clang(distribution)],
            Self::Module => vec![distribution.install_module()],
            Self::Binder => binder(distribution, release),
            Self::Package(name) => vec![distribution.install(name)],
            Self::Rebuild => vec![format!("sudo dkms autoinstall -k {release}")],
        }
    }
}

/// What installs a compiler and make.
pub fn compiler(distribution: &Distribution) -> String {
    match distribution {
        Distribution::Arch | Distribution::CachyOs => distribution.install("base-devel"),
        Distribution::Alpine => distribution.install("build-base"),
        Distribution::Void => distribution.install("base-devel"),
        other => other.install("gcc make"),
    }
}

/// What installs clang with its linker and its other tools.
pub fn clang(distribution: &Distribution) -> String {
    match distribution {
        Distribution::Suse => distribution.install("clang lld llvm"),
        other => other.install("clang llvm lld"),
    }
}

/// What brings binder: each distribution has decided it for itself.
pub fn binder(distribution: &Distribution, release: &str) -> Vec<String> {
    let lines: &[&str] = match distribution {
        Distribution::Debian => &[
            LOAD_BINDER,
            "# Debian's kernels have it as a module, without binderfs; those named -cloud- have \
             none: sudo apt install linux-image-$(dpkg --print-architecture), reboot",
        ],
        Distribution::Ubuntu => {
            return vec![
                format!("sudo apt install linux-modules-extra-{release}"),
                LOAD_BINDER.to_owned(),
            ];
        }
        Distribution::Proxmox => &["# on the host, not in the guest:", LOAD_BINDER],
        Distribution::Fedora => &[
            "# Fedora's kernels have binder and binderfs built in since 5.15: there is no module \
             to load",
            MOUNT_BINDER,
        ],
        Distribution::Enterprise => &[
            "# this kernel is built without binder (CONFIG_ANDROID_BINDER_IPC): boot one that has \
             it and CONFIG_ANDROID_BINDERFS, or build binder_linux with DKMS",
        ],
        Distribution::Arch => &[
            "# linux since 6.12.7 and linux-zen have binder and binderfs built in: there is no \
             module to load",
            MOUNT_BINDER,
            "# other kernels (linux-lts, linux-hardened): binder_linux-dkms of the AUR",
        ],
        Distribution::CachyOs => &[
            "# CachyOS' kernels have binder and binderfs built in: there is no module to load",
            MOUNT_BINDER,
        ],
        Distribution::Suse => {
            &["# openSUSE's kernels are built without binder: a module package (KMP) of the build \
             service (zypper search binder), or a kernel with CONFIG_ANDROID_BINDERFS=y"]
        }
        Distribution::Alpine => &[
            "# see whether this kernel has it: grep ANDROID_BINDER /boot/config-*   (linux-virt \
             may have less than linux-lts)",
            "sudo modprobe binder_linux; sudo mkdir -p /dev/binderfs; sudo mount -t binder binder \
             /dev/binderfs",
        ],
        Distribution::Wsl => {
            &["# Microsoft's kernel has no binder: build one with CONFIG_ANDROID_BINDER_IPC=y and \
             CONFIG_ANDROID_BINDERFS=y, and name it in .wslconfig (kernel=)"]
        }
        Distribution::NixOs => &[
            "# virtualisation.waydroid.enable = true; in configuration.nix brings it (NixOS's \
             kernels have binder and binderfs)",
            MOUNT_BINDER,
        ],
        Distribution::Void | Distribution::Other(_) => &[
            "# a kernel with CONFIG_ANDROID_BINDER_IPC and CONFIG_ANDROID_BINDERFS: grep \
             ANDROID_BINDER /boot/config-$(uname -r)",
            "sudo modprobe binder_linux devices=binder,hwbinder,vndbinder   # if it is a module",
            "sudo mkdir -p /dev/binderfs && sudo mount -t binder binder /dev/binderfs   # if it \
             has binderfs",
        ],
    };
    lines.iter().map(|line| (*line).to_owned()).collect()
}
