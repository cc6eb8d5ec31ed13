// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem doctor` as a person runs it, against faults that are made for real: calls that a sandbox
//! refuses, another supervisor, nodev mounts, containers, old runtimes.

mod sandbox;

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use sandbox::{Verdict, sandboxed};

const ASHMEM: &str = env!("CARGO_BIN_EXE_ashmem");

fn doctor(words: &[&str]) -> Command {
    let mut command = Command::new(ASHMEM);
    command.arg("doctor").args(words);
    command
}

/// Its report and its exit status.
fn report(mut command: Command) -> (Value, Option<i32>) {
    let output = command.arg("--json").output().expect("it starts");
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (report, output.status.code())
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let found =
        report["checks"].as_array().expect("a list").iter().find(|check| check["check"] == name);
    found.unwrap_or_else(|| panic!("no check is called {name}"))
}

#[track_caller]
fn expect(report: &Value, name: &str, status: &str, words: &str) {
    let check = check(report, name);
    let text = check.to_string();
    assert!(
        check["status"] == status && text.contains(words),
        "{name} should be {status} with `{words}`: {text}"
    );
}

fn is_root(for_what: &str) -> bool {
    let is = rustix::process::geteuid().is_root();
    if !is {
        eprintln!("skipped: {for_what} takes root");
    }
    is
}

#[test]
fn run_works_here_and_the_status_says_so() {
    let (report, status) = report(doctor(&["--mode", "run"]));
    assert_eq!((report["works"].as_bool(), status), (Some(true), Some(0)), "{report:#}");
    expect(&report, "notification", "ok", "");
    let quiet = doctor(&["--mode", "run", "--quiet"]).output().expect("it starts");
    assert!(quiet.status.success() && quiet.stdout.is_empty());
}

#[test]
fn a_mode_that_does_not_work_is_status_1_and_a_wrong_root_2() {
    let empty = std::env::temp_dir().join(format!("ashmem-doctor-{}", std::process::id()));
    std::fs::create_dir_all(&empty).expect("a folder");
    let root = empty.to_str().expect("a name");
    let output = doctor(&["--root", root, "--mode", "module"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stdout.contains(&0x1b), "no colours where no terminal is");
    let missing = format!("{root}/none");
    let output = doctor(&["--root", &missing]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&missing));
    std::fs::remove_dir(&empty).expect("nothing was put there");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_sandbox_that_refuses_is_named() {
    for (call, verdict, name, words) in [
        (
            libc::SYS_seccomp,
            Verdict::Refuse(libc::EINVAL),
            "notification",
            "Docker's, LXC's or Incus'",
        ),
        (libc::SYS_seccomp, Verdict::Kill, "notification", "kills what calls seccomp(2)"),
        (libc::SYS_pidfd_getfd, Verdict::Refuse(libc::EPERM), "notification", "pidfd_getfd: EPERM"),
        (
            libc::SYS_process_vm_readv,
            Verdict::Refuse(libc::ENOSYS),
            "notification",
            "reading the caller's memory: ENOSYS",
        ),
        (libc::SYS_memfd_create, Verdict::Refuse(libc::EPERM), "memfd", "memfd_create: EPERM"),
    ] {
        let (report, status) = report(sandboxed(doctor(&["--mode", "run"]), call, verdict));
        assert_eq!(status, Some(1), "{report:#}");
        expect(&report, name, "fault", words);
    }
    let (report, status) = report(sandboxed(
        doctor(&["--mode", "run"]),
        libc::SYS_unshare,
        Verdict::Refuse(libc::EPERM),
    ));
    expect(&report, "own /dev", "warning", "EPERM");
    assert_eq!(status, Some(0), "`ashmem run` does without: {report:#}");
}

#[test]
fn under_a_supervisor_the_device_is_its() {
    let mut command = Command::new(ASHMEM);
    command.args(["run", "--", ASHMEM, "doctor", "--mode", "run"]);
    let (report, status) = report(command);
    assert_eq!(status, Some(0), "{report:#}");
    expect(&report, "notification", "ok", "supervisor answers");
    expect(&report, "memfd", "ok", "Android 16 takes it");
    expect(&report, "boot id name", "ok", "by a supervisor");
    // The module's way does not work there, and nothing asked for it.
    expect(&report, "device", "absent", "by a supervisor");
    assert_eq!(check(&report, "device")["found"], "fault");
}

#[test]
fn another_listener_in_the_line_is_ebusy() {
    // At `fast`, with the node taken away, the supervisor inside has no device to show: what is
    // left is its listener.
    let mut command = Command::new(ASHMEM);
    let words = [
        "run",
        "--fidelity",
        "fast",
        "--",
        "sh",
        "-c",
        "umount /dev/ashmem && exec \"$0\" doctor --mode run --json",
        ASHMEM,
    ];
    command.args(words);
    if !is_root("unmounting the node") {
        return;
    }
    let output = command.output().expect("it starts");
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    expect(&report, "notification", "fault", "EBUSY");
}

#[test]
fn a_nodev_mount_is_named_with_its_place() {
    if !is_root("making a node") {
        return;
    }
    let folder = std::env::temp_dir().join(format!("ashmem-nodev-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("dev")).expect("a folder");
    let script = "mount -t tmpfs -o nodev tmpfs \"$1/dev\" && mknod -m 0666 \"$1/dev/ashmem\" c 1 \
                  5 && mkdir -p \"$1/proc\" && mount --bind /proc \"$1/proc\" && exec \"$0\" \
                  doctor --json --mode module --root \"$1\"";
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script, ASHMEM])
        .arg(&folder)
        .output()
        .expect("unshare starts");
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    expect(&report, "device", "fault", "nodev mount");
    let command = format!("remount,bind,dev {}/dev", folder.display());
    expect(&report, "device", "fault", &command);
    std::fs::remove_dir_all(&folder).expect("nothing is mounted there any more");
}

#[test]
fn a_running_container_is_looked_into() {
    if !is_root("making a container") {
        return;
    }
    let script = "mount -t tmpfs -o nodev tmpfs /dev && mknod -m 0666 /dev/ashmem c 1 3 && echo \
                  ready && exec sleep 60";
    let container = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            script,
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare starts");
    let mut container = Killed(container);
    let mut word = [0; 6];
    std::io::Read::read_exact(container.0.stdout.as_mut().expect("a pipe"), &mut word)
        .expect("the container is ready");
    let (report, _) = report(doctor(&[]));
    expect(&report, "containers", "warning", "/dev/ashmem lies on a nodev mount, /dev");
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_old_runtime_is_named() {
    let folder = std::env::temp_dir().join(format!("ashmem-runc-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    for (version, status, words) in
        [("1.0.3", "warning", "older than 1.1.0"), ("1.1.5+ds1", "ok", "runc 1.1.5")]
    {
        let runc = folder.join("runc");
        write_program(&runc, &format!("#!/bin/sh\necho runc version {version}\n"));
        let mut command = doctor(&[]);
        command.env("PATH", &folder);
        let (report, _) = report(command);
        expect(&report, "OCI runtimes", status, words);
    }
    std::fs::remove_dir_all(&folder).expect("it goes");
}

/// Written by another process, lest a child of a neighbouring test still hold it open for writing
/// when it is executed.
fn write_program(path: &Path, text: &str) {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "rm -f \"$1\"; printf %s \"$2\" > \"$1\" && chmod 755 \"$1\"", "sh"])
        .arg(path)
        .arg(text);
    assert!(shell.status().expect("sh starts").success());
}

/// `explain` of a text: what it printed and its status.
fn explain(text: &(impl AsRef<[u8]> + ?Sized), words: &[&str]) -> Output {
    let mut child = doctor(&["explain"])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    child.stdin.take().expect("a pipe").write_all(text.as_ref()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

#[test]
fn explain_names_causes_and_says_what_it_does_not_know() {
    let known = explain(
        "usb 1-1: new device\n\
         modprobe: FATAL: Module ashmem_linux not found in directory /lib/modules/6.1\n",
        &[],
    );
    let text = String::from_utf8_lossy(&known.stdout);
    assert!(
        known.status.success()
            && text.contains("module-not-found")
            && text.contains("1 other line speaks"),
        "{text}"
    );

    let unknown = explain("ashmem: an entirely new error\n", &[]);
    let text = String::from_utf8_lossy(&unknown.stdout);
    assert!(
        unknown.status.code() == Some(1)
            && text.contains("not known: ashmem: an entirely new error")
            && text.contains("Nothing was explained")
            && !text.contains("LC_ALL=C"),
        "{text}"
    );
    // Nor is trouble of binder that is not known, in whatever language.
    let unknown = explain("chmod: \u{ab} /dev/binder \u{bb} : \u{e9}chec\n", &[]);
    let text = String::from_utf8_lossy(&unknown.stdout);
    assert!(
        unknown.status.code() == Some(1)
            && text.contains("Nothing was explained")
            && text.contains("LC_ALL=C"),
        "{text}"
    );

    // What is harmless is said to be, and is no trouble.
    let healthy = explain("ashmem_linux: loading out-of-tree module taints kernel.\n", &[]);
    let text = String::from_utf8_lossy(&healthy.stdout);
    assert!(
        healthy.status.code() == Some(1)
            && text.contains("taint-harmless: harmless")
            && text.contains("Nothing is wrong here"),
        "{text}"
    );
    assert_eq!(explain("", &[]).status.code(), Some(1));

    let json = explain("Unable to open ashmem device\n\u{fffd}\n", &["--json"]);
    let value: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(value["explained"][0]["id"], "device-missing");
    assert_eq!(value["verdict"], "trouble");
    assert_eq!(value["unrecognised"], 1);
}

#[test]
fn explain_bears_any_bytes_and_a_long_log() {
    let mut log = "\0\u{1b}]0;x\u{7} memfd\n".repeat(50);
    log.push_str(&"x".repeat(1 << 20));
    log.push_str(
        "\nLockdown: insmod: unsigned module loading is restricted; see man kernel_lockdown.7\n",
    );
    let started = Instant::now();
    let output = explain(&log, &[]);
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("lockdown") && !text.contains('\u{1b}') && !text.contains('\u{7}'),
        "{text:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(60), "it does not hang");
    // PowerShell's UTF-16, and what is no text.
    let units: Vec<u8> = "\u{feff}modprobe: FATAL: Module ashmem_linux not found.\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert!(explain(&units, &[]).status.success());
    let packed = explain(b"\x1f\x8b\x08\0ashmem", &[]);
    assert_eq!(packed.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&packed.stderr).contains("zcat FILE | ashmem doctor explain"));
    // A line without an end is no more than its beginning.
    assert_eq!(explain(&"ashmem ".repeat(1 << 20), &[]).status.code(), Some(1));
}

#[test]
fn cdi_refuses_what_is_no_device() {
    if Path::new("/dev/ashmem").exists() {
        eprintln!("skipped: this host has the device");
        return;
    }
    let output = Command::new(ASHMEM).arg("cdi").output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("modprobe ashmem_linux"));
    let output =
        Command::new(ASHMEM).args(["run", "--", ASHMEM, "cdi"]).output().expect("it starts");
    assert!(
        !output.status.success()
            && String::from_utf8_lossy(&output.stderr).contains("stands in for the device")
    );
}
