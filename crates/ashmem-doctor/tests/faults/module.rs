// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module: not there, not built, built for another, kept out; the next kernel.

use std::io::Write;

use ashmem_doctor::finding::FindingStatus;

use crate::root::{RELEASE, Root, expect, module};

const NEXT: &str = "6.1.0-54-amd64";

#[test]
fn not_installed() {
    expect(
        &Root::debian().finding("module"),
        FindingStatus::Fault,
        &["not installed"],
        &["sudo ashmem module install"],
    );
    let root = Root::debian();
    root.file("etc/os-release", "ID=fedora\n");
    let install = ["sudo ashmem module install"];
    expect(&root.finding("module"), FindingStatus::Fault, &["not installed"], &install);
}

#[test]
fn no_headers() {
    let root = Root::debian();
    root.dkms();
    expect(
        &root.finding("module"),
        FindingStatus::Fault,
        &["no headers"],
        &[
            "sudo apt install linux-headers-6.1.0-53-amd64",
            "sudo dkms autoinstall -k 6.1.0-53-amd64",
        ],
    );
}

#[test]
fn a_failed_build_shows_its_first_error() {
    let root = Root::debian();
    root.dkms().file(&format!("lib/modules/{RELEASE}/build/Makefile"), "").file(
        "var/lib/dkms/ashmem/0.1.0/build/make.log",
        "  CC [M] glue/device.o\nglue/device.c:1: error: too bad\n",
    );
    expect(
        &root.finding("module"),
        FindingStatus::Fault,
        &["failed", "too bad"],
        &["explain <", "dkms install --force ashmem/0.1.0"],
    );
    std::fs::remove_dir_all(root.at("var/lib/dkms/ashmem/0.1.0/build")).expect("the log goes");
    expect(
        &root.finding("module"),
        FindingStatus::Fault,
        &["not built"],
        &["sudo dkms install ashmem/0.1.0 -k 6.1.0-53-amd64"],
    );
}

#[test]
fn built_for_another_kernel() {
    let root = Root::debian();
    root.dkms().module(RELEASE, "5.10.0-30-amd64", false);
    expect(
        &root.finding("module"),
        FindingStatus::Fault,
        &["built for 5.10.0-30-amd64"],
        &["dkms install --force ashmem/0.1.0"],
    );
}

#[test]
fn a_damaged_file() {
    let root = Root::debian();
    for (name, content) in [
        ("ashmem_linux.ko", &b"ELF no more"[..]),
        ("ashmem_linux.ko.xz", b"\xfd7zXZ"),
        ("ashmem_linux.ko.zst", b"x"),
        ("ashmem_linux.ko.gz", b"x"),
    ] {
        root.file(&format!("lib/modules/{RELEASE}/updates/dkms/{name}"), content);
        expect(
            &root.finding("module"),
            FindingStatus::Fault,
            &["damaged", name],
            &["sudo ashmem module install"],
        );
        std::fs::remove_file(root.at(&format!("lib/modules/{RELEASE}/updates/dkms/{name}")))
            .expect("the next one");
    }
}

#[test]
fn built_and_not_loaded_however_it_is_compressed() {
    let plain = module(RELEASE, false);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&plain).expect("compressed");
    let mut xz = Vec::new();
    lzma_rs::xz_compress(&mut plain.as_slice(), &mut xz).expect("compressed");
    let zst = ruzstd::encoding::compress_to_vec(
        plain.as_slice(),
        ruzstd::encoding::CompressionLevel::Fastest,
    );
    for (ending, bytes) in
        [("", plain.clone()), (".gz", gz.finish().expect("compressed")), (".xz", xz), (".zst", zst)]
    {
        let root = Root::debian();
        root.file(&format!("lib/modules/{RELEASE}/updates/dkms/ashmem_linux.ko{ending}"), bytes);
        expect(
            &root.finding("module"),
            FindingStatus::Fault,
            &["not loaded"],
            &["sudo modprobe ashmem_linux"],
        );
    }
}

#[test]
fn kept_out() {
    for line in ["blacklist ashmem_linux", "install ashmem-linux /bin/false"] {
        let root = Root::debian();
        root.module(RELEASE, RELEASE, false)
            .file("etc/modprobe.d/no.conf", format!("# no\n{line}\n"));
        expect(
            &root.finding("module"),
            FindingStatus::Fault,
            &["/etc/modprobe.d/no.conf forbids"],
            &["sed -i"],
        );
    }
    let root = Root::debian();
    root.file("proc/sys/kernel/modules_disabled", "1\n");
    expect(&root.finding("module"), FindingStatus::Fault, &["takes no more modules"], &["reboot"]);
    let root = Root::debian();
    std::fs::remove_file(root.at("proc/modules")).expect("a kernel without modules");
    expect(&root.finding("module"), FindingStatus::Fault, &["CONFIG_MODULES"], &["ashmem run"]);
    let root = Root::debian();
    root.file("run/.containerenv", "");
    expect(&root.finding("module"), FindingStatus::Fault, &["container"], &["on the host"]);
    let root = Root::debian();
    root.file("proc/sys/kernel/osrelease", "4.19.0-6-amd64");
    expect(&root.finding("module"), FindingStatus::Fault, &["older than 5.10"], &["modprobe"]);
}

#[test]
fn loaded() {
    expect(
        &Root::with_module().finding("module"),
        FindingStatus::Ok,
        &["ashmem_linux 0.1.0 is loaded"],
        &[],
    );
    let root = Root::with_module();
    root.file("proc/misc", "183 hw_random\n");
    expect(
        &root.finding("module"),
        FindingStatus::Fault,
        &["has no device"],
        &["rmmod", "modprobe"],
    );
    let root = Root::debian();
    root.file("proc/misc", " 58 ashmem\n");
    expect(&root.finding("module"), FindingStatus::Ok, &["driver of its own"], &[]);
    root.file("proc/sys/kernel/osrelease", "5.10.110-rockchip-rk3588");
    let finding = root.finding("module");
    expect(&finding, FindingStatus::Ok, &["Rockchip's processors has a driver of its own"], &[]);
}

#[test]
fn headers_of_a_boards_kernel() {
    for (release, headers) in [
        ("6.1.43-vendor-rk35xx", "linux-headers-vendor-rk35xx"),
        ("6.8.0-1018-raspi", "linux-headers-6.8.0-1018-raspi"),
    ] {
        let root = Root::debian();
        root.dkms().file("proc/sys/kernel/osrelease", release);
        let finding = root.finding("module");
        expect(&finding, FindingStatus::Fault, &["no headers"], &[headers]);
    }
}

#[test]
fn the_next_kernel() {
    let root = Root::with_module();
    expect(&root.finding("next kernel"), FindingStatus::Ok, &["no newer kernel"], &[]);
    root.dkms()
        .file(&format!("boot/vmlinuz-{NEXT}"), "")
        .file(&format!("lib/modules/{NEXT}/modules.dep"), "");
    expect(
        &root.finding("next kernel"),
        FindingStatus::Warning,
        &[NEXT, "not built for it"],
        &["linux-headers-6.1.0-54-amd64", "sudo dkms autoinstall -k 6.1.0-54-amd64"],
    );
    root.file(&format!("lib/modules/{NEXT}/build/Makefile"), "");
    expect(
        &root.finding("next kernel"),
        FindingStatus::Warning,
        &[NEXT],
        &["dkms install --force ashmem/0.1.0 -k 6.1.0-54-amd64"],
    );
    root.module(NEXT, RELEASE, false);
    expect(
        &root.finding("next kernel"),
        FindingStatus::Warning,
        &["was built for 6.1.0-53-amd64"],
        &["dkms install"],
    );
    root.module(NEXT, NEXT, false);
    expect(&root.finding("next kernel"), FindingStatus::Ok, &["the module is built for it"], &[]);
    // A folder without a kernel is what `apt remove` leaves.
    root.file("lib/modules/7.0.0-1-amd64/modules.dep", "");
    expect(&root.finding("next kernel"), FindingStatus::Ok, &[NEXT], &[]);
}
