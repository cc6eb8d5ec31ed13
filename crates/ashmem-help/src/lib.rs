// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the help of this project's programs is laid out.
//!
//! Prose is wrapped once, at the terminal's width but at most at [`WIDEST`]; what stands under
//! `Examples:` is printed as it is to be typed, however narrow the terminal is: a line that a
//! terminal itself breaks is still one line when it is copied.
//!
//! The text after the options is `after_help` of [`clap`], whose own layout breaks each of its
//! lines, examples too. Here it goes into the help's template, which `clap` prints as it stands.

pub mod notes;
pub mod wrap;

use clap::Command;
use clap::builder::Styles;

use notes::sections;

/// The longest line of prose, in columns: longer ones are hard to read.
pub const WIDEST: usize = 100;
/// The least, in columns; a narrower terminal breaks lines itself.
const NARROWEST: usize = 40;
/// What files and pipes get, in columns.
const OFF_TERMINAL: usize = 80;

/// The command with its help, and that of all below it, laid out for this terminal.
#[must_use]
pub fn lay_out(command: Command) -> Command {
    lay_out_at(command, width())
}

/// The same for lines of `width` columns.
#[must_use]
pub fn lay_out_at(command: Command, width: usize) -> Command {
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{{all-args}}{}",
        after_options(&command, width)
    );
    command
        .term_width(width)
        .help_template(template)
        .mut_subcommands(|below| lay_out_at(below, width))
}

/// What the help says after the options, ready for a template; empty if that is nothing.
///
/// A template has words in braces. Braces that stand inside of braces would be lost, so that a text
/// must not have them.
#[must_use]
pub fn after_options(command: &Command, width: usize) -> String {
    let styles = Styles::styled();
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    sections(&text).iter().map(|section| format!("\n\n{}", section.at(width, &styles))).collect()
}

/// How many columns the help gets: those of the terminal that it, its errors or its questions go
/// to, within bounds.
#[must_use]
pub fn width() -> usize {
    let columns = [
        rustix::termios::tcgetwinsize(rustix::stdio::stdout()),
        rustix::termios::tcgetwinsize(rustix::stdio::stderr()),
    ]
    .into_iter()
    .filter_map(Result::ok)
    .map(|size| usize::from(size.ws_col))
    // A terminal that knows no size says 0.
    .find(|&columns| columns != 0);
    columns.unwrap_or(OFF_TERMINAL).clamp(NARROWEST, WIDEST)
}
