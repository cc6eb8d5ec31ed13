// SPDX-License-Identifier: MIT OR Apache-2.0
//! The stock kernels everything is built for and tried on: Debian's own images and headers,
//! unpacked, never installed.
//!
//! A [`Line`] is a choice a person makes, on one architecture a [`Platform`]; the package index
//! says which [`Kernel`] that is today. One that was fetched is used without asking again until
//! `cargo xtask setup --refresh`.
//!
//! The debug kernels, which are built here from Debian's source, lie beside them in the same form
//! ([`debug`]).

mod debug;
mod line;
mod platform;
mod stock;
mod unpacked;

pub(crate) use line::{Instruments, Line};
pub(crate) use platform::Platform;
pub(crate) use unpacked::Kernel;

use crate::util::workspace;
use anyhow::Result;

impl Kernel {
    /// The platform's kernel from the cache; where the cache has none, from the archive or built
    /// here.
    pub(crate) fn fetch(platform: impl Into<Platform>) -> Result<Self> {
        let platform = platform.into();
        platform.check()?;
        match Self::cached(platform) {
            Some(kernel) => Ok(kernel),
            None => {
                let _lock = workspace::lock(&format!("kernel-{}", platform.key()))?;
                // Another run may have fetched it while we waited.
                Self::cached(platform).map_or_else(|| Self::provide(platform, false), Ok)
            }
        }
    }

    /// The platform's latest kernel by a fresh look at the archive.
    pub(crate) fn refresh(platform: Platform) -> Result<Self> {
        platform.check()?;
        let _lock = workspace::lock(&format!("kernel-{}", platform.key()))?;
        Self::provide(platform, true)
    }

    fn provide(platform: Platform, renew: bool) -> Result<Self> {
        match platform.line.recipe() {
            Some(recipe) => debug::build(platform, recipe, renew),
            None => stock::download(platform),
        }
    }

    /// The platform's kernel if the cache has it.
    pub(crate) fn cached(platform: Platform) -> Option<Self> {
        match platform.line.recipe() {
            Some(recipe) => debug::cached(platform, recipe),
            None => stock::cached(platform),
        }
    }
}
