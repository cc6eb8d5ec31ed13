// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem trace` under a supervisor: what a caller got, and who it is.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Fails in three ways: the supervisor refuses, the kernel refuses a descriptor, and it refuses a
/// mapping that the supervisor let pass.
const FAILS: &str = r#"#!/usr/bin/python3
import fcntl, mmap, os, resource, subprocess, sys
fd = os.open("/dev/ashmem", os.O_RDWR)
fcntl.ioctl(fd, 0x40087703, 1 << 30)
if len(sys.argv) > 1:
    subprocess.run(sys.argv[1:])
try:
    mmap.mmap(fd, 1 << 31)
except OSError:
    pass
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
try:
    mmap.mmap(fd, 1 << 30)
except OSError:
    pass
resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
try:
    while True:
        os.open("/dev/ashmem", os.O_RDWR)
except OSError:
    pass
"#;

/// The events of a trace of this command, by these options.
fn events(folder: &Path, options: &[&str], command: &[&str]) -> Vec<Value> {
    let file = folder.join("trace.json");
    let output = Command::new(env!("CARGO_BIN_EXE_ashmem"))
        .args(["trace", "--source", "agent", "--json", "-o"])
        .arg(&file)
        .args(options)
        .arg("--")
        .args(command)
        .output()
        .expect("starting ashmem");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = std::fs::read_to_string(file).expect("a trace");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("an object"));
    lines.filter(|line| line["type"] == "event").collect()
}

/// A script of this name.
fn script(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, FAILS).expect("a script");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&path, mode).expect("it is ours");
    path.to_str().expect("a path").to_owned()
}

#[test]
fn what_the_kernel_refused_is_a_failure() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = script(folder.path(), "fails");
    let failures = events(folder.path(), &["--fail-only"], &[&script]);
    let has = |op: &str, errno: &str| {
        failures.iter().any(|event| event["op"] == op && event["errno"] == errno)
    };
    assert!(has("OPEN", "EMFILE"), "the table was full: {failures:#?}");
    // Where the caller may not be stopped for it, the result is unknown, and never a success.
    let all = events(folder.path(), &[], &[&script]);
    let made = all.iter().filter(|event| {
        event["op"] == "MMAP" && event["result"].as_i64().is_some_and(|result| result >= 0)
    });
    assert_eq!(made.count(), 0, "the kernel made no mapping: {all:#?}");
    let mmaps: Vec<_> = all.iter().filter(|event| event["op"] == "MMAP").collect();
    assert!(!mmaps.is_empty(), "{all:#?}");
    if mmaps.iter().all(|event| !event["result"].is_null()) {
        assert!(has("MMAP", "ENOMEM"), "no memory was there: {failures:#?}");
    }
}

#[test]
fn a_process_has_one_name() {
    let folder = tempfile::tempdir().expect("a folder");
    // Longer than what the kernel keeps.
    let script = script(folder.path(), "one-name-in-every-view.py");
    let listed = folder.path().join("listed");
    let list =
        format!("{} list --json --pid $PPID > {}", env!("CARGO_BIN_EXE_ashmem"), listed.display());
    let events = events(folder.path(), &[], &[&script, "/bin/sh", "-c", &list]);
    let told = events.iter().find(|event| event["op"] == "OPEN").expect("it opens the device");
    assert_eq!(told["command"], "one-name-in-every-view.py");
    let text = std::fs::read_to_string(listed).expect("a list");
    let census: Value = serde_json::from_str(&text).expect("a document");
    let holder = &census["regions"][0]["holders"][0];
    assert_eq!(holder["process"]["command"], "one-name-in-every-view.py", "{census:#}");
}

#[test]
fn a_region_that_is_renamed_away_has_not_grown() {
    const RENAMED: &str = r#"
import fcntl, os
fd = os.open("/dev/ashmem", os.O_RDWR)
for name in b"cache-1", b"other":
    fcntl.ioctl(fd, 0x41007701, name.ljust(256, b"\0"))
"#;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("growth.json");
    let output = Command::new(env!("CARGO_BIN_EXE_ashmem"))
        .args(["trace", "--source", "agent", "--growth", "--json", "--name", "cache*", "-o"])
        .arg(&file)
        .args(["--", "python3", "-c", RENAMED])
        .output()
        .expect("starting ashmem");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(file).expect("a trace");
    let mut lines =
        text.lines().map(|line| serde_json::from_str::<Value>(line).expect("an object"));
    let last = lines.rfind(|line| line["type"] == "growth").expect("a line of growth");
    assert_eq!((&last["regions"], &last["uncertain"]), (&0.into(), &false.into()), "{text}");
    assert!(text.contains("\"events\":4"), "it was seen from its open to its end: {text}");
}

#[test]
fn lines_are_not_written_where_perfetto_looks() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("trace.pftrace");
    for option in ["--growth", "--summary", "--json"] {
        let output = Command::new(env!("CARGO_BIN_EXE_ashmem"))
            .args(["trace", "--source", "agent", option, "-o"])
            .arg(&file)
            .args(["--", "true"])
            .output()
            .expect("starting ashmem");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{said}");
        assert!(said.contains("for Perfetto") && said.contains(option), "{said}");
        assert!(!file.exists(), "nothing was written");
    }
}
