// SPDX-License-Identifier: MIT OR Apache-2.0
//! A root directory with what a test puts into it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use ashmem_doctor::finding::{Finding, FindingStatus};
use ashmem_doctor::way::Way;
use ashmem_doctor::{AskedMode, Diagnosis, Host};
use object::write::Object;
use object::{Architecture, BinaryFormat, Endianness, SectionKind};

/// This boot's id in there.
pub(crate) const BOOT_ID: &str = "0f0e0d0c-0b0a-4908-8706-050403020100";
/// The running kernel in there.
pub(crate) const RELEASE: &str = "6.1.0-53-amd64";

/// A Debian machine with a 6.1 kernel that loads modules, and nothing of ours.
pub(crate) struct Root(tempfile::TempDir);

impl Root {
    pub(crate) fn debian() -> Self {
        let root = Self(tempfile::tempdir().expect("a folder"));
        root.file("etc/os-release", "PRETTY_NAME=\"Debian\"\nID=debian\n")
            .file("proc/sys/kernel/osrelease", format!("{RELEASE}\n"))
            .file("proc/sys/kernel/random/boot_id", format!("{BOOT_ID}\n"))
            .file("proc/modules", "")
            .file("proc/misc", "183 hw_random\n144 nvram\n")
            .file(&format!("boot/vmlinuz-{RELEASE}"), "")
            .file(&format!("lib/modules/{RELEASE}/modules.dep"), "");
        root
    }

    /// The same with the module loaded, as far as files tell: its device has minor number 58.
    pub(crate) fn with_module() -> Self {
        let root = Self::debian();
        root.file("proc/misc", " 58 ashmem\n183 hw_random\n")
            .file("sys/module/ashmem_linux/initstate", "live\n")
            .file("sys/module/ashmem_linux/version", "0.1.0\n");
        root
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder above")).expect("folders");
        path
    }

    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        fs::write(self.at(path), content).expect("a file");
        self
    }

    pub(crate) fn program(&self, path: &str) -> &Self {
        self.file(path, "#!/bin/sh\n");
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(0o755)).expect("its mode");
        self
    }

    pub(crate) fn link(&self, path: &str, to: &str) -> &Self {
        symlink(to, self.at(path)).expect("a link");
        self
    }

    /// The module's file for a kernel, said to be built for another maybe.
    pub(crate) fn module(&self, release: &str, built_for: &str, is_signed: bool) -> &Self {
        self.file(
            &format!("lib/modules/{release}/updates/dkms/ashmem_linux.ko"),
            module(built_for, is_signed),
        )
    }

    /// A variable of the firmware: its attributes, then its value.
    pub(crate) fn variable(&self, name: &str, value: &[u8]) -> &Self {
        let vendor = if name == "SecureBoot" {
            "8be4df61-93ca-11d2-aa0d-00e098032b8c"
        } else {
            "605dab50-e046-4300-abb6-3dd810dd8b23"
        };
        self.file(
            &format!("sys/firmware/efi/efivars/{name}-{vendor}"),
            [&[7, 0, 0, 0], value].concat(),
        )
    }

    /// What DKMS keeps of our sources.
    pub(crate) fn dkms(&self) -> &Self {
        self.file("var/lib/dkms/ashmem/0.1.0/source/dkms.conf", "")
    }

    pub(crate) fn diagnosis(&self, mode: AskedMode) -> Diagnosis {
        Diagnosis::make(&Host::at(self.path()).expect("the folder"), mode)
    }

    /// A check's finding.
    pub(crate) fn finding(&self, check: &str) -> Finding {
        let diagnosis = self.diagnosis(AskedMode::Only(Way::Module));
        let row = diagnosis.checks.into_iter().find(|row| row.check == check);
        row.unwrap_or_else(|| panic!("no check is called {check}")).finding
    }
}

/// A kernel module's file, as far as what it says of itself.
pub(crate) fn module(built_for: &str, is_signed: bool) -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let section = object.add_section(Vec::new(), b".modinfo".to_vec(), SectionKind::ReadOnlyData);
    let info = format!(
        "version=0.1.0\0license=GPL\0vermagic={built_for} SMP preempt mod_unload modversions \0"
    );
    object.append_section_data(section, info.as_bytes(), 1);
    let mut bytes = object.write().expect("an object file");
    if is_signed {
        bytes.extend_from_slice(b"\x30\x82some signature\x00\x00\x02~Module signature appended~\n");
    }
    bytes
}

/// Holds a finding to what it must say and to the commands that it must name.
#[track_caller]
pub(crate) fn expect(finding: &Finding, status: FindingStatus, words: &[&str], commands: &[&str]) {
    let said = format!("{} {}", finding.summary, finding.why);
    assert_eq!(finding.status, status, "{finding:#?}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in {finding:#?}");
    }
    let next = finding.next.join("\n");
    for command in commands {
        assert!(next.contains(command), "`{command}` is not among the commands of {finding:#?}");
    }
    assert!(commands.is_empty() == finding.next.is_empty(), "commands: {finding:#?}");
}
