// SPDX-License-Identifier: MIT OR Apache-2.0
//! The stock kernels everything is built for and tried on: Debian's own images and headers,
//! unpacked, never installed.
//!
//! A [`Line`] is a choice a person makes; the package index says which [`Kernel`] that is today.
//! One that was fetched is used without asking again until `cargo xtask setup --refresh`.
//!
//! The debug kernels, which are built here from Debian's source, lie beside them in the same form
//! ([`debug`]).

mod debug;
mod line;
mod stock;
mod unpacked;

pub(crate) use line::{Instruments, Line};
pub(crate) use unpacked::Kernel;

use crate::util::workspace;
use anyhow::Result;

impl Kernel {
    /// The line's kernel from the cache; where the cache has none, from the archive or built here.
    pub(crate) fn fetch(line: Line) -> Result<Self> {
        match Self::cached(line) {
            Some(kernel) => Ok(kernel),
            None => {
                let _lock = workspace::lock(&format!("kernel-{line}"))?;
                // Another run may have fetched it while we waited.
                Self::cached(line).map_or_else(|| Self::provide(line, false), Ok)
            }
        }
    }

    /// The line's latest kernel by a fresh look at the archive.
    pub(crate) fn refresh(line: Line) -> Result<Self> {
        let _lock = workspace::lock(&format!("kernel-{line}"))?;
        Self::provide(line, true)
    }

    fn provide(line: Line, renew: bool) -> Result<Self> {
        match line.recipe() {
            Some(recipe) => debug::build(line, recipe, renew),
            None => stock::download(line),
        }
    }

    /// The line's kernel if the cache has it.
    pub(crate) fn cached(line: Line) -> Option<Self> {
        match line.recipe() {
            Some(recipe) => debug::cached(line, recipe),
            None => stock::cached(line),
        }
    }
}
