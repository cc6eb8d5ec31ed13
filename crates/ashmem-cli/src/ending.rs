// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a verb ends.

use std::process::ExitCode;

use anyhow::{Error, Result};
use ashmem_agent::notice;

/// The exit status of a verb; prints its error on standard error.
pub(crate) fn ending(done: Result<()>) -> ExitCode {
    ending_with(done.map(|()| ExitCode::SUCCESS))
}

/// The same of a verb whose status may tell something else than an error.
pub(crate) fn ending_with(done: Result<ExitCode>) -> ExitCode {
    done.unwrap_or_else(|error| {
        tell(&error);
        ExitCode::FAILURE
    })
}

/// Says an error with its causes, each once.
pub(crate) fn tell(error: &Error) {
    notice!("{}", line(error));
}

/// Some errors name their cause themselves, for those who print them alone.
fn line(error: &Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context;

    use super::line;

    /// It names its cause itself.
    #[derive(Debug, thiserror::Error)]
    #[error("reading it: {0}")]
    struct Telling(#[from] io::Error);

    #[test]
    fn a_cause_is_told_once() {
        let cause = || io::Error::from_raw_os_error(libc::EISDIR);
        let once = "the file: reading it: Is a directory (os error 21)";
        let telling = Err::<(), _>(Telling(cause())).context("the file");
        assert_eq!(line(&telling.expect_err("an error")), once);
        let silent = Err::<(), _>(cause()).context("reading it").context("the file");
        assert_eq!(line(&silent.expect_err("an error")), once);
    }
}
