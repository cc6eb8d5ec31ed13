// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel's folder of modules: depmod's index of them, by which modprobe finds them, and what is
//! left of folders when modules go.

use std::fs;

use crate::machine::TargetMachine;
use crate::refusal::Error;

/// Where the module of a kernel is installed, where DKMS does not do it.
pub(crate) fn own_module(kernel: &str) -> String {
    format!("/lib/modules/{kernel}/updates/ashmem_linux.ko")
}

/// Makes the index anew; a kernel that is no longer there has none.
///
/// # Errors
/// depmod cannot be run, or fails.
pub(crate) fn renew(machine: &TargetMachine, kernel: &str) -> Result<(), Error> {
    // What a removed kernel leaves behind has no list of what is built in.
    if !machine.host.has(&format!("/lib/modules/{kernel}/modules.builtin"))
        && !machine.host.has(&format!("/lib/modules/{kernel}/kernel"))
    {
        return Ok(());
    }
    let printed = machine.run_to_its_end("depmod", &["-a", kernel])?;
    if printed.status.success() {
        return Ok(());
    }
    Err(Error::Program {
        line: format!("depmod -a {kernel}"),
        status: printed.status.to_string(),
        text: printed.text,
    })
}

/// Removes the folders from this one up to the kernel's own, as far as they are empty.
pub(crate) fn remove_folders(machine: &TargetMachine, kernel: &str, folder: &str) {
    let mut path = format!("/lib/modules/{kernel}/{folder}");
    while path.len() > "/lib/modules/".len() && fs::remove_dir(machine.at(&path)).is_ok() {
        path.truncate(path.rfind('/').unwrap_or_default());
    }
}
