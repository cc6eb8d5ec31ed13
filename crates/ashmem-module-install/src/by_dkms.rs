// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module built and installed by DKMS, each step noted.

use crate::build_failure;
use crate::dkms::TREE;
use crate::journal::{InstallJournal, Tidying, UndoableChange};
use crate::kernel::TargetKernel;
use crate::machine::TargetMachine;
use crate::manifest::InstallManifest;
use crate::refusal::Error;
use crate::source::{self, NAME, VERSION};

/// Builds the module for these kernels and installs it there, in the place of the version before.
///
/// Until every kernel's is built, nothing of that version changes.
///
/// # Errors
/// What failed; the journal undoes the rest.
pub fn install(
    journal: &mut InstallJournal<'_>,
    machine: &TargetMachine,
    kernels: &[TargetKernel],
    old: Option<&InstallManifest>,
) -> Result<(), Error> {
    let is_known = old.is_some_and(|old| old.version == VERSION);
    let folder = source::folder(VERSION);
    if !is_known {
        journal.will(UndoableChange::Tree(folder.clone()))?;
        let place = machine.at(&folder);
        source::lay_out(&place).map_err(|error| Error::file("laying out", &place, error))?;
        journal.will(UndoableChange::DkmsSource(VERSION.to_owned()))?;
        machine.must("dkms", &["add", "-m", NAME, "-v", VERSION])?;
    }
    for kernel in kernels {
        let release = kernel.release.as_str();
        (machine.say)(&format!("building for {release} ..."));
        if is_known {
            journal.will(UndoableChange::DkmsKernel(release.to_owned()))?;
        }
        let printed = machine.run("dkms", &["build", "-m", NAME, "-v", VERSION, "-k", release])?;
        if !printed.status.success() {
            let log = format!("{TREE}/{NAME}/{VERSION}/build/make.log");
            let log = machine.host.text(&log).unwrap_or_default();
            let text = format!("{}\n{log}", printed.text);
            return Err(build_failure::explain(machine, kernel, text));
        }
    }
    for kernel in kernels {
        let release = kernel.release.as_str();
        if let Some(old) = old.filter(|old| !is_known && old.kernels.contains(&kernel.release)) {
            journal.will(UndoableChange::DkmsModule {
                version: old.version.clone(),
                kernel: release.to_owned(),
            })?;
        } else {
            machine.go_on()?;
        }
        machine.must("dkms", &["install", "--force", "-m", NAME, "-v", VERSION, "-k", release])?;
    }
    if let Some(old) = old.filter(|_| !is_known) {
        journal.then(Tidying::DkmsSource(old.version.clone()))?;
        journal.then(Tidying::Tree(source::folder(&old.version)))?;
    }
    Ok(())
}
