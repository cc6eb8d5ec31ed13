// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which distribution this is, for the commands that install something.

use crate::Host;

/// A family of distributions with one package manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// apt: Debian, Ubuntu and theirs.
    Debian,
    /// dnf: Fedora and theirs.
    Fedora,
    /// pacman: Arch and theirs.
    Arch,
    /// Any other, by the name it gives itself.
    Other(String),
}

impl Distribution {
    /// This root's.
    pub fn of(host: &Host) -> Self {
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
            std::iter::once(id.as_str()).chain(like.split(' ')).any(|name| names.contains(&name))
        };
        if is(&["debian", "ubuntu"]) {
            Self::Debian
        } else if is(&["fedora", "rhel", "centos"]) {
            Self::Fedora
        } else if is(&["arch", "archlinux"]) {
            Self::Arch
        } else {
            Self::Other(if id.is_empty() { "this system".to_owned() } else { id })
        }
    }

    /// The command that installs a package of this project, or where to read on where there is
    /// none.
    pub fn install_ours(&self, package: &str) -> String {
        match self {
            Self::Debian => format!(
                "sudo apt install ./{package}_*.deb   # the package's file: docs/install.md"
            ),
            Self::Fedora => format!(
                "# {package}: no repository has it; build it as docs/install.md says under Fedora"
            ),
            Self::Arch => format!(
                "# {package}: no repository has it; build it as docs/install.md says under Arch"
            ),
            Self::Other(name) => {
                format!(
                    "# {package}: there is no package for {name}; docs/install.md builds it from \
                     source"
                )
            }
        }
    }

    /// The command that installs a package of the distribution's own.
    pub fn install(&self, package: &str) -> String {
        match self {
            Self::Debian => format!("sudo apt install {package}"),
            Self::Fedora => format!("sudo dnf install {package}"),
            Self::Arch => format!("sudo pacman -S {package}"),
            Self::Other(_) => format!("# install {package}"),
        }
    }

    /// The command that installs what modules for a kernel are built with.
    pub fn install_headers(&self, release: &str) -> String {
        match self {
            Self::Debian => format!("sudo apt install linux-headers-{release}"),
            Self::Fedora => format!("sudo dnf install kernel-devel-{release}"),
            Self::Arch => "sudo pacman -S linux-headers".to_owned(),
            Self::Other(_) => {
                format!(
                    "# install the headers of kernel {release} (/lib/modules/{release}/build must \
                     exist)"
                )
            }
        }
    }
}
