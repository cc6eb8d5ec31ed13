// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the program `ashmem` is made of: one verb a file, and the map of them all.
//!
//! A verb is a `clap` structure with a `run` that says by its exit code how it went. It is thin:
//! what it does is a library's. A new one is a file here, a line in `Verb`, and a place on the map
//! (`map.rs`).

// They panic where standard output or error takes no more: `output` and `notice!` do not.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod agent;
mod announcement;
mod cdi;
mod completions;
mod doctor;
mod duration;
mod ending;
mod list;
mod log;
mod man;
mod map;
mod module;
mod output;
mod purge;
mod report;
mod run;
mod selection;
mod top;
mod trace;
mod waydroid;

use std::io::ErrorKind;
use std::process::ExitCode;

use ashmem_agent::notice;
use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use log::DefaultLog;

/// Android's shared memory (/dev/ashmem) on Linux
#[derive(Parser)]
#[command(
    name = "ashmem",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "\
`ashmem VERB --help` teaches a verb, with examples.

Environment:
  ASHMEM_LOG  what is logged on standard error of what happens inside: off, error, warn, info, debug
              or trace, also for modules (warn,ashmem_agent=debug); warn unless it is set, of
              `ashmem agent` the sockets and containers that it serves too
  NO_COLOR    if it is set, nothing is coloured; off a terminal nothing is"
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Agent(agent::Arguments),
    Cdi(cdi::Arguments),
    Completions(completions::Arguments),
    Doctor(doctor::Arguments),
    Join(ashmem_join::JoinArguments),
    List(list::Arguments),
    Man(man::Arguments),
    Module(module::Arguments),
    Purge(purge::Arguments),
    Report(report::Arguments),
    Run(run::Arguments),
    Top(top::Arguments),
    Trace(trace::Arguments),
    Waydroid(waydroid::Arguments),
}

/// The program's command line, whole: what help, manual pages and completions are made from.
#[must_use]
pub fn command() -> Command {
    command_at(ashmem_help::width())
}

/// The same with help for lines of `width` columns.
fn command_at(width: usize) -> Command {
    map::draw(Arguments::command(), width)
}

/// The program: reads the command line, does what it says, returns the exit status.
#[must_use]
pub fn main() -> ExitCode {
    let matches = command().try_get_matches();
    let arguments = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) => return answered(&error),
    };
    log::begin(match arguments.verb {
        Verb::Agent(_) => DefaultLog::Service,
        _ => DefaultLog::Warnings,
    });
    match arguments.verb {
        Verb::Agent(arguments) => arguments.run(),
        Verb::Cdi(arguments) => arguments.run(),
        Verb::Completions(arguments) => arguments.run(command()),
        Verb::Doctor(arguments) => arguments.run(),
        Verb::Join(arguments) => ExitCode::from(arguments.run()),
        Verb::List(arguments) => arguments.run(),
        Verb::Man(arguments) => arguments.run(command()),
        Verb::Module(arguments) => arguments.run(),
        Verb::Purge(arguments) => arguments.run(),
        Verb::Report(arguments) => arguments.run(),
        Verb::Run(arguments) => arguments.run(),
        Verb::Top(arguments) => arguments.run(),
        Verb::Trace(arguments) => arguments.run(),
        Verb::Waydroid(arguments) => arguments.run(),
    }
}

/// Prints what clap has to say instead of a verb: help, the version, an error.
fn answered(answer: &clap::Error) -> ExitCode {
    match answer.print() {
        Err(error) if !answer.use_stderr() && error.kind() != ErrorKind::BrokenPipe => {
            notice!("writing to standard output: {error}");
            ExitCode::FAILURE
        }
        _ => u8::try_from(answer.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from),
    }
}

#[cfg(test)]
mod tests {
    use ashmem_help::notes::{NotePart, sections};
    use clap::Command;

    #[test]
    fn the_command_line_is_sound() {
        super::command().debug_assert();
    }

    fn in_one_line(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Each verb's help at a width, with what is to be copied from it.
    fn helps(command: &Command) -> Vec<(String, Vec<String>)> {
        let notes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let help = in_one_line(&command.clone().render_long_help().to_string());
        assert!(help.contains(&in_one_line(&notes)), "of this something is lost:\n{notes}\n{help}");
        let parts = sections(&notes).into_iter().flat_map(|section| section.parts);
        let to_copy = parts.filter_map(|part| match part {
            NotePart::Verbatim(lines) => Some(lines),
            NotePart::Prose(_) | NotePart::Rows(_) => None,
        });
        let mut helps = vec![(
            command.clone().render_long_help().to_string(),
            to_copy.flatten().collect::<Vec<_>>(),
        )];
        helps.extend(command.get_subcommands().flat_map(self::helps));
        helps
    }

    #[test]
    fn examples_can_be_copied_and_prose_is_wrapped_once_at_every_width() {
        for width in [40, 60, 80, 100] {
            let mut command = super::command_at(width);
            command.build();
            for (help, to_copy) in helps(&command) {
                let lines: Vec<_> = help.lines().collect();
                for example in &to_copy {
                    assert!(lines.contains(&example.as_str()), "{example} is not in\n{help}");
                }
                for line in &lines {
                    let is_short = line.chars().count() <= width;
                    let is_one_word = line.split("  ").last().is_some_and(|end| !end.contains(' '));
                    let may_be_long = is_one_word
                        || line.starts_with("Usage: ")
                        || to_copy.iter().any(|example| example == line);
                    assert!(is_short || may_be_long, "{width}: {line}\n{help}");
                }
                for pair in lines.windows(2) {
                    let is_prose = |line: &str| line.starts_with(char::is_alphanumeric);
                    let [line, next] = pair else { continue };
                    let word = next.split(' ').next().unwrap_or_default();
                    assert!(
                        !is_prose(line)
                            || !is_prose(next)
                            || line.ends_with(':')
                            || line.chars().count() + 1 + word.chars().count() > width,
                        "at {width} `{word}` fits after `{line}`:\n{help}"
                    );
                }
            }
        }
    }

    #[test]
    fn examples_fit_into_a_terminal() {
        let mut command = super::command();
        command.build();
        for (_, to_copy) in helps(&command) {
            for line in to_copy {
                assert!(line.chars().count() <= 100, "{line}");
            }
        }
    }
}
