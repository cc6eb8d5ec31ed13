// SPDX-License-Identifier: MIT OR Apache-2.0
//! The error of a step that failed because of a system call.

use rustix::io::Errno;

/// A system call that normally works failed.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {errno}")]
pub struct SystemError {
    /// What was tried: a call, or what it was for.
    pub step: &'static str,
    /// What the kernel said.
    pub errno: Errno,
}

/// For `map_err`: the error of this step.
pub(crate) fn failed(step: &'static str) -> impl FnOnce(Errno) -> SystemError {
    move |errno| SystemError { step, errno }
}
