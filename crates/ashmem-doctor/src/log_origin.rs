// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a log tells of the machine that it comes from: its distribution, its kernel, and what DKMS
//! keeps there.

use std::sync::LazyLock;

use regex::Regex;

use crate::distribution::Distribution;

/// A kernel's release, where a text names one.
static RELEASE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?:modules/|linux-(?:headers|image|modules(?:-extra)?)-|kernel-devel-|kernel:? |",
        r"for kernel |(?:==> ERROR: |^)Missing |KERNELRELEASE=|Linux version |Linux \S+ |",
        r"\bsrc/kernels/|uname -r: |magic ')",
        r"(\d+\.\d+[\w.+~-]*)"
    ))
    .expect("the pattern is tested")
});

/// A module's tree of DKMS, by its path, its source's or as `dkms status` names it.
static TREE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"\b(?<name>[A-Za-z][0-9A-Za-z_+-]+)/(?<version>r?[0-9][0-9A-Za-z_.+~-]*)(?:[/:,\s]|$)|",
        r"/usr/src/(?<source>[A-Za-z][0-9A-Za-z_+-]+?)-(?<of>r?[0-9][0-9A-Za-z_.+~-]*)/"
    ))
    .expect("the pattern is tested")
});

/// How DKMS says that a tree's source is gone.
static GONE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)/source(/dkms\.conf)?\W+(does not exist|no such file)|: broken\b|",
        r"missing the module source directory"
    ))
    .expect("the pattern is tested")
});

/// What a log tells of the machine that it comes from.
#[derive(Debug, Default)]
pub struct LogOrigin {
    named: Option<Distribution>,
    tool: Option<Distribution>,
    release: Option<String>,
    trees: Vec<DkmsTree>,
}

/// What DKMS keeps of one version of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DkmsTree {
    /// The module's name there.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether the log says that its source is gone.
    pub is_gone: bool,
}

/// More trees are not remembered.
const TREES: usize = 8;
/// What is longer, in bytes, name and version together, is no tree's.
const LONGEST_NAME: usize = 100;

impl LogOrigin {
    /// Looks at one more text; the first that tells counts.
    pub fn add(&mut self, text: &str) {
        if self.release.is_none() {
            // The log's writer may be anybody, and the release ends in a command: no other signs.
            self.release = RELEASE
                .captures(text)
                .and_then(|found| Some(found.get(1)?.as_str()))
                .map(|release| release.trim_end_matches(['.', '-', '~']).to_owned())
                .filter(|release| release.len() < 64);
        }
        if self.named.is_none() {
            self.named = Distribution::of_text(text);
        }
        if self.tool.is_none() {
            self.tool = Distribution::of_tool(text);
        }
        if text.contains("ashmem") || text.contains("binder") {
            self.add_trees(text);
        }
    }

    fn add_trees(&mut self, text: &str) {
        let is_gone = GONE.is_match(text);
        for found in TREE.captures_iter(text) {
            // They end in commands too: the pattern has no sign that a shell obeys.
            let part = |one, other| found.name(one).or(found.name(other)).map(|part| part.as_str());
            let (Some(name), Some(of)) = (part("name", "source"), part("version", "of")) else {
                continue;
            };
            let (name, version) = (name.to_owned(), of.trim_end_matches(['.', '-']).to_owned());
            let is_same = |tree: &&mut DkmsTree| tree.name == name && tree.version == version;
            if let Some(known) = self.trees.iter_mut().find(is_same) {
                known.is_gone |= is_gone;
            } else if self.trees.len() < TREES
                && name.len() + version.len() < LONGEST_NAME
                && ["ashmem", "binder"].iter().any(|word| name.contains(word))
            {
                self.trees.push(DkmsTree { name, version, is_gone });
            }
        }
    }

    /// The trees of DKMS that the log names: of ashmem's modules, and of binder's.
    pub fn trees(&self) -> &[DkmsTree] {
        &self.trees
    }

    /// The distribution, if the log told it.
    pub fn distribution(&self) -> Option<Distribution> {
        self.named.clone().or_else(|| self.tool.clone())
    }

    /// The kernel's release, if the log told it.
    pub fn release(&self) -> Option<&str> {
        self.release.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::LogOrigin;
    use crate::distribution::Distribution;

    fn of(text: &str) -> Option<Distribution> {
        let mut origin = LogOrigin::default();
        origin.add(text);
        origin.distribution()
    }

    #[test]
    fn a_release_tells_who_built_it() {
        use Distribution::{
            Alpine, Arch, CachyOs, Debian, Enterprise, Fedora, Proxmox, Suse, Ubuntu, Void, Wsl,
        };
        for (release, distribution) in [
            ("6.11.4-301.fc41.x86_64", Fedora),
            ("5.14.0-503.11.1.el9_5.x86_64", Enterprise),
            ("5.15.0-210.163.7.el8uek.x86_64", Enterprise),
            ("6.12.4-arch1-1", Arch),
            ("6.6.1-zen1-1-zen", Arch),
            ("6.6.63-1-lts", Arch),
            ("6.13.2-2-cachyos", CachyOs),
            ("6.13.2-2-cachyos-lto", CachyOs),
            ("6.12.38+deb13-amd64", Debian),
            ("6.1.0-28-amd64", Debian),
            ("6.1.0-28-cloud-amd64", Debian),
            ("6.8.0-49-generic", Ubuntu),
            ("6.5.0-1025-azure", Ubuntu),
            ("6.8.12-4-pve", Proxmox),
            ("6.4.0-150600.23.25-default", Suse),
            ("6.11.8-1-default", Suse),
            ("6.6.58-0-lts", Alpine),
            ("6.6.58-0-virt", Alpine),
            ("6.12.30_1", Void),
            ("5.15.153.1-microsoft-standard-WSL2", Wsl),
        ] {
            let text =
                format!("modprobe: FATAL: Module x not found in directory /lib/modules/{release}");
            assert_eq!(of(&text), Some(distribution), "{release}");
            let mut origin = LogOrigin::default();
            origin.add(&text);
            assert_eq!(origin.release(), Some(release));
        }
    }

    #[test]
    fn words_tell_it_too_and_a_package_managers_name_least() {
        assert_eq!(of("error: target not found: linux-headers"), Some(Distribution::Arch));
        assert_eq!(of("E: Unable to locate package x"), Some(Distribution::Debian));
        assert_eq!(
            of("E: Unable to locate package linux-headers-6.8.0-49-generic"),
            Some(Distribution::Ubuntu)
        );
        assert_eq!(of("bash: xbps-install: Operation not permitted"), Some(Distribution::Void));
        assert_eq!(of("building '/nix/store/x-ashmem.drv'..."), Some(Distribution::NixOs));
        assert_eq!(of("ashmem: Permission denied"), None);
    }

    #[test]
    fn nixos_is_told_by_the_path_of_its_modules() {
        let text = "not found in directory /run/booted-system/kernel-modules/lib/modules/6.6.30";
        assert_eq!(of(text), Some(Distribution::NixOs));
    }

    #[test]
    fn trees_of_dkms_are_found_by_each_way_to_name_them() {
        let mut origin = LogOrigin::default();
        origin.add("/var/lib/dkms/anbox-binder/1/build/binder.c:1:1: error: x");
        origin.add("/usr/src/redroid-binder-1.2/binder.c:1:1: error: x");
        origin.add("anbox-modules-ashmem/9~xenial1: broken");
        origin.add("/var/lib/dkms/nvidia/550/build/x, /dev/binderfs/x, /var/lib/dkms/binder/$(x)/");
        let trees: Vec<_> =
            origin.trees().iter().map(|tree| (&*tree.name, &*tree.version, tree.is_gone)).collect();
        assert_eq!(
            trees,
            [
                ("anbox-binder", "1", false),
                ("redroid-binder", "1.2", false),
                ("anbox-modules-ashmem", "9~xenial1", true),
            ]
        );
    }

    #[test]
    fn a_release_is_nothing_that_a_shell_obeys() {
        let mut origin = LogOrigin::default();
        origin.add("not found in directory /lib/modules/6.1$(reboot)");
        assert_eq!(origin.release(), Some("6.1"));
    }
}
