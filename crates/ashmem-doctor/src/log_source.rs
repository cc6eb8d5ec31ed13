// SPDX-License-Identifier: MIT OR Apache-2.0
//! What writes a log's lines, and how serious it says that they are.

use serde::Serialize;

/// What writes lines of this form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogSource {
    /// Android's logcat, in any of its formats.
    Logcat,
    /// The kernel (dmesg), and what Android's first programs write there.
    Kernel,
    /// The journal or syslog.
    Journal,
    /// Waydroid's log, or what it prints.
    Waydroid,
    /// LXC.
    Lxc,
    /// A container engine or runtime: docker, containerd, podman, runc, crun.
    Engine,
    /// Kubernetes: kubelet, its events, kubectl.
    Kubernetes,
    /// kmod: modprobe, insmod, rmmod, depmod.
    Kmod,
    /// A build: DKMS, make, compilers, linkers.
    Build,
    /// A package manager.
    Packages,
    /// A system call, as strace prints it.
    Strace,
    /// Anything else.
    Plain,
}

/// How serious its writer says that a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// It happened: verbose, debug, info, notice.
    Note,
    /// The line does not say.
    Unsaid,
    /// A warning.
    Warning,
    /// An error, or worse.
    Error,
}

impl LogSource {
    /// The source of what a program of this name says, if that tells it.
    pub(crate) fn by_speaker(name: &str) -> Option<Self> {
        use LogSource::{Build, Engine, Journal, Kmod, Kubernetes, Lxc, Packages, Waydroid};
        Some(match name {
            "systemd" => Journal,
            "modprobe"
            | "insmod"
            | "rmmod"
            | "depmod"
            | "modinfo"
            | "kmod"
            | "systemd-modules-load" => Kmod,
            "docker" | "dockerd" | "containerd" | "podman" | "runc" | "crun" | "nerdctl"
            | "conmon" | "crio" => Engine,
            "kubelet" | "kubectl" | "k3s" | "k0s" | "FailedScheduling" => Kubernetes,
            "waydroid" => Waydroid,
            "dkms" | "Error!" | "ERROR (dkms" | "make" | "gmake" | "gcc" | "cc" | "cc1"
            | "clang" | "ld" | "ld.lld" | "ld.bfd" | "as" | "collect2" | "modpost" | "objtool"
            | "pahole" => Build,
            "E" | "W" | "E:" | "W:" | "apt" | "apt-get" | "dpkg" | "dnf" | "pacman" | "yay"
            | "paru" | "zypper" | "apk" | "yum" => Packages,
            name if name.starts_with("lxc-") || name == "lxc" => Lxc,
            name if name.starts_with("systemd-modules-load") => Kmod,
            _ => return None,
        })
    }
}

impl LogLevel {
    /// By the first letter of what the line says: Android's and klog's letters, LXC's and the
    /// engines' words, Kubernetes' kinds of events.
    pub(crate) fn of(word: &str) -> Self {
        match word.bytes().next().map(|byte| byte.to_ascii_uppercase()) {
            Some(b'V' | b'D' | b'I' | b'N' | b'T') => LogLevel::Note,
            Some(b'W') => LogLevel::Warning,
            _ => LogLevel::Error,
        }
    }
}
