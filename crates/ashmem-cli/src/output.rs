// SPDX-License-Identifier: MIT OR Apache-2.0
//! Standard output, as every verb writes it.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::ops::ControlFlow;

use anyhow::{Context, Result};

/// Writes `text`. A reader that takes no more (`| head`, `| grep -q`) has read enough: that is no
/// error, and the exit status is still right.
pub(crate) fn print(text: &str) -> Result<()> {
    print_to(io::stdout(), text).map(drop)
}

/// The same with colours where they are wanted: on a terminal, unless NO_COLOR.
pub(crate) fn print_coloured(text: &str) -> Result<()> {
    print_to(anstream::stdout(), text).map(drop)
}

/// The same for who has more to write: [`ControlFlow::Break`] if the reader takes no more.
pub(crate) fn print_next(text: &str) -> Result<ControlFlow<()>> {
    print_to(io::stdout(), text)
}

/// Whether it is a terminal that understands more than letters.
pub(crate) fn can_be_drawn_on() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|name| name != "dumb")
}

fn print_to(mut output: impl Write, text: &str) -> Result<ControlFlow<()>> {
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(error).context("writing to standard output"),
    }
}
