// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each thing that stands in the way is told before anything is changed, with the command that
//! takes it away in the distribution's words.

use ashmem_module_install::manifest::BuildWay;
use ashmem_module_install::source::{VERSION, digest};
use ashmem_module_install::{InstallPlan, InstallRefusal, InstallRequest};

use crate::root::{RELEASE, Root};

#[track_caller]
fn expect(refusal: &InstallRefusal, what: &str, next: &str) {
    assert!(refusal.what.contains(what), "`{what}` is not in {refusal:?}");
    let steps = refusal.next.join("\n");
    assert!(steps.contains(next), "`{next}` is not in {refusal:?}");
}

#[test]
fn nothing_stands_in_the_way() {
    let root = Root::debian();
    let before = root.everything();
    let plan = root.plan().expect("a plan");
    assert_eq!((plan.way, plan.kernels.len()), (BuildWay::Kbuild, 1));
    assert!(plan.is_for_running && plan.notes.is_empty(), "{plan:?}");
    root.program("usr/sbin/dkms");
    assert_eq!(root.plan().expect("a plan").way, BuildWay::Dkms);
    root.remove("usr/sbin/dkms");
    assert_eq!(root.everything(), before, "looking changes nothing");
}

#[test]
fn headers_compilers_and_make_are_named_as_the_distribution_calls_them() {
    let root = Root::debian();
    root.remove(&format!("lib/modules/{RELEASE}/build/.kernelvariables"));
    for (id, headers, compiler) in [
        ("debian", "sudo apt install linux-headers-6.1.0-53-amd64", "sudo apt install gcc make"),
        ("fedora", "sudo dnf install kernel-devel-6.1.0-53-amd64", "sudo dnf install gcc make"),
        ("arch", "sudo pacman -S linux-headers", "sudo pacman -S base-devel"),
        ("opensuse-tumbleweed", "sudo zypper install kernel-default-devel", "gcc make"),
        ("alpine", "sudo apk add linux-lts-dev", "sudo apk add build-base"),
        ("void", "sudo xbps-install linux6.1-headers", "sudo xbps-install base-devel"),
    ] {
        root.file("etc/os-release", &format!("ID={id}\n"));
        root.remove(&format!("lib/modules/{RELEASE}/build"));
        let release = if id.starts_with("opensuse") { "kernel-" } else { headers };
        expect(&root.refusal(), "has no headers here", release);
        root.kernel(RELEASE).remove("usr/bin/gcc");
        expect(&root.refusal(), "gcc is not here", compiler);
        root.program("usr/bin/gcc").remove("usr/bin/make");
        expect(&root.refusal(), "make is not here", compiler);
        root.program("usr/bin/make");
        root.plan().expect("nothing else");
    }
}

#[test]
fn a_compiler_of_another_version_or_maker_is_none() {
    let root = Root::debian();
    root.remove("usr/bin/gcc-12").program("usr/bin/gcc");
    expect(&root.refusal(), "gcc-12 is not here", "sudo apt install gcc-12");
    root.file(&format!("lib/modules/{RELEASE}/build/.config"), "CONFIG_CC_IS_CLANG=y\n");
    expect(&root.refusal(), "clang is not here", "clang llvm lld");
    for name in ["clang", "llvm-ar", "llvm-nm", "llvm-objcopy", "llvm-strip"] {
        root.program(&format!("usr/bin/{name}"));
    }
    expect(&root.refusal(), "ld.lld is not here", "lld");
}

#[test]
fn systems_that_take_no_module_say_what_to_do_there() {
    let root = Root::debian();
    root.file("etc/os-release", "ID=nixos\n");
    expect(&root.refusal(), "NixOS builds its modules", "hardware.ashmem.enable");
    root.file("etc/os-release", "ID=fedora\n").file("run/ostree-booted", "");
    expect(&root.refusal(), "image (ostree)", "RUN ashmem module install --no-load");
    root.remove("run/ostree-booted").file("run/.containerenv", "");
    root.file("run/systemd/container", "podman");
    expect(&root.refusal(), "this is a container", "on the host: sudo ashmem module install");
}

#[test]
fn whoever_has_the_module_keeps_it() {
    let root = Root::debian();
    root.file("usr/lib/ashmem-dkms/modules", "#!/bin/sh\n");
    for (id, command) in [
        ("fedora", "sudo dnf remove ashmem-dkms"),
        ("arch", "sudo pacman -R ashmem-dkms"),
        ("debian", "sudo apt purge ashmem-dkms"),
    ] {
        root.file("etc/os-release", &format!("ID={id}\n"));
        expect(&root.refusal(), "the package ashmem-dkms", command);
    }
    root.remove("usr/lib/ashmem-dkms/modules");
    root.file("var/lib/dkms/anbox-ashmem/1/source/dkms.conf", "");
    expect(&root.refusal(), "DKMS has anbox-ashmem/1", "sudo dkms remove anbox-ashmem/1 --all");
    root.remove("var/lib/dkms/anbox-ashmem");
    // Ours, by whoever called DKMS himself.
    root.file("var/lib/dkms/ashmem-linux/0.0.1/source/dkms.conf", "");
    expect(&root.refusal(), "DKMS has ashmem-linux/0.0.1", "dkms remove ashmem-linux/0.0.1");
    root.remove("var/lib/dkms");
    let file = format!("lib/modules/{RELEASE}/extra/ashmem_linux.ko");
    root.file(&file, "another's");
    expect(&root.refusal(), "extra/ashmem_linux.ko is there already", &format!("sudo rm /{file}"));
    root.remove(&format!("lib/modules/{RELEASE}/extra"));
    root.file("sys/module/ashmem_linux/initstate", "live\n");
    expect(&root.refusal(), "of another origin is loaded", "sudo modprobe -r ashmem_linux");
}

#[test]
fn kernels_with_androids_own_driver_keep_it() {
    let root = Root::debian();
    root.file(&format!("lib/modules/{RELEASE}/build/.config"), "CONFIG_ASHMEM=y\n");
    let plan = root.plan().expect("a plan");
    assert!(plan.kernels.is_empty() && plan.notes[0].contains("Android's own driver"), "{plan:?}");
    // And others are built for.
    root.kernel("6.12.1-1-amd64").program("usr/bin/gcc");
    let plan = root.plan().expect("a plan");
    assert_eq!(plan.kernels[0].release, "6.12.1-1-amd64");
    assert!(!plan.is_for_running);
}

#[test]
fn kernels_are_those_that_are_asked_for() {
    let root = Root::debian();
    root.kernel("6.12.1-1-amd64").program("usr/bin/gcc");
    assert_eq!(root.plan().expect("a plan").kernels.len(), 2);
    let ask = |kernel: &str| {
        let request =
            InstallRequest { kernels: vec![kernel.to_owned()], ..InstallRequest::default() };
        InstallPlan::make(&root.machine(), &request)
    };
    assert_eq!(ask(RELEASE).expect("a plan").kernels.len(), 1);
    let error = ask("6.13").expect_err("no such kernel").to_string();
    assert!(error.contains("no kernel 6.13") && error.contains(RELEASE), "{error}");
    // One that is not asked for may lack its headers, and is told of.
    root.remove("lib/modules/6.12.1-1-amd64/build");
    let plan = root.plan().expect("a plan");
    assert!(plan.notes.join("\n").contains("apt install linux-headers-6.12.1-1-amd64"), "{plan:?}");
    assert!(ask("6.12.1-1-amd64").is_err());
}

#[test]
fn a_kernel_that_is_being_removed_loses_its_module() {
    const GOES: &str = "7.3.4+deb13-amd64";
    let root = Root::debian();
    // All its files are there still, and so are its headers.
    root.kernel(GOES).file(&format!("boot/vmlinuz-{GOES}"), "").program("usr/bin/gcc");
    root.file(&format!("boot/vmlinuz-{RELEASE}"), "").file(
        "var/lib/ashmem/module/manifest.json",
        &format!(
            "{{\"form\":1,\"version\":\"{VERSION}\",\"source\":\"{}\",\"way\":\"kbuild\",\
             \"kernels\":[\"{RELEASE}\",\"{GOES}\"],\"files\":[],\"folders\":[],\"tree\":null}}",
            digest()
        ),
    );
    assert!(root.plan().expect("a plan").lost.is_empty());
    let request = InstallRequest { gone: vec![GOES.to_owned()], ..InstallRequest::default() };
    let plan = InstallPlan::make(&root.machine(), &request).expect("a plan");
    assert_eq!(plan.lost, [GOES]);
    assert!(plan.kernels.iter().all(|kernel| kernel.release != GOES), "{plan:?}");
}

#[test]
fn secure_boot_wants_the_key_first() {
    let root = Root::debian();
    let variable = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    root.file(&format!("sys/firmware/efi/efivars/{variable}"), "\u{7}\0\0\0\u{1}")
        .program("usr/sbin/dkms");
    expect(&root.refusal(), "Secure Boot is on", "sudo dkms generate_mok");
    root.file("var/lib/dkms/mok.pub", "certificate");
    expect(&root.refusal(), "Secure Boot is on", "mokutil --import /var/lib/dkms/mok.pub");
    let request = InstallRequest::default();
    InstallPlan::make(&root.machine(), &request).expect("without loading it may be built");
    root.file("sys/firmware/efi/mok-variables/MokListRT", "a list with the certificate in it");
    root.plan().expect("enrolled");
}

#[test]
fn versions_go_up_and_one_at_a_time() {
    let root = Root::debian();
    let manifest = |version: &str, source: &str, way: &str| {
        format!(
            "{{\"form\":1,\"version\":\"{version}\",\"source\":\"{source}\",\"way\":\"{way}\",\
             \"kernels\":[\"{RELEASE}\",\"5.19.0-1\"],\"files\":[],\"folders\":[],\"tree\":null}}"
        )
    };
    let note = |text: &str| root.file("var/lib/ashmem/module/manifest.json", text).refusal();
    let newer = note(&manifest("99.0.0", "x", "kbuild"));
    expect(&newer, "version 99.0.0 of the module is installed", "--downgrade");
    root.program("usr/sbin/dkms");
    let other = note(&manifest(VERSION, "x", "dkms"));
    expect(&other, "another build of version", "sudo ashmem module remove");
    root.remove("usr/sbin/dkms");
    let gone = note(&manifest("0.0.1", "x", "dkms"));
    expect(&gone, "DKMS is not here any more", "sudo apt install dkms");
    // An older one is replaced on every kernel that has it, and kernels that went are forgotten.
    root.file("var/lib/ashmem/module/manifest.json", &manifest("0.0.1", "x", "kbuild"));
    let plan = root.plan().expect("a plan");
    assert_eq!((plan.kernels.len(), plan.lost.as_slice()), (1, ["5.19.0-1".to_owned()].as_slice()));
    root.file("var/lib/ashmem/module/manifest.json", &manifest(VERSION, &digest(), "kbuild"));
    assert_eq!(root.plan().expect("a plan").kernels.len(), 1, "its file is not there");
    root.file("var/lib/ashmem/module/manifest.json", "{\"form\":7}");
    assert!(root.plan().expect_err("a newer form").to_string().contains("newer version's"));
}
