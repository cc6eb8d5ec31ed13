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
    expect(&root.finding("page size"), FindingStatus::Warning, &["16 KiB"], &["4 KiB"]);
}

#[test]
fn binder() {
    let root = Root::debian();
    expect(&root.finding("binder"), FindingStatus::Absent, &["none"], &[]);
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
