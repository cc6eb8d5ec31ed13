// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem run --unpin`: what becomes of unpinned pages, so that a program's WAS_PURGED path can be
//! tried.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The client; `None` where no C compiler is.
fn client() -> Option<&'static Path> {
    static CLIENT: OnceLock<Option<(tempfile::TempDir, PathBuf)>> = OnceLock::new();
    let built = CLIENT.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("client");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/unpin/client.c");
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-Wall", "-Werror", "-o"]).args([&program, &source]).arg("-lpthread");
        let built = cc.status().is_ok_and(|status| status.success());
        if !built {
            eprintln!("skipped: there is no C compiler (cc)");
        }
        built.then_some((folder, program))
    });
    built.as_ref().map(|(_, program)| program.as_path())
}

/// What the client says of its verb under these options of `ashmem run`.
#[track_caller]
fn says(options: &[&str], verb: &str, expected: &str) {
    let Some(client) = client() else { return };
    let mut command = Command::new(env!("CARGO_BIN_EXE_ashmem"));
    command.arg("run").args(options).arg("--").arg(client).arg(verb);
    let output = command.output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{options:?} {verb}: {said}");
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(told.trim_end(), expected, "{options:?} {verb}: {said}");
}

#[test]
fn at_once_every_pin_says_was_purged_and_the_pages_are_empty() {
    for more in [["--inside", "never"], ["--inside", "at-once"], ["--fidelity", "fast"]] {
        let options = [&["--unpin", "at-once"], more.as_slice()].concat();
        says(&options, "once", "1 empty");
        says(&options, "threads", "800 of 800");
    }
}

#[test]
fn never_a_pin_says_not_purged_unless_purge_all_caches_was_called() {
    says(&["--unpin", "never"], "once", "0 kept");
    says(&["--unpin", "never"], "threads", "0 of 800");
    if rustix::process::geteuid().is_root() {
        says(&["--unpin", "never"], "purge-all", "1 1 empty");
    }
}

#[test]
fn without_the_option_pages_stay_while_there_is_memory() {
    says(&[], "once", "0 kept");
    says(&["--unpin", "reclaim"], "once", "0 kept");
}

#[test]
fn another_word_is_refused_with_those_that_there_are() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ashmem"));
    let output = command.args(["run", "--unpin", "maybe", "true"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("possible values: reclaim, never, at-once"), "{said}");
}
