// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls answered inside programs of another architecture: what the tests on this host are, in a
//! machine.

use crate::build::static_program;
use crate::debian::host;
use crate::debian::kernel::Platform;
use crate::debian::toolchain::Toolchain;
use crate::machine::{self, Options, Provider, VmRequest};
use crate::util::steps::Step;
use crate::util::{process, workspace};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// What the client does to the code that answers, or with it.
const QUICK: &str = "warm again static-sums fixed broken confined forged sizes copied numbers \
                     covered undumpable shared-text";
/// What takes long where a processor is emulated.
const LONG: &str = "confined-by-prctl limited filtered-thread dispatched jumps racing executing \
                    cancelled cramped spawns alarmed";

/// The client in a machine with this kernel; with all that it can do, or the quicker part.
pub(crate) fn step(kernel: Platform, all: bool) -> Step {
    let extent = if all { "all verbs" } else { "quick verbs" };
    Step::new(format!("answers inside programs, {extent}, kernel {kernel}"), move || {
        host::ensure(&[kernel])?;
        let client = client(kernel)?;
        let program = static_program::build_for(kernel.arch, "ashmem-cli", "ashmem")?;
        let options = Options {
            provider: Provider::None,
            smp: 2,
            timeout: 1800,
            file: vec![format!("{}:/bin/inside", client.display())],
            ..Options::default()
        };
        let words =
            ["run --inside at-once -- /bin/inside each", QUICK, if all { LONG } else { "" }];
        let arguments = words.iter().flat_map(|words| words.split_whitespace());
        let arguments = arguments.map(str::to_owned).collect();
        machine::run(&VmRequest { kernel, options, program, arguments, live: false })
            .map(|outcome| outcome.step_result())
    })
}

/// The tests of the code that answers, called as a patched site calls it, in a machine with this
/// kernel.
pub(crate) fn unit_tests(kernel: Platform) -> Step {
    Step::new(format!("unit tests of what answers inside, kernel {kernel}"), move || {
        host::ensure(&[kernel])?;
        let program = static_program::build_tests(kernel.arch, "ashmem-inside")?;
        let options = Options { provider: Provider::None, smp: 2, ..Options::default() };
        machine::run(&VmRequest { kernel, options, program, arguments: Vec::new(), live: false })
            .map(|outcome| outcome.step_result())
    })
}

/// The client, as a static program.
fn client(kernel: Platform) -> Result<PathBuf> {
    let tools = Toolchain::ensure(kernel.arch)?;
    let source = workspace::root().join("crates/ashmem-cli/tests/run/inside.c");
    let program = workspace::cache("inside")?.join(format!("client-{}", kernel.arch));
    let mut compiler = Command::new(tools.tool("gcc"));
    tools.serve(&mut compiler);
    compiler.args(["-O1", "-Wall", "-Werror", "-fexceptions", "-static", "-pthread", "-o"]);
    process::capture(compiler.arg(&program).arg(&source)).context("compiling the client")?;
    Ok(program)
}
