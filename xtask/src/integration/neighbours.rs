// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module among hostile neighbours: the trials of `ashmem-module-test --neighbours`, in a
//! machine that has what they want: two processors, two nodes of memory, and what makes swap.

use crate::build::static_program;
use crate::debian::kernel::Line;
use crate::machine::{self, Options, VmRequest};
use crate::util::steps::Step;

/// The trials on one kernel: one boot with the short ones or with all, and one that counts its
/// instructions for what has to be measured.
pub(crate) fn steps(kernel: Line, all: bool) -> [Step; 2] {
    let which = if all { ", all" } else { "" };
    let options = Options {
        smp: 2,
        numa: 2,
        memory: 768,
        timeout: if all { 2400 } else { 1200 },
        extra_module: vec!["zram".to_owned()],
        ..Options::default()
    };
    let names = if all { &["all"][..] } else { &[] };
    [
        step(format!("hostile neighbours{which}, kernel {kernel}"), kernel, options, names),
        step(
            format!("2^19 ranges, 40,000 users by counted time, kernel {kernel}"),
            kernel,
            Options { icount: true, ..Options::default() },
            &["half-a-million-ranges", "many-numbers"],
        ),
    ]
}

fn step(name: String, kernel: Line, options: Options, trials: &'static [&'static str]) -> Step {
    Step::new(name, move || {
        let program = static_program::build("ashmem-module-test")?;
        let arguments =
            [&["--neighbours"][..], trials].concat().into_iter().map(str::to_owned).collect();
        machine::run(&VmRequest { kernel: kernel.into(), options, program, arguments, live: false })
            .map(|outcome| outcome.step_result())
    })
}
