// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem join` as a program of its own.

use std::process::ExitCode;

use ashmem_join::JoinArguments;
use clap::Parser;

#[derive(Parser)]
#[command(name = "ashmem-join", version)]
struct JoinProgram {
    #[command(flatten)]
    arguments: JoinArguments,
}

fn main() -> ExitCode {
    ExitCode::from(JoinProgram::parse().arguments.run())
}
