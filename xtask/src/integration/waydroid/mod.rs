// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waydroid as Debian packages it, and `ashmem waydroid`: its own code makes the configuration,
//! real LXC starts the container.
//!
//! In place of Android's image is a small one whose `/init` is our program for containers. On this
//! machine the agent answers, and binder is left out, for this kernel may have none. In a virtual
//! machine everything is there: systemd and Waydroid's service, binder, the module, a reboot.

mod images;
mod root;
mod system;

use crate::build::module;
use crate::debian::kernel::{Kernel, Line};
use crate::util::steps::{Step, StepResult};
use anyhow::Result;
use std::path::Path;
use system::System;

/// The kernel of the virtual machine.
const LINE: Line = Line::V6_12;

/// The step for this machine.
pub(crate) fn here() -> Step {
    step("Waydroid's code and LXC, with the agent", || {
        let system = System::new("here")?;
        let said = system.enter(include_str!("host.py"))?;
        Ok(StepResult::Passed(last_line(&said)))
    })
}

/// The step that boots, which takes minutes.
pub(crate) fn booted() -> Step {
    step("Waydroid's service, module and agent, over boots", || {
        let system = System::new("booted")?;
        let kernel = Kernel::fetch(LINE)?;
        system.install_kernel(&kernel)?;
        system.give_disk("var/lib/waydroid", 64)?;
        system.give(&module::build(&kernel)?, "trial/ashmem_linux.ko", 0o644)?;
        let mut said = String::new();
        for boot in ["1", "2"] {
            said = system.boot(&kernel, include_str!("booted.py"), boot)?;
        }
        Ok(StepResult::Passed(last_line(&said)))
    })
}

fn step(name: &'static str, attempt: fn() -> Result<StepResult>) -> Step {
    Step::new(name, move || {
        if !rustix::process::geteuid().is_root() {
            return Ok(StepResult::Skipped("Waydroid's container is root's".to_owned()));
        }
        if !Path::new("/sys/fs/cgroup").read_dir().is_ok_and(|mut entries| entries.next().is_some())
        {
            return Ok(StepResult::Skipped(
                "no control groups are mounted on this host".to_owned(),
            ));
        }
        attempt()
    })
}

fn last_line(text: &str) -> String {
    text.trim_end().lines().last().unwrap_or_default().to_owned()
}
