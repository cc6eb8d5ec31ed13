// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waydroid's files.

use ashmem_doctor::finding::FindingStatus;

use crate::root::{BOOT_ID, Root, expect};

const NODES: &str = "var/lib/waydroid/lxc/waydroid/config_nodes";
const ENABLE: &str = "sudo ashmem waydroid enable";

fn entry(name: &str) -> String {
    format!("lxc.mount.entry = /dev/{name} dev/{name} none bind,create=file,optional 0 0\n")
}

fn initialised(root: Root) -> Root {
    root.file("var/lib/waydroid/waydroid.cfg", "[waydroid]\narch = x86_64\n")
        .file(NODES, entry("binder"));
    root
}

#[test]
fn not_there_yet() {
    let root = Root::debian();
    expect(&root.finding("Waydroid"), FindingStatus::Absent, &["not installed"], &[]);
    root.program("usr/bin/waydroid");
    expect(&root.finding("Waydroid"), FindingStatus::Absent, &["waydroid init"], &[]);
}

#[test]
fn the_module_came_after_its_init() {
    let root = initialised(Root::with_module());
    expect(
        &root.finding("Waydroid"),
        FindingStatus::Warning,
        &["does not give /dev/ashmem"],
        &[ENABLE],
    );
    root.file(NODES, entry("ashmem"));
    expect(
        &root.finding("Waydroid"),
        FindingStatus::Warning,
        &["boot id name", "Android 16"],
        &[ENABLE],
    );
    // The name of an earlier boot is not this one's.
    root.file(NODES, entry("ashmem") + &entry("ashmem11111111-2222-3333-4444-555555555555"));
    expect(&root.finding("Waydroid"), FindingStatus::Warning, &["boot id name"], &[ENABLE]);
    root.file(NODES, entry("ashmem") + &entry(&format!("ashmem{BOOT_ID}")));
    expect(&root.finding("Waydroid"), FindingStatus::Ok, &["both names"], &[]);
}

#[test]
fn the_module_went_after_its_init() {
    let root = initialised(Root::debian());
    root.file(NODES, entry("ashmem"));
    expect(&root.finding("Waydroid"), FindingStatus::Warning, &["does not have now"], &[ENABLE]);
    root.file(
        "var/lib/waydroid/lxc/waydroid/config",
        "lxc.seccomp.notify.proxy = unix:/run/ashmem/lxc.sock\n",
    );
    expect(&root.finding("Waydroid"), FindingStatus::Ok, &["the agent"], &[]);
}

#[test]
fn neither_device_nor_memfd() {
    let root = initialised(Root::debian());
    expect(&root.finding("Waydroid"), FindingStatus::Warning, &["neither"], &[ENABLE]);
    root.file("var/lib/waydroid/waydroid_base.prop", "sys.use_memfd=true\n");
    expect(&root.finding("Waydroid"), FindingStatus::Ok, &["memfd", "Android 16 refuses"], &[]);
}

#[test]
fn unreadable() {
    let root = initialised(Root::debian());
    std::fs::remove_file(root.at(NODES)).expect("it goes");
    expect(
        &root.finding("Waydroid"),
        FindingStatus::Warning,
        &["cannot be read"],
        &["sudo ashmem doctor"],
    );
}

#[test]
fn enabled() {
    let root = initialised(Root::with_module());
    root.file("etc/systemd/system/waydroid-container.service.d/50-ashmem.conf", "[Service]\n");
    expect(
        &root.finding("Waydroid"),
        FindingStatus::Ok,
        &["each start", "ashmem waydroid status"],
        &[],
    );
}

#[test]
fn apparmor_has_profiles_of_both() {
    const PROFILES: &str = "sys/kernel/security/apparmor/profiles";
    let root = initialised(Root::with_module());
    root.file("etc/systemd/system/waydroid-container.service.d/50-ashmem.conf", "[Service]\n");
    // As it is shipped: it complains, and forbids nothing.
    let shipped = "lxc-waydroid-more (enforce)\nlxc-waydroid (complain)\nashmem-agent (enforce)\n";
    root.file(PROFILES, shipped);
    expect(
        &root.finding("Waydroid"),
        FindingStatus::Ok,
        &["AppArmor's lxc-waydroid (complain)"],
        &[],
    );
    root.file(PROFILES, "lxc-waydroid (enforce)\nashmem-agent (complain)\n");
    expect(&root.finding("Waydroid"), FindingStatus::Ok, &["lxc-waydroid (enforce)"], &[]);
    root.file(PROFILES, "ashmem-agent (enforce)\nlxc-waydroid (enforce)\n");
    let next = [
        "echo '  ptrace (readby, tracedby) peer=ashmem-agent,' | sudo tee -a \
         /etc/apparmor.d/local/lxc-waydroid && sudo apparmor_parser -r \
         /etc/apparmor.d/lxc/lxc-waydroid",
        "sudo systemctl restart waydroid-container",
    ];
    expect(&root.finding("Waydroid"), FindingStatus::Warning, &["keeps the agent from"], &next);
}
