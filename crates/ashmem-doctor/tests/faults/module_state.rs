// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module's state, kernel by kernel.

use ashmem_doctor::Host;
use ashmem_doctor::module_state::{ModulePresence, ModuleScreen, ModuleState};

use crate::root::{RELEASE, Root};

const NEXT: &str = "6.1.0-54-amd64";

fn state(root: &Root) -> ModuleState {
    ModuleState::read(&Host::at(root.path()).expect("the folder"))
}

#[test]
fn nothing_is_there_and_the_headers_are_named() {
    let root = Root::debian();
    let found = state(&root);
    let [kernel] = found.kernels.as_slice() else { panic!("{found:#?}") };
    assert_eq!((kernel.module, kernel.is_running), (ModulePresence::Missing, true));
    assert!(!found.is_ready && !found.is_loaded);
    assert_eq!(kernel.next[0], format!("sudo apt install linux-headers-{RELEASE}"));
    root.file("etc/os-release", "ID=fedora\n");
    assert_eq!(state(&root).kernels[0].next[0], format!("sudo dnf install kernel-devel-{RELEASE}"));
    root.file(&format!("lib/modules/{RELEASE}/build/Makefile"), "");
    let kernel = state(&root).kernels.remove(0);
    assert!(kernel.has_headers && kernel.next.len() == 1, "{kernel:#?}");
}

#[test]
fn a_folder_without_a_kernel_is_none() {
    let root = Root::debian();
    // Headers alone, and what a removed kernel leaves.
    root.file("lib/modules/7.0.0-1-amd64/build/Makefile", "")
        .file("lib/modules/7.0.0-1-amd64/modules.dep", "")
        // A package of modules whose kernel is gone.
        .file("lib/modules/7.3.4+deb13-amd64/modules.builtin", "");
    let releases: Vec<_> = state(&root).kernels.into_iter().map(|it| it.release).collect();
    assert_eq!(releases, [RELEASE]);
}

#[test]
fn every_kernel_counts() {
    let root = Root::debian();
    root.module(RELEASE, RELEASE, true)
        .file("usr/lib/modules-load.d/ashmem.conf", "# the device\nashmem-linux\n");
    let found = state(&root);
    assert!(found.is_ready, "{found:#?}");
    assert_eq!(found.boot_list.as_deref(), Some("/usr/lib/modules-load.d/ashmem.conf"));
    assert!(found.kernels[0].is_signed && found.kernels[0].next.is_empty());
    root.file(&format!("boot/vmlinuz-{NEXT}"), "").module(NEXT, RELEASE, false);
    let found = state(&root);
    assert!(!found.is_ready);
    assert_eq!(found.kernels[1].module, ModulePresence::OtherKernel);
    let screen = ModuleScreen(&found).to_string();
    assert!(screen.contains(&format!("{NEXT}: the module there was built for {RELEASE}")));
    root.file(&format!("lib/modules/{NEXT}/updates/dkms/ashmem_linux.ko"), "no ELF");
    assert_eq!(state(&root).kernels[1].module, ModulePresence::Damaged);
    root.module(NEXT, NEXT, false);
    assert!(state(&root).is_ready);
}

#[test]
fn a_boot_that_does_not_load_it_is_not_ready() {
    let root = Root::debian();
    root.module(RELEASE, RELEASE, false);
    assert!(!state(&root).is_ready);
    root.file("usr/lib/modules-load.d/ashmem.conf", "ashmem_linux\n");
    assert!(state(&root).is_ready);
    // As docs/install.md says: an empty file of that name in /etc hides the package's.
    root.file("etc/modules-load.d/ashmem.conf", "");
    assert_eq!((state(&root).is_ready, state(&root).boot_list), (false, None));
    root.file("etc/modules", "ashmem_linux\n");
    assert_eq!(state(&root).boot_list.as_deref(), Some("/etc/modules"));
    root.file("etc/modprobe.d/no.conf", "blacklist ashmem_linux\n");
    let found = state(&root);
    assert!(!found.is_ready);
    let screen = ModuleScreen(&found).to_string();
    assert!(screen.contains("/etc/modprobe.d/no.conf forbids it"), "{screen}");
}

#[test]
fn who_put_it_there() {
    let root = Root::debian();
    root.module(RELEASE, RELEASE, false);
    let by = |root: &Root| {
        let kernel = state(root).kernels.remove(0);
        (kernel.by, kernel.package)
    };
    assert_eq!(by(&root), (None, None));
    // A longer release is another kernel.
    root.link(
        &format!("var/lib/dkms/ashmem/kernel-{RELEASE}-own-x86_64"),
        &format!("0.0.9/{RELEASE}-own/x86_64"),
    );
    assert_eq!(by(&root), (None, None));
    root.link(
        &format!("var/lib/dkms/anbox-ashmem/kernel-{RELEASE}-x86_64"),
        &format!("1/{RELEASE}/x86_64"),
    );
    assert_eq!(by(&root), (Some("anbox-ashmem/1".to_owned()), None));
    root.link(
        &format!("var/lib/dkms/ashmem/kernel-{RELEASE}-x86_64"),
        &format!("0.1.0/{RELEASE}/x86_64"),
    );
    // The file's own version says whose it is.
    assert_eq!(by(&root), (Some("ashmem/0.1.0".to_owned()), None));
    root.file("var/lib/dpkg/info/ashmem-dkms.list", "/.\n/usr/src\n/usr/src/ashmem-0.1.0\n");
    assert_eq!(by(&root), (Some("ashmem/0.1.0".to_owned()), Some("ashmem-dkms".to_owned())));
}

#[test]
fn what_this_program_installs_it_tells() {
    let root = Root::debian();
    root.module(RELEASE, RELEASE, false);
    let path = format!("/lib/modules/{RELEASE}/updates/dkms/ashmem_linux.ko");
    root.file("var/lib/ashmem/module/manifest.json", format!("{{\"files\": [\"{path}\"]}}"));
    let found = state(&root);
    assert_eq!((found.kernels[0].by.as_deref(), found.is_interrupted), (Some("ashmem"), false));
    assert!(ModuleScreen(&found).to_string().contains("installed: `ashmem module install`"));
    root.file("var/lib/ashmem/module/journal", "");
    let found = state(&root);
    assert!(found.is_interrupted && ModuleScreen(&found).to_string().contains("interrupted"));
}

#[test]
fn a_foreign_root_says_nothing_to_the_terminal() {
    let root = Root::debian();
    root.file("lib/modules/6\u{1b}[2J/modules.dep", "").file("boot/vmlinuz-6\u{1b}[2J", "");
    let found = state(&root);
    assert_eq!(found.kernels.len(), 2, "{found:#?}");
    let screen = ModuleScreen(&found).to_string();
    assert!(!screen.contains('\u{1b}'), "{screen:?}");
}
