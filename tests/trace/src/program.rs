// SPDX-License-Identifier: MIT OR Apache-2.0
//! This program, as it starts itself.

use anyhow::{Context, Result, bail};
use ashmem_trace::event::Source;

/// What this program is called in a list of processes: the kernel keeps the first 15 bytes of it.
pub(crate) const COMMAND: &str = "ashmem-trace-test";

/// Whether a process is told under this program's name. The module's and the kernel's events name a
/// process as the kernel does; the rest of it is read while the process lives.
pub(crate) fn is_named(told: &[u8], source: Source) -> bool {
    let is_cut = source != Source::Agent && told == &COMMAND.as_bytes()[..15];
    told == COMMAND.as_bytes() || is_cut
}

/// This program's own path.
pub(crate) fn own_path() -> Result<String> {
    let path = std::env::current_exe().context("finding this program")?;
    match path.into_os_string().into_string() {
        Ok(path) => Ok(path),
        Err(path) => bail!("{} is no text", path.display()),
    }
}
