// SPDX-License-Identifier: MIT OR Apache-2.0
//! Init of the test machine: process 1 of a stock kernel whose whole user space is one initramfs.
//!
//! It prepares the machine, carries out the [`Plan`], has the kernel look for leaks where it can,
//! reports on the control port and powers off. Whatever goes wrong is said there too, for the
//! kernel's console belongs to the kernel alone.

mod leaks;
mod machine;
mod program;

use anyhow::{Context, Result};
use ashmem_guest::{CONTROL_PORT, Module, PLAN, Plan, Word};
use rustix::system::RebootCommand;
use std::fs::{self, File};
use std::io::Write;

fn main() {
    if let Err(error) = machine::mount_devices() {
        // Nothing to speak through yet but the console the kernel gave us.
        eprintln!("init: {error:#}");
    }
    match machine::open_port(CONTROL_PORT) {
        Ok(mut control) => {
            let last = carry_out(&mut control)
                .unwrap_or_else(|error| Word::InitError(format!("{error:#}")));
            say(&mut control, &last);
            machine::drain(&control);
        }
        Err(error) => eprintln!("init: {error:#}"),
    }
    // Only a kernel without power management returns from this; the panic of a dying init then ends
    // the machine.
    let _ = rustix::system::reboot(RebootCommand::PowerOff);
}

/// Prepares the machine, loads the modules, runs the program; the answer is how the program ended.
fn carry_out(control: &mut File) -> Result<Word> {
    machine::prepare()?;
    let text = fs::read(PLAN).with_context(|| format!("reading {PLAN}"))?;
    let plan: Plan =
        serde_json::from_slice(&text).with_context(|| format!("{PLAN} does not hold a plan"))?;
    for module in &plan.modules {
        say(control, &Word::Loading(module.path.clone()));
        load(module)?;
    }
    let binder = machine::provide_binder()?;
    say(control, &Word::Ready);
    let word = program::run(&plan, binder)?;
    leaks::look()?;
    Ok(word)
}

fn load(module: &Module) -> Result<()> {
    let file = File::open(&module.path).with_context(|| format!("opening {}", module.path))?;
    let parameters = std::ffi::CString::new(module.parameters.as_str())?;
    rustix::system::finit_module(&file, &parameters, 0)
        .with_context(|| format!("loading {} (its reason is on the console)", module.path))
}

/// Sends one word. A control port that fails leaves nobody to tell; the host then sees a guest that
/// went silent.
fn say(control: &mut File, word: &Word) {
    if let Ok(line) = serde_json::to_string(word) {
        let _ = writeln!(control, "{line}");
    }
}
