// SPDX-License-Identifier: MIT OR Apache-2.0
//! This program, as it starts itself.

use anyhow::{Context, Result, bail};

/// What the kernel calls this program: as much of its name as it keeps.
pub(crate) const COMMAND: &str = "ashmem-trace-te";

/// This program's own path.
pub(crate) fn own_path() -> Result<String> {
    let path = std::env::current_exe().context("finding this program")?;
    match path.into_os_string().into_string() {
        Ok(path) => Ok(path),
        Err(path) => bail!("{} is no text", path.display()),
    }
}
