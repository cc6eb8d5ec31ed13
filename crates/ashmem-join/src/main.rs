// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem join` as a program of its own.

use std::process::ExitCode;

use ashmem_join::JoinArguments;
use clap::{CommandFactory, FromArgMatches, Parser};

#[derive(Parser)]
#[command(name = "ashmem-join", version)]
struct JoinProgram {
    #[command(flatten)]
    arguments: JoinArguments,
}

fn main() -> ExitCode {
    let matches = ashmem_help::lay_out(JoinProgram::command()).get_matches();
    let program = JoinProgram::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    ExitCode::from(program.arguments.run())
}
