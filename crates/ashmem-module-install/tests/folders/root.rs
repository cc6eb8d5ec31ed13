// SPDX-License-Identifier: MIT OR Apache-2.0
//! A folder in a machine's place.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ashmem_doctor::Host;
use ashmem_module_install::{Error, InstallPlan, InstallRefusal, InstallRequest, TargetMachine};

/// The kernel in there.
pub(crate) const RELEASE: &str = "6.1.0-53-amd64";

pub(crate) struct Root(tempfile::TempDir);

impl Root {
    /// A Debian with a kernel, its headers, and everything that a build wants, as far as files
    /// tell.
    pub(crate) fn debian() -> Self {
        let root = Self(tempfile::tempdir().expect("a folder"));
        root.file("etc/os-release", "ID=debian\n")
            .file("proc/sys/kernel/osrelease", &format!("{RELEASE}\n"))
            .file("proc/modules", "")
            .file("run/udev/control", "")
            .file("var/lib/dpkg/status", "")
            .kernel(RELEASE)
            .file(&format!("lib/modules/{RELEASE}/build/.kernelvariables"), "CC = gcc-12\n");
        for name in ["bin/make", "bin/gcc-12", "sbin/depmod", "sbin/modprobe", "bin/rustc"] {
            root.program(&format!("usr/{name}"));
        }
        root
    }

    pub(crate) fn kernel(&self, release: &str) -> &Self {
        self.file(&format!("lib/modules/{release}/modules.builtin"), "")
            .file(&format!("lib/modules/{release}/build/Makefile"), "")
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub(crate) fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("a folder above")).expect("folders");
        fs::write(path, text).expect("a file");
        self
    }

    pub(crate) fn program(&self, path: &str) -> &Self {
        self.file(path, "#!/bin/sh\n");
        let rights = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.at(path), rights).expect("its mode");
        self
    }

    pub(crate) fn remove(&self, path: &str) -> &Self {
        let path = self.at(path);
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        self
    }

    /// The machine, whose kernel runs.
    pub(crate) fn machine(&self) -> TargetMachine {
        TargetMachine::new(Host::at(self.0.path()).expect("the root"), true)
    }

    pub(crate) fn plan(&self) -> Result<InstallPlan, Error> {
        let request = InstallRequest { load: true, ..InstallRequest::default() };
        InstallPlan::make(&self.machine(), &request)
    }

    /// What stands in the way.
    #[track_caller]
    pub(crate) fn refusal(&self) -> InstallRefusal {
        match self.plan() {
            Err(Error::Refused(refusal)) => refusal,
            other => panic!("nothing stands in the way: {other:?}"),
        }
    }

    /// Every file with its content, every folder without.
    pub(crate) fn everything(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut found = BTreeMap::new();
        collect(self.0.path(), &mut found);
        found
    }
}

fn collect(folder: &Path, found: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
            found.insert(path, None);
        } else {
            let content = fs::read(&path).expect("a file");
            found.insert(path, Some(content));
        }
    }
}
