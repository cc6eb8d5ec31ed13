//! Programs of this workspace built to run in a guest without any library.

use crate::{process, workspace};
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// The one target xtask builds for.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds a package's program statically linked and optimised, and returns its path. Fast when nothing changed.
pub(crate) fn build(package: &str) -> Result<PathBuf> {
    let folder = workspace::cache("static")?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // --target keeps the static flag from the build's own plug-ins, which must stay loadable.
    cargo.args(["build", "--quiet", "--release", "--package", package, "--bin", package, "--target", TARGET]);
    cargo.current_dir(workspace::root()).env("CARGO_TARGET_DIR", &folder);
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static -C strip=debuginfo").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let (text, status) = process::capture_both(&mut cargo)?;
    if !status.success() {
        bail!("building {package} as a static program ended with {}:\n{text}", process::describe(status));
    }
    Ok(folder.join(TARGET).join("release").join(package))
}
