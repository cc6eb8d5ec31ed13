// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a verb ends.

use std::process::ExitCode;

use anyhow::Result;

/// The exit status of a verb; prints its error on standard error.
pub(crate) fn ending(done: Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ashmem: {error:#}");
            ExitCode::FAILURE
        }
    }
}
