// SPDX-License-Identifier: MIT OR Apache-2.0
//! The installation: all of it, or none.

use ashmem_doctor::kernel_release;

use crate::journal::{self, InstallJournal, Tidying};
use crate::lock::InstallLock;
use crate::machine::TargetMachine;
use crate::manifest::{BuildWay, InstallManifest};
use crate::plan::{InstallPlan, InstallRequest};
use crate::refusal::Error;
use crate::source::{self, VERSION};
use crate::{by_dkms, hooks, kbuild, kernel_index, loading, system_files};

/// Why it was not installed, and what there is now.
#[derive(Debug, thiserror::Error)]
pub enum InstallFailure {
    /// Nothing was changed.
    #[error("{0}")]
    Untouched(Error),
    /// What was begun was undone.
    #[error("{0}\nWhat was there before is in place again.")]
    Undone(Error),
    /// What was begun could not be undone.
    #[error(
        "{error}\nUndoing it failed: {undoing}\nThe next `ashmem module install` or `remove` goes \
         on with that."
    )]
    Stuck {
        /// Why it was not installed.
        error: Box<Error>,
        /// Why it was not undone.
        undoing: Box<Error>,
    },
}

/// Installs the module; what was done, a line for each thing worth to know.
///
/// # Errors
/// See [`InstallFailure`].
pub fn install(
    machine: &TargetMachine,
    request: &InstallRequest,
) -> Result<Vec<String>, InstallFailure> {
    let untouched = InstallFailure::Untouched;
    let _lock = InstallLock::take(machine).map_err(untouched)?;
    if journal::recover(machine).map_err(untouched)? {
        (machine.say)("an installation that was interrupted was brought to an end first");
    }
    let plan = InstallPlan::make(machine, request).map_err(untouched)?;
    let mut said = plan.notes.clone();
    let is_for_nothing = plan.kernels.is_empty() && plan.ready.is_empty() && plan.old.is_none();
    if !is_for_nothing && !plan.is_done() {
        change(machine, &plan, &mut said)?;
    } else if plan.is_done() {
        said.extend(plan.ready.iter().map(|kernel| format!("{kernel} has it already")));
        if plan.load && plan.is_for_running && !is_loaded(machine) {
            said.push(loading::load(machine).map_err(untouched)?);
        }
    }
    Ok(said)
}

fn is_loaded(machine: &TargetMachine) -> bool {
    ashmem_doctor::module_state::ModuleState::read(&machine.host).is_loaded
}

fn change(
    machine: &TargetMachine,
    plan: &InstallPlan,
    said: &mut Vec<String>,
) -> Result<(), InstallFailure> {
    let was_loaded = machine.is_live && is_loaded(machine);
    let mut journal = InstallJournal::begin(machine).map_err(InstallFailure::Untouched)?;
    let done = work(machine, plan, &mut journal, said).and_then(|()| journal.commit());
    if let Err(error) = done {
        return Err(undo(machine, journal, error, was_loaded));
    }
    if let Err(error) = journal.finish() {
        // The module is there; what is left over is tidied up by whoever comes next.
        said.push(format!("what the version before left could not be removed: {error}"));
    }
    Ok(())
}

fn undo(
    machine: &TargetMachine,
    journal: InstallJournal<'_>,
    error: Error,
    was_loaded: bool,
) -> InstallFailure {
    let undone = journal.roll_back();
    if machine.is_live && is_loaded(machine) != was_loaded {
        if was_loaded {
            loading::load_again(machine);
        } else {
            let _ = loading::unload(machine);
        }
    }
    match undone {
        Ok(()) => InstallFailure::Undone(error),
        Err(undoing) => {
            InstallFailure::Stuck { error: Box::new(error), undoing: Box::new(undoing) }
        }
    }
}

fn work(
    machine: &TargetMachine,
    plan: &InstallPlan,
    journal: &mut InstallJournal<'_>,
    said: &mut Vec<String>,
) -> Result<(), Error> {
    let old = plan.old.as_ref();
    let mut manifest = InstallManifest::new(VERSION, source::digest(), plan.way);
    let kept = |kernel: &&String| {
        !plan.lost.contains(kernel) && !plan.kernels.iter().any(|built| built.release == **kernel)
    };
    manifest.kernels.extend(old.iter().flat_map(|old| &old.kernels).filter(kept).cloned());
    match plan.way {
        BuildWay::Dkms => {
            by_dkms::install(journal, machine, &plan.kernels, old)?;
            manifest.tree = Some(source::folder(VERSION));
        }
        BuildWay::Kbuild => {
            manifest
                .files
                .extend(manifest.kernels.iter().map(|kernel| kernel_index::own_module(kernel)));
            let built = kbuild::install(journal, machine, &plan.kernels, plan.key.as_ref())?;
            manifest.files.extend(built);
            for kernel in &plan.lost {
                journal.then(Tidying::Module(kernel.clone()))?;
            }
            manifest.files.extend(hooks::write(journal, machine)?);
        }
    }
    manifest.kernels.extend(plan.kernels.iter().map(|kernel| kernel.release.clone()));
    manifest.kernels.extend(plan.ready.iter().cloned());
    manifest.kernels.sort_by(|one, other| kernel_release::compare(one, other));
    manifest.kernels.dedup();
    manifest.files.extend(system_files::write(journal, machine, old)?);
    for file in old.iter().flat_map(|old| &old.files) {
        if !manifest.files.contains(file) && !file.starts_with("/lib/modules/") {
            journal.then(Tidying::File(file.clone()))?;
        }
    }
    for kernel in &plan.kernels {
        said.push(format!("{}: the module is installed", kernel.release));
    }
    said.extend(plan.lost.iter().map(|kernel| format!("{kernel}: forgotten")));
    if plan.load && plan.is_for_running {
        said.push(loading::load(machine)?);
    } else if machine.is_live && !plan.is_for_running {
        said.push("it is loaded by a boot of a kernel that has it, not by this one".to_owned());
    }
    manifest.folders.extend(old.iter().flat_map(|old| &old.folders).cloned());
    manifest.folders.extend(journal.folders());
    manifest.folders.sort();
    manifest.folders.dedup();
    manifest.write(journal)
}
