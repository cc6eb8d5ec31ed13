//! The `ashmem` program: Android's shared memory on Linux, one verb a file.

mod agent;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Android's shared memory (/dev/ashmem) on Linux.
#[derive(Parser)]
#[command(name = "ashmem", version, propagate_version = true, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Agent(agent::Arguments),
    Run(run::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // What happens inside is told on standard error when ASHMEM_LOG asks for it, e.g. ASHMEM_LOG=trace.
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_env("ASHMEM_LOG").unwrap_or_else(|_| "warn".into()))
        .with_writer(std::io::stderr)
        .init();
    match arguments.verb {
        Verb::Agent(arguments) => arguments.run(),
        Verb::Run(arguments) => arguments.run(),
    }
}
