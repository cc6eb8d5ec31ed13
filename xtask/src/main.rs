// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask`: everything a person runs. One verb a file; `cargo xtask VERB --help` teaches
//! each.
//!
//! A verb is a `clap` structure with a `run` that says by its exit code how it went; its file
//! stands here. Folders are what verbs stand on, each only on those before it: `util`, `debian`,
//! `build`, `machine`, `integration`. A folder with a verb's name is that verb's own.

mod bench;
mod build;
mod check;
mod conformance;
mod debian;
mod demo;
mod docs;
mod fuzz;
mod integration;
mod library;
mod machine;
mod module;
mod package;
mod release;
mod setup;
mod test;
mod util;
mod vm;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::process::ExitCode;

/// Build, boot, test, measure and show ashmem-linux
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Setup(setup::Setup),
    Module(module::Module),
    Library(library::Library),
    Package(package::Package),
    Release(release::Release),
    Vm(vm::Vm),
    Conformance(conformance::Conformance),
    Test(test::Test),
    Check(check::Check),
    Docs(docs::Docs),
    Fuzz(fuzz::Fuzz),
    Bench(bench::Bench),
    Demo(demo::Demo),
}

/// The exit status of an xtask that failed itself, as opposed to what it ran.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let matches = ashmem_help::lay_out(Xtask::command()).get_matches();
    let xtask = Xtask::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let result = match xtask.verb {
        Verb::Setup(verb) => verb.run(),
        Verb::Module(verb) => verb.run(),
        Verb::Library(verb) => verb.run(),
        Verb::Package(verb) => verb.run(),
        Verb::Release(verb) => verb.run(),
        Verb::Vm(verb) => verb.run(),
        Verb::Conformance(verb) => verb.run(),
        Verb::Test(verb) => Ok(verb.run()),
        Verb::Check(verb) => Ok(verb.run()),
        Verb::Docs(verb) => verb.run(),
        Verb::Fuzz(verb) => verb.run(),
        Verb::Bench(verb) => verb.run(),
        Verb::Demo(verb) => verb.run(),
    };
    result.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        FAILED.into()
    })
}
