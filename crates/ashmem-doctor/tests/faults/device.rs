// SPDX-License-Identifier: MIT OR Apache-2.0
//! The node, made wrongly in each way, and the second name.

use std::path::Path;

use ashmem_doctor::finding::FindingStatus;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::root::{BOOT_ID, Root, expect};

/// Makes a node; `false`, with a line, where this user may not.
fn node(path: &Path, major: u32, minor: u32) -> bool {
    let made = mknodat(
        CWD,
        path,
        FileType::CharacterDevice,
        Mode::from_raw_mode(0o666),
        makedev(major, minor),
    );
    if made.is_err() {
        eprintln!("skipped: making a device node takes root");
    }
    made.is_ok()
}

#[test]
fn missing() {
    expect(&Root::debian().finding("device"), FindingStatus::Fault, &["no driver"], &[]);
    // In another root this is a container's view.
    expect(
        &Root::with_module().finding("device"),
        FindingStatus::Fault,
        &["though the driver is there"],
        &["--device android.dev/ashmem=all"],
    );
}

#[test]
fn no_character_device() {
    let root = Root::with_module();
    root.file("dev/ashmem", "");
    expect(&root.finding("device"), FindingStatus::Fault, &["an ordinary file"], &["sudo rm"]);
    let root = Root::with_module();
    root.file("dev/ashmem/x", "");
    expect(&root.finding("device"), FindingStatus::Fault, &["a directory"], &["sudo rm"]);
}

#[test]
fn the_agents_placeholder() {
    let root = Root::debian();
    if node(&root.at("dev/ashmem"), 1, 3) {
        expect(
            &root.finding("device"),
            FindingStatus::Fault,
            &["null device"],
            &["ashmem doctor --mode agent"],
        );
    }
}

#[test]
fn a_number_of_another_boot() {
    // A minor number of misc devices that nobody has: opening it says ENODEV or ENXIO.
    let root = Root::with_module();
    if node(&root.at("dev/ashmem"), 10, 200_000) {
        expect(
            &root.finding("device"),
            FindingStatus::Fault,
            &["10:200000 has no driver", "10:58"],
            &["mknod -m 0666 /dev/ashmem c 10 58"],
        );
    }
}

#[test]
fn a_driver_that_is_none_of_ashmems() {
    // /dev/zero opens, and knows no ashmem ioctl.
    let root = Root::with_module();
    if node(&root.at("dev/ashmem"), 1, 5) {
        expect(&root.finding("device"), FindingStatus::Fault, &["SET_NAME: ENOTTY"], &["modinfo"]);
    }
}

#[test]
fn the_second_name() {
    expect(&Root::debian().finding("boot id name"), FindingStatus::Absent, &["no device"], &[]);
    let root = Root::with_module();
    expect(
        &root.finding("boot id name"),
        FindingStatus::Warning,
        &[BOOT_ID, "Android 16"],
        &["--device android.dev/ashmem=all"],
    );
    std::fs::remove_file(root.at("proc/sys/kernel/random/boot_id")).expect("the id goes");
    expect(
        &root.finding("boot id name"),
        FindingStatus::Warning,
        &["cannot be read"],
        &["cat /proc"],
    );
}
