// SPDX-License-Identifier: MIT OR Apache-2.0
//! The next step, in the words of the distribution that it is for.

use std::collections::BTreeSet;

use crate::board::{self, Board};
use crate::distribution::Distribution;
use crate::kernel_release;
use crate::log_origin::LogOrigin;

/// A step: fixed, or worded for a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// The same everywhere. A line that begins with `#` is for the reader.
    Do(&'static str),
    /// Install what modules are built with for the kernel.
    Headers,
    /// Build the programs that belong to the headers anew.
    HeadersScripts,
    /// Install a compiler and make.
    Compiler,
    /// Install clang and its linker.
    Clang,
    /// Install this project's module.
    Module,
    /// Bring binder, which may be there and not loaded.
    Binder,
    /// Come to a kernel that has binder: this one has not.
    BinderKernel,
    /// Remove the old module of binder that DKMS builds.
    RemoveBinder,
    /// Remove what DKMS kept of modules whose source is gone.
    RemoveTrees,
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
    /// The lines to show, for a distribution and for what a log tells of its machine: its kernel's
    /// release (the running one's, if it tells none) and modules' trees.
    pub fn lines(self, distribution: &Distribution, origin: &LogOrigin) -> Vec<String> {
        let release = origin.release().unwrap_or("$(uname -r)");
        match self {
            Self::Do(line) => vec![line.to_owned()],
            Self::Headers => vec![headers(distribution, release)],
            Self::HeadersScripts => vec![
                compiler(distribution),
                format!(
                    "sudo make -C /lib/modules/{release}/build scripts   # on this machine; it \
                     wants bison, flex and OpenSSL's headers too"
                ),
            ],
            Self::Compiler => vec![compiler(distribution)],
            Self::Clang => vec![clang(distribution)],
            Self::Module => module(distribution, origin),
            Self::Binder => binder(distribution, release),
            Self::BinderKernel => binder_kernel(distribution, release),
            Self::RemoveBinder => vec![remove_binder(origin)],
            Self::RemoveTrees => remove_trees(origin),
            Self::Package(name) => vec![distribution.install(name)],
            Self::Rebuild => vec![format!("sudo dkms autoinstall -k {release}")],
        }
    }
}

/// What installs a kernel's headers, or who has them.
fn headers(distribution: &Distribution, release: &str) -> String {
    let is_packaged = Board::of(release).is_some() || board::headers(release).is_some();
    if !is_packaged && Distribution::of_release(release).is_none() && is_told(release) {
        let is_by_name = matches!(
            distribution,
            Distribution::Debian
                | Distribution::Ubuntu
                | Distribution::Proxmox
                | Distribution::Fedora
                | Distribution::Enterprise
        );
        if is_by_name {
            return format!(
                "# the headers of kernel {release} come from whoever built it: \
                 /lib/modules/{release}/build must lead to them"
            );
        }
    }
    distribution.install_headers(release)
}

/// Whether a log told the kernel's release.
fn is_told(release: &str) -> bool {
    release.starts_with(|sign: char| sign.is_ascii_digit())
}

/// What brings ashmem: before 5.18 a kernel may have its own, and this project's module has an
/// oldest kernel.
fn module(distribution: &Distribution, origin: &LogOrigin) -> Vec<String> {
    let release = origin.release().unwrap_or_default();
    let version = kernel_release::version(release);
    let is_ubuntus = Distribution::of_release(release) == Some(Distribution::Ubuntu);
    let mut lines = Vec::new();
    if is_ubuntus && version.is_some_and(|version| version < (5, 18)) {
        lines.push(format!("sudo apt install linux-modules-extra-{release}   # Ubuntu's own"));
        lines.push("sudo modprobe ashmem_linux".to_owned());
    }
    match version {
        Some(version) if version < OLDEST => lines.push(format!(
            "# this project's module is for kernels from 5.10 on, not for {release}: where the \
             kernel has no driver of its own, boot a newer one"
        )),
        _ => lines.push(distribution.install_module()),
    }
    lines
}

/// The oldest kernel that this project's module is for.
const OLDEST: (u32, u32) = (5, 10);

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

/// What removes a port of binder's module, by the name that the log has for it.
fn remove_binder(origin: &LogOrigin) -> String {
    match origin.trees().iter().find(|tree| tree.name.contains("binder")) {
        Some(tree) => format!("sudo dkms remove {}/{} --all", tree.name, tree.version),
        None => "# remove the old module: dkms status | grep -i binder; sudo dkms remove \
                 NAME/VERSION --all"
            .to_owned(),
    }
}

/// What removes the trees that the log names: `dkms remove` wants the source that is gone.
fn remove_trees(origin: &LogOrigin) -> Vec<String> {
    let gone = origin.trees().iter().filter(|tree| tree.is_gone);
    let names: BTreeSet<_> = gone.map(|tree| &tree.name).collect();
    if names.is_empty() {
        return vec![
            "sudo find /var/lib/dkms -maxdepth 3 -xtype l   # links whose source is gone: \
                     remove the folder of that module"
                .to_owned(),
        ];
    }
    names.iter().map(|name| format!("sudo rm -r /var/lib/dkms/{name}")).collect()
}

/// What brings binder where the running kernel may have it, loaded or not.
pub fn binder(distribution: &Distribution, release: &str) -> Vec<String> {
    match distribution {
        Distribution::Debian if !is_none_of_a_distribution(distribution, release) => vec![
            LOAD_BINDER.to_owned(),
            "# Debian's kernels have it as a module, without binderfs; those named -cloud- have \
             none: sudo apt install linux-image-$(dpkg --print-architecture), reboot"
                .to_owned(),
        ],
        Distribution::Void | Distribution::Other(_) => [
            "# a kernel with CONFIG_ANDROID_BINDER_IPC and CONFIG_ANDROID_BINDERFS: grep \
             ANDROID_BINDER /boot/config-$(uname -r)",
            "sudo modprobe binder_linux devices=binder,hwbinder,vndbinder   # if it is a module",
            "sudo mkdir -p /dev/binderfs && sudo mount -t binder binder /dev/binderfs   # if it \
             has binderfs",
        ]
        .map(str::to_owned)
        .to_vec(),
        other => binder_kernel(other, release),
    }
}

/// Whether whoever built a kernel is no distribution: a board's maker, an appliance's, its user.
fn is_none_of_a_distribution(distribution: &Distribution, release: &str) -> bool {
    let is_built_here = matches!(
        distribution,
        Distribution::NixOs | Distribution::Void | Distribution::Alpine | Distribution::Wsl
    );
    let is_foreign = match Distribution::of_release(release) {
        None => !is_built_here,
        // Docker Desktop's machine, and phones' kernels.
        Some(_) if release.contains("linuxkit") || release.contains("postmarketos") => true,
        Some(Distribution::Debian) => Board::of(release).is_some(),
        Some(_) => false,
    };
    is_told(release) && is_foreign
}

/// What is known of makers of kernels that no distribution's package manager brings.
fn maker(release: &str) -> Option<&'static str> {
    if release.contains("-neptune") {
        return Some(
            "# SteamOS: an installer of Waydroid brings binder's module for this very kernel: \
             take its newest version (git pull) and run it again after each update of SteamOS",
        );
    }
    if release.contains("-orbstack") {
        return Some("# OrbStack: its kernel has binder built in, and takes no modules");
    }
    None
}

/// What leads to a kernel with binder: each distribution has decided it for itself.
pub fn binder_kernel(distribution: &Distribution, release: &str) -> Vec<String> {
    if is_none_of_a_distribution(distribution, release) {
        return vec![
            format!(
                "# whoever built kernel {release} left binder out (if it was updated since the \
                 boot: reboot first)"
            ),
            "# build it with CONFIG_ANDROID_BINDER_IPC=y, CONFIG_ANDROID_BINDERFS=y and \
             CONFIG_ANDROID_BINDER_DEVICES=\"binder,hwbinder,vndbinder\", or boot another kernel \
             that has them"
                .to_owned(),
            "# in a container the kernel is the host's: all this is done on the host".to_owned(),
        ]
        .into_iter()
        .chain(maker(release).map(str::to_owned))
        .collect();
    }
    let lines: &[&str] = match distribution {
        Distribution::Debian => &[
            "# Debian's kernels for amd64 and arm64 have it as a module, without binderfs; those \
             named -cloud- have none: sudo apt install linux-image-$(dpkg --print-architecture)",
            "sudo systemctl reboot   # an update may have taken the running kernel's modules away",
            "sudo modprobe binder_linux devices=binder,hwbinder,vndbinder   # after it",
        ],
        Distribution::Ubuntu => {
            return vec![
                format!("sudo apt install linux-modules-extra-{release}"),
                LOAD_BINDER.to_owned(),
            ];
        }
        Distribution::Proxmox => &["# on the host, not in the guest:", LOAD_BINDER],
        Distribution::Fedora
            if kernel_release::version(release).is_some_and(|version| version < (5, 15)) =>
        {
            &[
                "# Fedora's kernels have binder and binderfs built in since 5.15, and this one is \
               older: sudo dnf upgrade, reboot, and mount it:",
                MOUNT_BINDER,
            ]
        }
        Distribution::Fedora => &[
            "# Fedora's kernels have binder and binderfs built in since 5.15: there is no module \
             to load",
            MOUNT_BINDER,
        ],
        Distribution::Enterprise => &[
            "# this kernel is built without binder (CONFIG_ANDROID_BINDER_IPC): boot one that has \
             it and CONFIG_ANDROID_BINDERFS, or build binder_linux with DKMS",
        ],
        Distribution::Arch if release.ends_with("-lts") || release.contains("hardened") => &[
            "# linux-lts and linux-hardened are built without binder; linux-zen has binder and \
             binderfs built in:",
            "sudo pacman -S linux-zen linux-zen-headers   # boot it, then:",
            MOUNT_BINDER,
            "# or for this kernel: binder_linux-dkms of the AUR",
        ],
        Distribution::Arch => &[
            "# linux since 6.12.7 and linux-zen have binder and binderfs built in: there is no \
             module to load",
            MOUNT_BINDER,
            "# other kernels (linux-lts, linux-hardened): linux-zen, or binder_linux-dkms of the \
             AUR",
        ],
        Distribution::CachyOs => &[
            "# CachyOS' kernels have binder and binderfs built in: there is no module to load",
            MOUNT_BINDER,
        ],
        Distribution::Suse => {
            &["# openSUSE's kernels are built without binder: a module package (KMP) of the build \
             service (zypper search binder), or a kernel with CONFIG_ANDROID_BINDERFS=y"]
        }
        Distribution::Alpine if release.ends_with("-virt") => &[
            "# linux-virt is built without binder; linux-lts is the fuller kernel:",
            "sudo apk add linux-lts   # boot that kernel, then:",
            "grep ANDROID_BINDER /boot/config-*lts",
            MOUNT_BINDER,
        ],
        Distribution::Alpine => &[
            "# see whether this kernel has it: grep ANDROID_BINDER /boot/config-*   (linux-virt \
             has less than linux-lts)",
            MOUNT_BINDER,
        ],
        Distribution::Wsl => {
            &["# Microsoft's kernel has no binder: build one with CONFIG_ANDROID_BINDER_IPC=y and \
             CONFIG_ANDROID_BINDERFS=y, and name it in .wslconfig (kernel=)"]
        }
        Distribution::NixOs => &[
            "# virtualisation.waydroid.enable = true; in configuration.nix brings it, with a \
             kernel that has it: boot.kernelPackages = pkgs.linuxPackages_latest; or \
             linuxPackages_zen",
            "sudo nixos-rebuild boot && sudo systemctl reboot   # then:",
            MOUNT_BINDER,
        ],
        Distribution::Void | Distribution::Other(_) => &[
            "# a kernel with CONFIG_ANDROID_BINDER_IPC and CONFIG_ANDROID_BINDERFS: grep \
             ANDROID_BINDER /boot/config-$(uname -r)",
            MOUNT_BINDER,
        ],
    };
    lines.iter().map(|line| (*line).to_owned()).collect()
}
