// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `explain` says to do next, and what it leaves out: no step is the command that the log
//! shows to have failed, names come from the log, and what only follows is not told.

use ashmem_doctor::distribution::Distribution;
use ashmem_doctor::explain::{self, Explained, Explanation, Log};

/// A log, read on a host of Debian.
fn read(lines: &[&str]) -> Explanation {
    let mut log = Log::default();
    lines.iter().for_each(|line| log.add(line));
    log.explain(|| Distribution::Debian)
}

fn ids(log: &Explanation) -> Vec<&str> {
    log.explained.iter().map(|found| found.id).collect()
}

#[track_caller]
fn only(lines: &[&str]) -> Explained {
    let mut log = read(lines);
    assert_eq!(log.explained.len(), 1, "{:?}", ids(&log));
    log.explained.remove(0)
}

#[test]
fn a_module_that_is_not_there_is_not_asked_for_again() {
    for release in [
        "6.1.0-28-cloud-amd64",
        "6.1.43-rockchip-rk3588",
        "6.6.68-Unraid",
        "5.10.160",
        "6.1.21-v8+",
        "6.6.74+rpt-rpi-v8",
        "6.12.5-linuxkit",
        "6.6.63-1-lts",
        "6.6.30",
        "6.4.0-150600.23.25-default",
        "5.14.0-503.11.1.el9_5.x86_64",
        "5.15.153.1-microsoft-standard-WSL2",
    ] {
        let line = format!(
            "modprobe: FATAL: Module binder_linux not found in directory /lib/modules/{release}"
        );
        let found =
            only(&[&line, "[21:00:45] ERROR: Binder node \"binder\" for waydroid not found"]);
        assert_eq!(found.id, "binder-module-not-found");
        let first = found.next.iter().find(|step| step.contains("modprobe"));
        assert!(first.is_none_or(|step| step.ends_with("# after it")), "{release}: {first:?}");
    }
}

#[test]
fn whoever_built_a_kernel_decides_on_its_binder() {
    for (release, word) in [
        ("6.1.43-rockchip-rk3588", "left binder out"),
        ("6.6.68-Unraid", "left binder out"),
        ("6.1.21-v8+", "left binder out"),
        ("6.12.5-linuxkit", "left binder out"),
        ("5.16.0-kali2-amd64", "left binder out"),
        ("6.0.6-76060006-generic", "left binder out"),
        ("5.8.0-7642-generic", "left binder out"),
        ("6.8.0-76060800daily20240311-generic", "left binder out"),
        ("5.17.4-051704-generic", "left binder out"),
        ("6.11.11-valve27-1-neptune-611-gfd0dd251480d", "git pull"),
        ("6.1.0-28-cloud-amd64", "linux-image-"),
        ("5.19.0-1012-raspi", "linux-modules-extra-5.19.0-1012-raspi"),
        ("6.1.34-1-lts", "linux-zen"),
        ("5.15.153.1-microsoft-standard-WSL2", ".wslconfig"),
    ] {
        let line = format!(
            "modprobe: FATAL: Module binder_linux not found in directory /lib/modules/{release}"
        );
        let steps = only(&[&line]).next.join("\n");
        assert!(steps.contains(word), "{release}: {steps}");
        assert!(word == "linux-image-" || !steps.contains("linux-image-"), "{release}: {steps}");
    }
    let nixos = "modprobe: FATAL: Module binder_linux not found in directory \
                 /run/current-system/kernel-modules/lib/modules/5.10.81";
    assert!(only(&[nixos]).next.join("\n").contains("virtualisation.waydroid.enable"));
    let unset = only(&["# CONFIG_ANDROID_BINDER_IPC is not set"]).next;
    assert!(!unset[0].contains("modprobe"), "{unset:?}");
}

#[test]
fn a_build_of_binder_is_mended_by_binders_steps() {
    for (path, tree) in [
        ("/var/lib/dkms/anbox-binder/1/build/binder.c", "anbox-binder/1"),
        (
            "/var/lib/dkms/anbox-modules-binder/6~zesty1/build/binder.c",
            "anbox-modules-binder/6~zesty1",
        ),
        ("/usr/src/redroid-binder-1.2/binder_alloc.c", "redroid-binder/1.2"),
        ("/root/redroid-modules/binder/binder.c", "NAME/VERSION"),
        ("/var/lib/dkms/anbox-binder/$(reboot)/build/binder.c", "NAME/VERSION"),
    ] {
        let line =
            format!("{path}:633:19: error: 'struct mm_struct' has no member named 'mmap_sem'");
        let steps = only(&[&line]).next.join("\n");
        assert!(steps.contains(&format!("dkms remove {tree} --all")), "{path}: {steps}");
        assert!(!steps.contains("ashmem") && !steps.contains("reboot)"), "{path}: {steps}");
    }
}

#[test]
fn trees_without_source_are_removed_as_folders() {
    let found = only(&[
        "Error! Could not locate dkms.conf file.",
        "File: /var/lib/dkms/anbox-ashmem/1/source/dkms.conf does not exist.",
        "File: /var/lib/dkms/anbox-binder/1/source/dkms.conf does not exist.",
        // One that is whole stays.
        "ashmem/1.0, 6.8.0-49-generic, x86_64: installed",
    ]);
    assert_eq!((found.id, found.count), ("dkms-source-gone", 2));
    assert_eq!(
        found.next[..2],
        ["sudo rm -r /var/lib/dkms/anbox-ashmem", "sudo rm -r /var/lib/dkms/anbox-binder"]
    );
    assert_eq!(found.next.iter().filter(|step| step.contains("rm -r")).count(), 2);
    assert!(!found.next.iter().any(|step| step.contains("dkms remove")), "{:?}", found.next);
}

#[test]
fn what_only_follows_is_left_out() {
    let refused = "01-24 15:28:29.369    59    59 W hw-ProcessState: Opening '/dev/hwbinder' \
                   failed: Operation not permitted";
    let follows = "01-24 15:28:29.388    59    59 F hw-ProcessState: Binder driver could not be \
                   opened.  Terminating.";
    let found = only(&[refused, follows]);
    assert_eq!(found.id, "binder-not-permitted");
    assert!(!found.next.iter().any(|step| step.contains("chmod")), "{:?}", found.next);
    assert_eq!(only(&[follows]).id, "binder-device-missing");

    let missing = "[gbinder] ERROR: Can't open /dev/binder: No such file or directory";
    let never = "[11:38:15] Service Manager never appeared";
    assert_eq!(only(&[missing, never]).id, "binder-device-missing");
    assert_eq!(
        only(&[never, "OSError: container failed to start"]).id,
        "waydroid-no-service-manager"
    );
    assert_eq!(only(&["OSError: container failed to start"]).id, "waydroid-container-not-started");

    // Another trouble of its own stays.
    let log = read(&[
        refused,
        "java.lang.RuntimeException: Failed to create ashmem: No such file or directory",
    ]);
    assert_eq!(ids(&log), ["binder-not-permitted", "device-missing"]);
}

#[test]
fn the_error_of_the_last_try_is_told() {
    let found = only(&["E ashmem : Unable to open ashmem device \
        /dev/ashmem28b39379-8ac8-40c7-8f4b-f3dc07c4f249 (error = No such file or directory) and \
        /dev/ashmem(error = Permission denied)"]);
    assert_eq!((found.id, found.errno), ("device-not-permitted", Some("EACCES")));
}

#[test]
fn segments_of_others_are_not_termuxs() {
    for (error, is_ours) in
        [("No such file or directory", true), ("Function not implemented", false)]
    {
        let line = format!("FATAL:  could not create shared memory segment: {error}");
        assert_eq!(explain::line(&line).is_some(), is_ours, "{line}");
    }
}

#[test]
fn old_kernels_are_asked_for_what_they_can() {
    for (release, has, has_not) in [
        ("5.8.0-1033-oracle", "linux-modules-extra-5.8.0-1033-oracle", "ashmem module install"),
        ("4.15.0-112-generic", "linux-modules-extra-4.15.0-112-generic", "ashmem module install"),
        ("5.15.0-91-generic", "ashmem module install", "from 5.10"),
        ("5.6.19-300.fc32.x86_64", "not for 5.6.19-300.fc32.x86_64", "module install"),
        ("6.8.0-49-generic", "ashmem module install", "linux-modules-extra"),
    ] {
        let line = format!(
            "modprobe: FATAL: Module ashmem_linux not found in directory /lib/modules/{release}"
        );
        let steps = only(&[&line]).next.join("\n");
        assert!(steps.contains(has) && !steps.contains(has_not), "{release}: {steps}");
    }
    let fedora = "modprobe: FATAL: Module binder_linux not found in directory \
                  /lib/modules/5.6.19-300.fc32.x86_64";
    assert!(only(&[fedora]).next.join("\n").contains("dnf upgrade"));
}

#[test]
fn alpines_kernel_for_guests_is_left_for_another() {
    for (release, word) in [("6.6.63-0-virt", "apk add linux-lts"), ("6.6.63-0-lts", "mount -t")] {
        let line = format!(
            "modprobe: FATAL: Module binder_linux not found in directory /lib/modules/{release}"
        );
        let steps = only(&[&line]).next.join("\n");
        assert!(steps.contains(word) && !steps.contains("modprobe"), "{release}: {steps}");
    }
}

#[test]
fn headers_of_a_kernel_that_no_distribution_built_are_not_asked_of_apt() {
    for line in [
        "scripts/basic/fixdep: error while loading shared libraries: libc.so.6: cannot open",
        "/bin/sh: 1: scripts/mod/modpost: not found",
    ] {
        let release = "make[1]: Entering directory '/usr/src/linux-headers-5.15.137-ophub'";
        let steps = only(&[release, line]).next.join("\n");
        assert!(!steps.contains("linux-headers-"), "{line}: {steps}");
    }
}
