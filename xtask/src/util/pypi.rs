// SPDX-License-Identifier: MIT OR Apache-2.0
//! Python packages from PyPI, in the cache: tools that Debian 12 has not.

use crate::util::{process, workspace};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// Where this version of a package lies, for PYTHONPATH; fetched unless it is there.
pub(crate) fn package(name: &str, version: &str) -> Result<PathBuf> {
    let _lock = workspace::lock(name)?;
    let folder = workspace::cache("python")?.join(format!("{name}-{version}"));
    if !folder.exists() {
        eprintln!("fetching {name} {version} from PyPI ...");
        workspace::make_whole(&folder, |part| {
            let mut pip = Command::new("python3");
            pip.args([
                "-m",
                "pip",
                "--disable-pip-version-check",
                "install",
                "--quiet",
                "--root-user-action",
                "ignore",
            ]);
            pip.arg("--target").arg(part).arg(format!("{name}=={version}"));
            process::capture(&mut pip)
                .map(drop)
                .with_context(|| format!("fetching {name} from PyPI"))
        })?;
    }
    Ok(folder)
}
