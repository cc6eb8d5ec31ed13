// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module loaded and its device tried, on the machine whose kernel runs.

use std::thread::sleep;
use std::time::{Duration, Instant};

use ashmem_doctor::module_state::ModuleState;
use ashmem_doctor::trial;

use crate::machine::TargetMachine;
use crate::refusal::{Error, InstallRefusal};

/// The module's name.
const NAME: &str = "ashmem_linux";
const DEVICE: &str = "/dev/ashmem";

/// How long a node may take to appear: devtmpfs makes it at once, udev may set its mode later.
const PATIENCE: Duration = Duration::from_secs(5);

/// Loads the module that was just installed, in the place of one that nothing uses, and makes a
/// region on the device; what there is to say.
///
/// # Errors
/// The kernel does not take it, or the device does not work: nothing is loaded that was not.
pub fn load(machine: &TargetMachine) -> Result<String, Error> {
    let was_loaded = ModuleState::read(&machine.host).is_loaded;
    if was_loaded && !unload(machine)? {
        return Ok(format!(
            "programs use the module that is loaded: it goes on, and the new one is loaded at the \
             next boot, or when they have ended, by `modprobe -r {NAME} && modprobe {NAME}`"
        ));
    }
    let tried = modprobe(machine).and_then(|()| try_device(machine));
    if let Err(error) = tried {
        let _ = unload(machine);
        return Err(error);
    }
    Ok(format!("{NAME} is loaded, and {DEVICE} works"))
}

/// Loads whatever is installed now, as it was before something failed.
pub fn load_again(machine: &TargetMachine) {
    let _ = machine.run_to_its_end("modprobe", &[NAME]);
}

/// Unloads the module if nothing uses it; whether it is gone.
///
/// # Errors
/// modprobe cannot be run.
pub fn unload(machine: &TargetMachine) -> Result<bool, Error> {
    if machine.run_to_its_end("modprobe", &["-r", NAME])?.status.success()
        && !ModuleState::read(&machine.host).is_loaded
    {
        return Ok(true);
    }
    // modprobe knows only modules that have a file.
    machine.run_to_its_end("rmmod", &[NAME]).map(|printed| printed.status.success())
}

fn modprobe(machine: &TargetMachine) -> Result<(), Error> {
    let printed = machine.run("modprobe", &[NAME])?;
    if printed.status.success() {
        return Ok(());
    }
    let said = printed.text.trim();
    let refusal = InstallRefusal::new(format!("the kernel did not take the module: {said}"));
    let is_key = said.contains("Key was rejected") || said.contains("Required key");
    Err(if is_key {
        refusal
            .next("ashmem doctor --mode module   # leads through enrolling the key")
            .next("# to build it now and load it later: sudo ashmem module install --no-load")
    } else {
        refusal
            .next("sudo dmesg | tail   # has the kernel's words; ashmem doctor explain reads them")
    }
    .into())
}

fn try_device(machine: &TargetMachine) -> Result<(), Error> {
    let since = Instant::now();
    loop {
        machine.go_on()?;
        match trial::device(&machine.host, DEVICE) {
            Ok(_) => return Ok(()),
            Err(_) if since.elapsed() < PATIENCE => sleep(Duration::from_millis(50)),
            Err(failure) => {
                return Err(InstallRefusal::new(format!(
                    "the module was loaded, but {DEVICE} does not work: {failure}"
                ))
                .next("ashmem doctor --mode module")
                .into());
            }
        }
    }
}
