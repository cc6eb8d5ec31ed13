// SPDX-License-Identifier: MIT OR Apache-2.0
//! The processor architectures that kernels, modules, programs and machines are for, and what each
//! tool calls them.

use std::fmt;

/// A processor architecture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, clap::ValueEnum)]
pub(crate) enum Arch {
    /// x86-64, this machine's own
    #[default]
    #[value(name = "x86-64")]
    X86_64,
    /// arm64, cross-compiled and emulated; fetches a compiler, a QEMU and kernels of its own
    Arm64,
}

impl Arch {
    /// Every one that the module is packed for, this machine's own first.
    pub(crate) const ALL: [Self; 2] = [Self::X86_64, Self::Arm64];

    /// The name as typed and shown.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86-64",
            Self::Arm64 => "arm64",
        }
    }

    /// Debian's name.
    pub(crate) const fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The kernel's name, which its makefiles call ARCH.
    pub(crate) const fn kernel(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }

    /// The kernel's folder of the architecture, which its makefiles call SRCARCH.
    pub(crate) const fn kernel_folder(self) -> &'static str {
        match self {
            Self::X86_64 => "x86",
            Self::Arm64 => "arm64",
        }
    }

    /// The compiler's name, as in the targets of GNU's tools and of rustc.
    pub(crate) const fn machine(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// What is put before a name in the cache, so that what is made for one architecture never
    /// takes the place of what is made for another.
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::X86_64 => "",
            Self::Arm64 => "arm64-",
        }
    }

    /// rustc's target for programs.
    pub(crate) fn rust_target(self) -> String {
        format!("{}-unknown-linux-gnu", self.machine())
    }

    /// The program that emulates a machine.
    pub(crate) fn emulator(self) -> String {
        format!("qemu-system-{}", self.machine())
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
