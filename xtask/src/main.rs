//! `cargo xtask`: everything a person runs. One verb a file; `cargo xtask VERB --help` teaches each.
//!
//! A verb is a `clap` structure with a `run` that says by its exit code how it went. What several verbs need has a file of
//! its own beside them: kernels, the machine they run in, the cache.

mod bench;
mod build;
mod check;
mod debian;
mod demo;
mod fuzz;
mod integration;
mod machine;
mod test;
mod util;

use build::{library, module, packages};
use clap::{Parser, Subcommand};
use debian::host;
use integration::suite;
use std::process::ExitCode;

/// Build, boot, test, measure and show ashmem-linux
#[derive(Parser)]
#[command(bin_name = "cargo xtask", max_term_width = 120)]
struct Xtask {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Setup(host::Setup),
    Module(module::Module),
    Library(library::Library),
    Package(packages::Package),
    Vm(machine::Vm),
    Conformance(suite::Conformance),
    Test(test::Test),
    Check(check::Check),
    Fuzz(fuzz::Fuzz),
    Bench(bench::Bench),
    Demo(demo::Demo),
}

/// The exit status of an xtask that failed itself, as opposed to what it ran.
const FAILED: u8 = 2;

fn main() -> ExitCode {
    let result = match Xtask::parse().verb {
        Verb::Setup(verb) => verb.run(),
        Verb::Module(verb) => verb.run(),
        Verb::Library(verb) => verb.run(),
        Verb::Package(verb) => verb.run(),
        Verb::Vm(verb) => verb.run(),
        Verb::Conformance(verb) => verb.run(),
        Verb::Test(verb) => Ok(verb.run()),
        Verb::Check(verb) => Ok(verb.run()),
        Verb::Fuzz(verb) => verb.run(),
        Verb::Bench(verb) => verb.run(),
        Verb::Demo(verb) => verb.run(),
    };
    result.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        FAILED.into()
    })
}
