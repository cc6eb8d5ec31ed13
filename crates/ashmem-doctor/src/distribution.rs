// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which distribution this is, or a log comes from, for the commands that install something.

use std::sync::LazyLock;

use regex::{Regex, RegexSet};

use crate::{Host, board, kernel_release};

/// A family of distributions with one package manager and one way to kernels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// apt: Debian and theirs.
    Debian,
    /// apt, with modules in packages of their own: Ubuntu and theirs.
    Ubuntu,
    /// apt, with Proxmox's kernel.
    Proxmox,
    /// dnf: Fedora and theirs.
    Fedora,
    /// dnf, with a kernel of long standing: RHEL, Alma, Rocky, Oracle, CentOS Stream.
    Enterprise,
    /// pacman: Arch and theirs.
    Arch,
    /// pacman, with kernels built by clang.
    CachyOs,
    /// zypper: openSUSE and SLES.
    Suse,
    /// apk: Alpine and postmarketOS.
    Alpine,
    /// xbps: Void.
    Void,
    /// nix: the whole system, modules too, is built from its configuration.
    NixOs,
    /// Windows' Linux: the kernel is Microsoft's, whatever runs on it.
    Wsl,
    /// Any other, by the name it gives itself.
    Other(String),
}

/// How a kernel's release tells who built it, the particular first.
const RELEASES: [(&str, Distribution); 16] = [
    // NixOS keeps a release's modules below a path that tells more than the release.
    (r"/run/(booted|current)-system/", Distribution::NixOs),
    (r"-microsoft(-standard)?(-WSL2)?", Distribution::Wsl),
    (r"\d-pve\b|-(\d+)-bpo\S*-pve", Distribution::Proxmox),
    (r"\.fc\d{2}\b", Distribution::Fedora),
    (r"\.el\d+(_\d+|uek)?\b|\.amzn\d+", Distribution::Enterprise),
    (r"-cachyos\b", Distribution::CachyOs),
    (r"-arch\d+-\d|-zen\d+(-\d+)?-zen|-manjaro\b|-\d+-MANJARO|-hardened\d+-", Distribution::Arch),
    (r"\+deb\d+|-\d+-(cloud-|rt-)?(amd64|arm64|686-pae|armmp)\b", Distribution::Debian),
    (r"\+rpt-rpi|\d-rpi\d?-(v8|2712)", Distribution::Debian),
    (
        r"-\d+-(generic|lowlatency|azure|aws|gcp|oracle|kvm|raspi|oem|nvidia|ibm|gke)\b",
        Distribution::Ubuntu,
    ),
    (r"-\d[\d.-]*-(default|preempt|azure|kvmsmall|vanilla)\b", Distribution::Suse),
    (r"-0-(lts|virt|edge|stable|rpi)\b|-postmarketos", Distribution::Alpine),
    (r"-[1-9]\d*-lts\b", Distribution::Arch),
    (r"-linuxkit\b", Distribution::Alpine),
    // Void counts a package's revisions so, and so does no other kernel here.
    (r"\b\d+\.\d+\.\d+_\d+\b", Distribution::Void),
    (r"-\d+-default\b", Distribution::Suse),
];

/// Kernels that are called as Ubuntu's and are not in its archive: Pop!_OS' (76, and two digits or
/// a date), and the builds of plain Linux that Ubuntu offers for trials (a version of six digits).
static OTHERS_GENERIC: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"-(76\d{2}|76\d{6}|0\d{5})([a-z]\w*)?-(generic|lowlatency)")
        .expect("the pattern is tested")
});

/// How other words of a log tell the distribution.
const WORDS: [(&str, Distribution); 10] = [
    (r"\bWSL2\b", Distribution::Wsl),
    (r"\bCachyOS\b", Distribution::CachyOs),
    (r"\(Ubuntu [\d.]+-|Ubuntu \d\d\.\d\d|\bubuntu\d*~?\d*\b", Distribution::Ubuntu),
    (r"\(Debian [\d.]+-|Debian GNU/Linux", Distribution::Debian),
    (r"\(Red Hat [\d.]+-", Distribution::Fedora),
    (r"\(SUSE Linux\)|\bopenSUSE\b|No provider of '|\bzypper\b", Distribution::Suse),
    (r"^error: target not found: |\bpacman\b|==> ERROR|\bmakepkg\b|Arch Linux", Distribution::Arch),
    (r"unable to select packages|\bapk add\b|Alpine Linux", Distribution::Alpine),
    (r"\bxbps-\w+\b|Void Linux", Distribution::Void),
    (
        r"/nix/store/|\bnixos-rebuild\b|\bNixOS\b|^error: attribute '[^']*' (in selection|missing)",
        Distribution::NixOs,
    ),
];

/// Tools that several distributions share: they tell a family only.
const TOOLS: [(&str, Distribution); 3] = [
    (r"^E: |\bapt(-get)? install|\bdpkg: ", Distribution::Debian),
    (r"^No match for argument: |Unable to find a match: |\bdnf install\b", Distribution::Fedora),
    // busybox' kmod.
    (
        r"\bmodprobe: (can't (load module|change directory)|module \S+ not found in modules\.dep)",
        Distribution::Alpine,
    ),
];

/// How a module comes to NixOS.
const NIX_MODULE: &str = "# hardware.ashmem.enable in configuration.nix, by nix/module.nix of a \
                          release's archive: docs/install.md, Other distributions";

static RELEASE_SET: LazyLock<RegexSet> = LazyLock::new(|| set(&RELEASES));
static WORD_SET: LazyLock<RegexSet> = LazyLock::new(|| set(&WORDS));
static TOOL_SET: LazyLock<RegexSet> = LazyLock::new(|| set(&TOOLS));

fn set(table: &[(&str, Distribution)]) -> RegexSet {
    RegexSet::new(table.iter().map(|(pattern, _)| pattern)).expect("the patterns are tested")
}

impl Distribution {
    /// Who built a kernel, as its release tells, alone or in a text; `None`: nobody who is known
    /// here.
    pub fn of_release(release: &str) -> Option<Self> {
        let found = RELEASE_SET.matches(release).iter().next()?;
        let (_, distribution) = RELEASES.get(found)?;
        let is_packaged = *distribution != Self::Ubuntu || !OTHERS_GENERIC.is_match(release);
        is_packaged.then(|| distribution.clone())
    }

    /// What a text of a log tells: by a kernel's release, or else by other words.
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        let words = || {
            let found = WORD_SET.matches(text).iter().next()?;
            WORDS.get(found).map(|(_, distribution)| distribution.clone())
        };
        Self::of_release(text).or_else(words)
    }

    /// The family that a tool's words in a log tell.
    pub(crate) fn of_tool(text: &str) -> Option<Self> {
        let found = TOOL_SET.matches(text).iter().next()?;
        TOOLS.get(found).map(|(_, distribution)| distribution.clone())
    }

    /// This root's.
    pub fn of(host: &Host) -> Self {
        let kernel = host.kernel();
        if kernel.contains("microsoft") {
            return Self::Wsl;
        }
        let file = host
            .text("/etc/os-release")
            .or_else(|| host.text("/usr/lib/os-release"))
            .unwrap_or_default();
        let field = |key: &str| {
            let line = file.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
        };
        let (id, like) = (field("ID"), field("ID_LIKE"));
        let is = |names: &[&str]| {
            std::iter::once(id.as_str())
                .chain(like.split(' '))
                .any(|name| names.iter().any(|known| name.starts_with(known)))
        };
        if id == "cachyos" {
            Self::CachyOs
        } else if is(&["ubuntu"]) {
            Self::Ubuntu
        } else if is(&["debian"]) {
            if kernel.ends_with("-pve") { Self::Proxmox } else { Self::Debian }
        } else if is(&["rhel", "centos", "ol", "amzn"]) {
            Self::Enterprise
        } else if is(&["fedora"]) {
            Self::Fedora
        } else if is(&["arch"]) {
            Self::Arch
        } else if is(&["suse", "opensuse", "sles"]) {
            Self::Suse
        } else if is(&["alpine", "postmarketos"]) {
            Self::Alpine
        } else if is(&["void"]) {
            Self::Void
        } else if is(&["nixos"]) {
            Self::NixOs
        } else {
            Self::Other(if id.is_empty() { "this system".to_owned() } else { id })
        }
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        match self {
            Self::Debian => "Debian",
            Self::Ubuntu => "Ubuntu",
            Self::Proxmox => "Proxmox",
            Self::Fedora => "Fedora",
            Self::Enterprise => "Enterprise Linux",
            Self::Arch => "Arch",
            Self::CachyOs => "CachyOS",
            Self::Suse => "openSUSE",
            Self::Alpine => "Alpine",
            Self::Void => "Void",
            Self::NixOs => "NixOS",
            Self::Wsl => "WSL",
            Self::Other(name) => name,
        }
    }

    /// The command that installs this project's module.
    pub fn install_module(&self) -> String {
        match self {
            Self::NixOs => NIX_MODULE.to_owned(),
            Self::Wsl => {
                "# WSL's kernel takes no module of others: `ashmem run -- PROGRAM` and the \
                          agent need none"
                    .to_owned()
            }
            _ => "sudo ashmem module install".to_owned(),
        }
    }

    /// The command that installs this project's program with its services, or where to read on
    /// where there is no package of it.
    pub fn install_program(&self) -> String {
        match self {
            Self::Debian | Self::Ubuntu | Self::Proxmox => {
                "sudo apt install ./ashmem_*.deb   # the package's file: docs/install.md".to_owned()
            }
            other => format!(
                "# there is no package of ashmem for {}: docs/install.md builds it from source",
                other.name()
            ),
        }
    }

    /// The command that installs a package of the distribution's own.
    pub fn install(&self, package: &str) -> String {
        match self {
            Self::Debian | Self::Ubuntu | Self::Proxmox => format!("sudo apt install {package}"),
            Self::Fedora | Self::Enterprise => format!("sudo dnf install {package}"),
            Self::Arch | Self::CachyOs => format!("sudo pacman -S {package}"),
            Self::Suse => format!("sudo zypper install {package}"),
            Self::Alpine => format!("sudo apk add {package}"),
            Self::Void => format!("sudo xbps-install {package}"),
            Self::NixOs => {
                format!("# environment.systemPackages = [ pkgs.{package} ]; in configuration.nix")
            }
            Self::Wsl | Self::Other(_) => format!("# install {package}"),
        }
    }

    /// The command that removes a package.
    pub fn uninstall(&self, package: &str) -> String {
        match self {
            Self::Debian | Self::Ubuntu | Self::Proxmox => format!("sudo apt purge {package}"),
            Self::Fedora | Self::Enterprise => format!("sudo dnf remove {package}"),
            Self::Arch | Self::CachyOs => format!("sudo pacman -R {package}"),
            Self::Suse => format!("sudo zypper remove {package}"),
            Self::Alpine => format!("sudo apk del {package}"),
            Self::Void => format!("sudo xbps-remove {package}"),
            Self::NixOs | Self::Wsl | Self::Other(_) => format!("# remove {package}"),
        }
    }

    /// The command that installs what modules for a kernel are built with.
    pub fn install_headers(&self, release: &str) -> String {
        if let Some(command) = board::headers(release) {
            return command;
        }
        match self {
            Self::Debian | Self::Ubuntu => format!("sudo apt install linux-headers-{release}"),
            Self::Proxmox => format!("sudo apt install proxmox-headers-{release}"),
            Self::Fedora => format!("sudo dnf install kernel-devel-{release}"),
            Self::Enterprise if release.contains("uek") => {
                format!("sudo dnf install kernel-uek-devel-{release}")
            }
            Self::Enterprise => format!("sudo dnf install kernel-devel-{release}"),
            Self::Arch => format!("sudo pacman -S {}", arch_headers(release)),
            Self::CachyOs => {
                "sudo pacman -S linux-cachyos-headers   # named after the kernel's package: pacman \
                 -Q | grep linux-cachyos"
                    .to_owned()
            }
            Self::Suse => format!("sudo zypper install {}", suse_headers(release)),
            Self::Alpine => format!("sudo apk add {}", alpine_headers(release)),
            Self::Void => format!("sudo xbps-install {}", void_headers(release)),
            Self::NixOs => NIX_MODULE.to_owned(),
            Self::Wsl => {
                "# WSL has no package of its kernel's headers: `ashmem run` needs none".to_owned()
            }
            Self::Other(_) => {
                format!(
                    "# install the headers of kernel {release} (/lib/modules/{release}/build must \
                     exist)"
                )
            }
        }
    }
}

fn arch_headers(release: &str) -> &'static str {
    if release.contains("zen") {
        "linux-zen-headers"
    } else if release.ends_with("-lts") {
        "linux-lts-headers"
    } else if release.contains("hardened") {
        "linux-hardened-headers"
    } else {
        "linux-headers"
    }
}

/// Alpine's kernels are called after their flavour, and so are their headers.
fn alpine_headers(release: &str) -> String {
    let flavour = release.rsplit('-').next().filter(|word| word.chars().all(char::is_alphabetic));
    format!("linux-{}-dev", flavour.unwrap_or("lts"))
}

/// Void's headers are called after the series: `linux6.12-headers`.
fn void_headers(release: &str) -> String {
    match kernel_release::version(release) {
        Some((major, minor)) => format!("linux{major}.{minor}-headers"),
        None => "linux-headers".to_owned(),
    }
}

fn suse_headers(release: &str) -> String {
    let flavour = release.rsplit('-').next().filter(|word| word.chars().all(char::is_alphabetic));
    format!("kernel-{}-devel", flavour.unwrap_or("default"))
}

#[cfg(test)]
mod tests {
    use super::Distribution;

    #[test]
    fn headers_are_called_as_each_distribution_calls_them() {
        for (distribution, release, command) in [
            (Distribution::Void, "6.12.30_1", "sudo xbps-install linux6.12-headers"),
            (Distribution::Alpine, "6.6.58-0-virt", "sudo apk add linux-virt-dev"),
            (Distribution::Alpine, "6.6.58-0-lts", "sudo apk add linux-lts-dev"),
            (Distribution::Alpine, "6.14.1-0-stable", "sudo apk add linux-stable-dev"),
        ] {
            assert_eq!(distribution.install_headers(release), command);
        }
        assert!(Distribution::NixOs.install_headers("6.12.30").contains("hardware.ashmem.enable"));
    }
}
