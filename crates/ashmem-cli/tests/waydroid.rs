// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem waydroid` as a user meets it: its words, its exit codes, and a read-only /etc.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

const ASHMEM: &str = env!("CARGO_BIN_EXE_ashmem");
const DROP_IN: &str = "etc/systemd/system/waydroid-container.service.d/50-ashmem.conf";

/// A root directory with systemd, Waydroid's service, which was not initialised, and the device.
fn machine() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a temporary directory");
    for folder in ["run/systemd/system", "etc/systemd/system", "dev", "proc/sys/kernel/random"] {
        fs::create_dir_all(root.path().join(folder)).expect("a folder");
    }
    for path in
        ["usr/lib/systemd/system/waydroid-container.service", "usr/lib/ashmem/waydroid/lxc-start"]
    {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, "").expect("a file");
    }
    symlink("/dev/null", root.path().join("dev/ashmem")).expect("a character device");
    root
}

fn ashmem(root: &Path, words: &[&str]) -> Output {
    Command::new(ASHMEM)
        .arg("waydroid")
        .args(words)
        .arg("--root")
        .arg(root)
        .output()
        .expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn status_tells_scripts_and_people() {
    let root = machine();
    let before = ashmem(root.path(), &["status", "--json"]);
    assert_eq!(before.status.code(), Some(1));
    let value: serde_json::Value = serde_json::from_slice(&before.stdout).expect("JSON");
    assert_eq!((&value["installed"], &value["enabled"]), (&true.into(), &false.into()));
    assert_eq!(value["next"][1], "sudo ashmem waydroid enable");
    let enabled = ashmem(root.path(), &["enable", "--mode", "module"]);
    assert_eq!(enabled.status.code(), Some(0), "{}", text(&enabled.stderr));
    assert!(
        text(&enabled.stdout).contains("note: Waydroid is not initialised yet"),
        "{}",
        text(&enabled.stdout)
    );
    let after = text(&ashmem(root.path(), &["status"]).stdout);
    assert!(after.contains("enabled         yes, in the mode module\n"), "{after}");
    let quiet = ashmem(root.path(), &["status", "--quiet"]);
    assert!(quiet.stdout.is_empty(), "{}", text(&quiet.stdout));
    assert_eq!(ashmem(root.path(), &["disable", "--now"]).status.code(), Some(0));
    assert!(!root.path().join(DROP_IN).exists());
}

#[test]
fn a_read_only_etc_is_said_and_nothing_is_left() {
    const READ_ONLY: &str = "mount --bind \"$1/etc\" \"$1/etc\" && mount -o remount,ro,bind \
                             \"$1/etc\" && shift && exec \"$@\"";
    let root = machine();
    let inside = |words: &[&str]| {
        Command::new("unshare")
            .args(["--mount", "--map-root-user", "sh", "-c", READ_ONLY, "sh"])
            .arg(root.path())
            .args(words)
            .output()
            .expect("unshare runs")
    };
    if !inside(&["true"]).status.success() {
        eprintln!("skipped: no file system can be mounted here, in a user namespace or as root");
        return;
    }
    let place = root.path().display().to_string();
    let tried = inside(&[ASHMEM, "waydroid", "enable", "--root", &place]);
    let said = text(&tried.stderr);
    assert_eq!(tried.status.code(), Some(1), "{said}");
    assert!(
        said.contains("Read-only file system") && said.contains("nothing was changed"),
        "{said}"
    );
    assert!(!root.path().join("etc/systemd/system/waydroid-container.service.d").exists());
    // One that was enabled while it could be written cannot be taken back, and says so.
    assert_eq!(ashmem(root.path(), &["enable"]).status.code(), Some(0));
    let enabled = fs::read(root.path().join(DROP_IN)).expect("the file");
    let tried = inside(&[ASHMEM, "waydroid", "disable", "--root", &place]);
    let said = text(&tried.stderr);
    assert_eq!(tried.status.code(), Some(1), "{said}");
    assert!(said.contains("removing") && said.contains("Read-only file system"), "{said}");
    assert_eq!(fs::read(root.path().join(DROP_IN)).expect("the file"), enabled);
}

#[test]
fn a_start_that_cannot_be_prepared_says_so_and_prints_no_path() {
    let root = machine();
    let prepared = ashmem(root.path(), &["prepare"]);
    assert_eq!(prepared.status.code(), Some(1));
    assert!(prepared.stdout.is_empty());
    let said = text(&prepared.stderr);
    assert!(
        said.contains("the container starts as Waydroid has it: Waydroid is not initialised"),
        "{said}"
    );
}
