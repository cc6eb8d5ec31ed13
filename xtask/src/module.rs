//! The kernel module, built for one kernel.

use crate::kernel::Kernel;
use anyhow::{Result, bail};
use std::path::PathBuf;

/// Builds `ashmem_linux.ko` for a kernel and returns its path.
pub(crate) fn build(kernel: &Kernel) -> Result<PathBuf> {
    bail!("the module cannot be built for {} by this xtask; give a built one with --module-path", kernel.release)
}
