// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the program `ashmem` is made of: one verb a file, and the map of them all.
//!
//! A verb is a `clap` structure with a `run` that says by its exit code how it went. It is thin:
//! what it does is a library's. A new one is a file here, a line in `Verb`, and a place on the map
//! (`map.rs`).

mod agent;
mod cdi;
mod completions;
mod doctor;
mod duration;
mod ending;
mod list;
mod man;
mod map;
mod module;
mod report;
mod run;
mod selection;
mod top;
mod trace;
mod waydroid;

use std::process::ExitCode;

use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};

/// Android's shared memory (/dev/ashmem) on Linux
#[derive(Parser)]
#[command(
    name = "ashmem",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    max_term_width = 120
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
    Report(report::Arguments),
    Run(run::Arguments),
    Top(top::Arguments),
    Trace(trace::Arguments),
    Waydroid(waydroid::Arguments),
}

/// The program's command line, whole: what help, manual pages and completions are made from.
#[must_use]
pub fn command() -> Command {
    map::draw(Arguments::command())
}

/// The program: reads the command line, does what it says, returns the exit status.
#[must_use]
pub fn main() -> ExitCode {
    let arguments =
        Arguments::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit());
    // ASHMEM_LOG=trace and the like log to standard error what happens inside.
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("ASHMEM_LOG")
                .unwrap_or_else(|_| "warn".into()),
        )
        .with_writer(std::io::stderr)
        .init();
    match arguments.verb {
        Verb::Agent(arguments) => arguments.run(),
        Verb::Cdi(arguments) => arguments.run(),
        Verb::Completions(arguments) => arguments.run(command()),
        Verb::Doctor(arguments) => arguments.run(),
        Verb::Join(arguments) => ExitCode::from(arguments.run()),
        Verb::List(arguments) => arguments.run(),
        Verb::Man(arguments) => arguments.run(command()),
        Verb::Module(arguments) => arguments.run(),
        Verb::Report(arguments) => arguments.run(),
        Verb::Run(arguments) => arguments.run(),
        Verb::Top(arguments) => arguments.run(),
        Verb::Trace(arguments) => arguments.run(),
        Verb::Waydroid(arguments) => arguments.run(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        super::command().debug_assert();
    }
}
