// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel, its page size, binder, user namespaces' switches.

use ashmem_doctor::finding::FindingStatus;

use crate::root::{RELEASE, Root, expect};

#[test]
fn kernels() {
    expect(&Root::debian().finding("kernel"), FindingStatus::Ok, &[RELEASE], &[]);
    for (release, words) in
        [("4.19.0-6-amd64", "5.14"), ("5.10.0-30-amd64", "5.14"), ("next-build", "cannot be read")]
    {
        let root = Root::debian();
        root.file("proc/sys/kernel/osrelease", release);
        expect(&root.finding("kernel"), FindingStatus::Warning, &[release, words], &[]);
    }
    let root = Root::debian();
    root.file("proc/sys/kernel/osrelease", "5.15.153.1-microsoft-standard-WSL2");
    expect(&root.finding("kernel"), FindingStatus::Warning, &["WSL"], &["ashmem run"]);
    let root = Root::debian();
    root.file("proc/1/environ", "HOME=/\0container=lxc\0");
    expect(&root.finding("kernel"), FindingStatus::Ok, &["in a container (lxc)"], &[]);
}

#[test]
fn larger_pages() {
    let auxv: Vec<u8> =
        [16_u64, 0x178b_fbff, 6, 16384, 0, 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let root = Root::debian();
    root.file("proc/self/auxv", auxv);
    expect(&root.finding("page size"), FindingStatus::Warning, &["16 KiB"], &["4 KiB", "--image"]);
    for (release, model, advice) in [
        ("6.6.51+rpt-rpi-2712", "", "kernel8.img"),
        ("6.12.9-1-generic", "Raspberry Pi 5 Model B Rev 1.0\0", "kernel8.img"),
        ("6.14.2-401.asahi.fc42.aarch64+16k", "", "muvm"),
        ("6.12.38+deb13-arm64-16k", "", "linux-image-arm64 "),
    ] {
        root.file("proc/sys/kernel/osrelease", release).file("proc/device-tree/model", model);
        expect(&root.finding("page size"), FindingStatus::Warning, &["16 KiB"], &[advice]);
    }
}

#[test]
fn binder() {
    let root = Root::debian();
    expect(
        &root.finding("binder"),
        FindingStatus::Absent,
        &["none"],
        &["sudo modprobe binder_linux devices=binder,hwbinder,vndbinder", "-cloud-"],
    );
    root.program("usr/bin/waydroid")
        .file(&format!("boot/config-{RELEASE}"), "# CONFIG_ANDROID_BINDER_IPC is not set\n");
    let built_without = root.finding("binder");
    expect(&built_without, FindingStatus::Warning, &["built without it"], &["modprobe"]);
    root.file("etc/os-release", "ID=fedora\n");
    expect(&root.finding("binder"), FindingStatus::Warning, &[], &["mount -t binder"]);
    root.file("etc/os-release", "ID=ubuntu\nID_LIKE=debian\n");
    expect(
        &root.finding("binder"),
        FindingStatus::Warning,
        &[],
        &[&format!("linux-modules-extra-{RELEASE}")],
    );
    root.file(&format!("lib/modules/{RELEASE}/kernel/drivers/android/binder_linux.ko.xz"), "");
    expect(
        &root.finding("binder"),
        FindingStatus::Warning,
        &["not loaded"],
        &["sudo modprobe binder_linux"],
    );
    root.file("proc/filesystems", "nodev\tsysfs\nnodev\tbinder\n");
    expect(&root.finding("binder"), FindingStatus::Ok, &["binderfs"], &[]);
}

#[test]
fn binders_nodes_by_themselves() {
    let root = Root::debian();
    root.link("dev/binder", "/dev/null").file("dev/null", "");
    expect(&root.finding("binder"), FindingStatus::Warning, &["no device"], &["rmdir"]);
}

#[test]
fn other_devices_are_wanted_where_android_is() {
    let root = Root::debian();
    expect(&root.finding("other devices"), FindingStatus::Absent, &["no fuse"], &[]);
    root.file("system/build.prop", "");
    expect(
        &root.finding("other devices"),
        FindingStatus::Warning,
        &["fuse, loop-control, dma_heap, kmsg", "/sdcard"],
        &["modprobe fuse", "modprobe loop", "DMABUF_HEAPS", "/dev/kmsg"],
    );
}
