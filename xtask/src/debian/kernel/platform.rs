// SPDX-License-Identifier: MIT OR Apache-2.0
//! A line of kernels on an architecture: what one kernel of the cache is for.

use super::line::{Instruments, KERNEL_ADDRESS_ARM64, Line};
use crate::util::arch::Arch;
use anyhow::{Result, bail};
use std::fmt;

/// A line of kernels on an architecture; the line alone means x86-64's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Platform {
    pub(crate) arch: Arch,
    pub(crate) line: Line,
}

impl Platform {
    /// Fails where the architecture has no kernel of that line.
    pub(crate) fn check(self) -> Result<()> {
        match self.arch {
            Arch::Arm64
                if self.line.recipe().is_some() && !Line::DEBUG_ARM64.contains(&self.line) =>
            {
                bail!(
                    "the debug kernel {} is built for {} alone: leave --arch out",
                    self.line,
                    Arch::X86_64
                )
            }
            Arch::X86_64 if self.line == Line::KasanTags => bail!(
                "{} ignores no bits of a pointer: add --arch {}, or choose another kernel than {}",
                Arch::X86_64,
                Arch::Arm64,
                self.line
            ),
            Arch::X86_64 if self.line.has_large_pages() => bail!(
                "{} has no pages of 16 KiB: add --arch {}, or choose another kernel than {}",
                Arch::X86_64,
                Arch::Arm64,
                self.line
            ),
            _ => Ok(()),
        }
    }

    /// How many times longer than on a stock kernel of x86-64 anything may take.
    pub(crate) fn patience(self) -> u32 {
        match self.arch {
            Arch::X86_64 => self.line.patience(),
            // The emulator makes more of each of its instructions.
            Arch::Arm64 => 2 * self.line.patience(),
        }
    }

    /// How the module's Rust half is compiled for it.
    pub(crate) fn instruments(self) -> Instruments {
        match (self.arch, self.line) {
            (Arch::Arm64, Line::Kasan) => KERNEL_ADDRESS_ARM64,
            _ => self.line.instruments(),
        }
    }

    /// The name in the cache.
    pub(crate) fn key(self) -> String {
        format!("{}{}", self.arch.prefix(), self.line)
    }
}

impl From<Line> for Platform {
    fn from(line: Line) -> Self {
        Self { arch: Arch::X86_64, line }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.arch {
            Arch::X86_64 => self.line.fmt(formatter),
            arch @ Arch::Arm64 => write!(formatter, "{} for {arch}", self.line),
        }
    }
}
