// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the host asks of the guest and what the guest says back: the words both sides share.
//!
//! The host writes one [`Plan`] into the initramfs; the guest's init carries it out and answers on
//! the control port with one [`Word`] a line.

use serde::{Deserialize, Serialize};

/// Where the plan lies in the initramfs.
pub const PLAN: &str = "/etc/plan.json";

/// The serial port that carries the program's standard output.
pub const STDOUT_PORT: &str = "/dev/ttyS1";
/// The serial port that carries the program's standard error.
pub const STDERR_PORT: &str = "/dev/ttyS2";
/// The serial port that carries init's own words.
pub const CONTROL_PORT: &str = "/dev/ttyS3";

/// Everything init does between the kernel's handover and power off.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Kernel modules, in loading order.
    pub modules: Vec<Module>,
    /// The program's path in the guest.
    pub program: String,
    /// The program's arguments, without its own name.
    pub arguments: Vec<String>,
    /// The program's environment, beside what init adds.
    pub environment: Vec<(String, String)>,
}

/// One kernel module to load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Module {
    /// Its file in the guest.
    pub path: String,
    /// Its parameters, as `insmod` takes them.
    pub parameters: String,
}

/// One line on the control port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// This module is handed to the kernel now; until the first of these only the stock kernel has
    /// run.
    Loading(String),
    /// The machine is prepared; the program starts now.
    Ready,
    /// The program returned this status.
    Exit(i32),
    /// The program was killed by this signal.
    Signal(i32),
    /// Init could not do its part; the program may not have run.
    InitError(String),
}
