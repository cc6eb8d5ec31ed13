// SPDX-License-Identifier: MIT OR Apache-2.0
//! A Go program: threads by the dozen that the runtime signals at any moment, no C library, calls
//! made by its own code.

use super::{ASHMEM, is_ok, output, unprivileged};
use std::path::Path;
use std::process::Command;

#[test]
fn a_go_program_works() {
    let directory = std::env::temp_dir().join(format!("ashmem-go-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory for the program");
    let program = directory.join("client");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run/client.go");
    let mut go = Command::new("go");
    go.args(["build", "-o"])
        .arg(&program)
        .arg(&source)
        .env("GOCACHE", directory.join("cache"))
        .env("CGO_ENABLED", "0");
    go.env("GO111MODULE", "off").current_dir(&directory);
    match go.output() {
        // `cargo xtask test` says that setup has run, and setup installs one.
        Err(error) if std::env::var_os("ASHMEM_SET_UP").is_some() => {
            panic!("setup left no Go compiler: {error}")
        }
        Err(error) => return eprintln!("skipped: there is no Go compiler here ({error})"),
        Ok(built) => assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr)),
    }
    for level in ["full", "fast"] {
        let command = || {
            let mut command = Command::new(ASHMEM);
            command.args(["run", "--fidelity", level, "--"]).arg(&program);
            command
        };
        is_ok(&format!("Go, {level}"), &output(command()));
        if let Some(command) = unprivileged(command()) {
            is_ok(&format!("Go, {level}, as nobody"), &output(command));
        }
    }
    let _ = std::fs::remove_dir_all(directory);
}
