//! The module among hostile neighbours: the trials of `ashmem-module-trial --neighbours`, in a machine that has what they
//! want: two processors, two nodes of memory, and what makes swap.

use crate::kernel::Line;
use crate::static_program;
use crate::steps::{Step, Verdict};
use crate::vm::{self, Options, VmOutcome, VmRequest};

/// One boot with the short trials, or with all of them.
pub(crate) fn step(kernel: Line, all: bool, verdict: fn(&VmOutcome) -> Verdict) -> Step {
    let which = if all { ", all" } else { "" };
    Step::new(format!("hostile neighbours{which}, kernel {kernel}"), move || {
        let options = Options {
            smp: 2,
            numa: 2,
            memory: 768,
            timeout: if all { 2400 } else { 1200 },
            extra_module: vec!["zram".to_owned()],
            ..Options::default()
        };
        let program = static_program::build("ashmem-module-trial")?;
        let mut arguments = vec!["--neighbours".to_owned()];
        arguments.extend(all.then(|| "all".to_owned()));
        vm::run(&VmRequest { kernel, options, program, arguments, live: false }).map(|outcome| verdict(&outcome))
    })
}
