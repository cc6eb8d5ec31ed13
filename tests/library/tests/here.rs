// SPDX-License-Identifier: MIT OR Apache-2.0
//! The trial where there is no device: on this machine, as it is.

use std::process::Command;

#[test]
fn without_a_device_every_promise_holds_on_memfd() {
    if std::path::Path::new("/dev/ashmem").exists() {
        eprintln!(
            "skipped: this machine has /dev/ashmem; the trial on a device runs in `cargo xtask \
             test`"
        );
        return;
    }
    let program = env!("CARGO_BIN_EXE_ashmem-library-test");
    let output = Command::new(program)
        .args(["--provider", "none"])
        .env_remove("ASHMEM_BACKEND")
        .output()
        .expect("the trial starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}
