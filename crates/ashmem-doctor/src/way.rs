// SPDX-License-Identifier: MIT OR Apache-2.0
//! The three ways to the device, and which of them is asked about.

use std::fmt;

use serde::Serialize;

/// A way by which programs get `/dev/ashmem`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// The kernel module, or a driver that the kernel brings itself.
    Module,
    /// `ashmem agent`, for containers.
    Agent,
    /// `ashmem run`, for one program and what it starts.
    Run,
}

/// Which way is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AskedMode {
    /// This one.
    Only(Way),
    /// Any.
    Auto,
}

impl Way {
    /// All of them, the best first.
    pub const ALL: [Self; 3] = [Self::Module, Self::Agent, Self::Run];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Module => "module",
            Self::Agent => "agent",
            Self::Run => "run",
        }
    }

    /// What it is, to somebody who reads of it for the first time.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Module => "the kernel's driver",
            Self::Agent => "`ashmem agent`, for containers",
            Self::Run => "`ashmem run`, for a program that you start with it",
        }
    }
}

impl AskedMode {
    /// The ways that serve it.
    pub fn ways(self) -> &'static [Way] {
        match self {
            Self::Only(Way::Module) => &[Way::Module],
            Self::Only(Way::Agent) => &[Way::Agent],
            Self::Only(Way::Run) => &[Way::Run],
            Self::Auto => &Way::ALL,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
