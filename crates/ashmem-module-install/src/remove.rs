// SPDX-License-Identifier: MIT OR Apache-2.0
//! The removal. It only goes forward: what is begun is finished, and done again where the machine
//! stopped in between.

use std::fs;

use ashmem_doctor::distribution::Distribution;
use ashmem_doctor::module_state::ModuleState;

use crate::files::{remove_file, remove_tree};
use crate::journal;
use crate::lock::InstallLock;
use crate::machine::TargetMachine;
use crate::manifest::{self, BuildWay, InstallManifest};
use crate::refusal::{Error, InstallRefusal};
use crate::{dkms, kernel_index, loading, obstacles};

/// What would be removed, a line for each.
///
/// # Errors
/// [`Error::Refused`] if this program has installed nothing.
pub fn would_remove(machine: &TargetMachine) -> Result<Vec<String>, Error> {
    let manifest = installed(machine)?;
    let mut lines = Vec::new();
    if manifest.way == BuildWay::Dkms {
        lines.extend(manifest.kernels.iter().map(|kernel| format!("remove DKMS's for {kernel}")));
    }
    lines.extend(manifest.tree.iter().map(|tree| format!("remove {tree}")));
    lines.extend(manifest.files.iter().map(|file| format!("remove {file}")));
    Ok(lines)
}

/// Removes everything that was installed, and unloads the module if nothing uses it; what there is
/// to say.
///
/// # Errors
/// What is still there. Done again, it goes on with it.
pub fn remove(machine: &TargetMachine) -> Result<Vec<String>, Error> {
    let _lock = InstallLock::take(machine)?;
    journal::recover(machine)?;
    let manifest = installed(machine)?;
    // What loads the module goes before the module.
    for file in manifest.files.iter().rev() {
        remove_file(machine, file)?;
    }
    if manifest.way == BuildWay::Dkms {
        dkms::forget(machine, &manifest.version)?;
    } else {
        for kernel in &manifest.kernels {
            kernel_index::renew(machine, kernel)?;
            kernel_index::remove_folders(machine, kernel, "updates");
        }
    }
    if let Some(tree) = &manifest.tree {
        remove_tree(machine, tree)?;
    }
    let mut said = vec![format!("version {} of the module is removed", manifest.version)];
    if machine.is_live && ModuleState::read(&machine.host).is_loaded {
        said.push(if loading::unload(machine)? {
            "it was unloaded".to_owned()
        } else {
            "programs use /dev/ashmem: the module stays loaded, and their regions whole, until \
             they end; then: sudo rmmod ashmem_linux (a reboot does it too)"
                .to_owned()
        });
    }
    remove_file(machine, manifest::PATH)?;
    // The deepest first.
    for folder in manifest.folders.iter().rev() {
        let _ = fs::remove_dir(machine.at(folder));
    }
    journal::remove_state_folders(machine);
    Ok(said)
}

fn installed(machine: &TargetMachine) -> Result<InstallManifest, Error> {
    if let Some(manifest) = InstallManifest::read(machine)? {
        return Ok(manifest);
    }
    let refusal = InstallRefusal::new("`ashmem module install` has installed nothing here");
    Err(if machine.host.has(obstacles::PACKAGE) {
        let uninstall = Distribution::of(&machine.host).uninstall("ashmem-dkms");
        refusal.next(format!("{uninstall}   # that package has the module"))
    } else {
        refusal.next("ashmem module status   # shows what there is, and who put it there")
    }
    .into())
}
