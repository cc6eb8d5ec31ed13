// SPDX-License-Identifier: MIT OR Apache-2.0
//! DKMS, which builds the module for each kernel that comes.

use crate::files::{remove_file, remove_tree};
use crate::kernel_index;
use crate::machine::TargetMachine;
use crate::refusal::Error;
use crate::source::{NAME, VERSION};

/// Where it keeps what it knows.
pub const TREE: &str = "/var/lib/dkms";

/// Where it installs, below a kernel's modules.
const PLACE: &str = "updates/dkms";

/// The versions of a source that it knows.
pub fn versions(machine: &TargetMachine, name: &str) -> Vec<String> {
    let folder = format!("{TREE}/{name}");
    let known = machine.host.names(&folder).into_iter();
    known.filter(|version| machine.host.has(&format!("{folder}/{version}/source"))).collect()
}

/// Where the module of a kernel lies, whatever it is compressed with.
pub fn module(machine: &TargetMachine, kernel: &str) -> Option<String> {
    let folder = format!("/lib/modules/{kernel}/{PLACE}");
    let names = machine.host.names(&folder).into_iter();
    let mut modules = names.filter(|name| name.starts_with("ashmem_linux.ko"));
    modules.next().map(|name| format!("{folder}/{name}"))
}

/// Has it forget a version, with the modules that it installed of it.
///
/// # Errors
/// Something of it is still there.
pub fn forget(machine: &TargetMachine, version: &str) -> Result<(), Error> {
    let folder = format!("{TREE}/{NAME}/{version}");
    if machine.host.has(&folder) && machine.host.program("dkms").is_some() {
        // It fails where an addition was interrupted; what is left is removed below.
        machine.run_to_its_end("dkms", &["remove", "-m", NAME, "-v", version, "--all"])?;
    }
    remove_tree(machine, &folder)?;
    // Links to what is no longer there, and the folder if no version is in it.
    let above = format!("{TREE}/{NAME}");
    for link in machine.host.names(&above) {
        let path = format!("{above}/{link}");
        if link.starts_with("kernel-") && !machine.host.has(&path) {
            remove_file(machine, &path)?;
        }
    }
    let _ = std::fs::remove_dir(machine.at(&above));
    let linked: Vec<_> = machine.host.names(&above);
    for kernel in machine.host.names("/lib/modules") {
        let has_other = linked.iter().any(|link| link.starts_with(&format!("kernel-{kernel}-")));
        if let Some(module) = module(machine, &kernel).filter(|_| !has_other) {
            remove_file(machine, &module)?;
            kernel_index::renew(machine, &kernel)?;
        }
        if !has_other {
            kernel_index::remove_folders(machine, &kernel, PLACE);
        }
    }
    Ok(())
}

/// Has it forget what it built of this version for a kernel.
///
/// # Errors
/// It cannot be run.
pub fn withdraw(machine: &TargetMachine, kernel: &str) -> Result<(), Error> {
    // It fails where nothing was built yet.
    machine.run_to_its_end("dkms", &["remove", "-m", NAME, "-v", VERSION, "-k", kernel]).map(drop)
}

/// Has it install a version for a kernel again that it has built.
///
/// # Errors
/// It does not.
pub fn put_back(machine: &TargetMachine, version: &str, kernel: &str) -> Result<(), Error> {
    let words = ["install", "--force", "-m", NAME, "-v", version, "-k", kernel];
    let printed = machine.run_to_its_end("dkms", &words)?;
    if printed.status.success() {
        return Ok(());
    }
    Err(Error::Program {
        line: format!("dkms {}", words.join(" ")),
        status: printed.status.to_string(),
        text: printed.text,
    })
}
