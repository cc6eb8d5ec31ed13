// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a verb ends.

use std::process::ExitCode;

use anyhow::Result;

/// The exit status of a verb; prints its error on standard error.
pub(crate) fn ending(done: Result<()>) -> ExitCode {
    ending_with(done.map(|()| ExitCode::SUCCESS))
}

/// The same of a verb whose status may tell something else than an error.
pub(crate) fn ending_with(done: Result<ExitCode>) -> ExitCode {
    done.unwrap_or_else(|error| {
        eprintln!("ashmem: {error:#}");
        ExitCode::FAILURE
    })
}
