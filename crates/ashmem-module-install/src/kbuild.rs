// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's own build system, where there is no DKMS.

use std::fs;

use crate::build_failure;
use crate::files::remove_tree;
use crate::journal::{InstallJournal, STATE, UndoableChange};
use crate::kernel::TargetKernel;
use crate::kernel_index;
use crate::machine::TargetMachine;
use crate::refusal::Error;
use crate::signing::{self, SigningPair};
use crate::source;

/// Builds the module for these kernels, signs it where there is a key, and installs it; the files
/// that it wrote.
///
/// Until every kernel's is built, nothing of an earlier version changes.
///
/// # Errors
/// What failed; the journal undoes the rest.
pub fn install(
    journal: &mut InstallJournal<'_>,
    machine: &TargetMachine,
    kernels: &[TargetKernel],
    key: Option<&SigningPair>,
) -> Result<Vec<String>, Error> {
    let folder = format!("{STATE}/build");
    journal.will(UndoableChange::Tree(folder.clone()))?;
    let mut built = Vec::new();
    for kernel in kernels {
        let release = kernel.release.as_str();
        (machine.say)(&format!("building for {release} ..."));
        let tree = format!("{folder}/{release}");
        let place = machine.at(&tree);
        source::lay_out(&place).map_err(|error| Error::file("laying out", &place, error))?;
        build(machine, kernel, &tree)?;
        let module = format!("{tree}/ashmem_linux.ko");
        if let Some(key) = key {
            signing::sign(machine, kernel, key, &module)?;
        }
        let module = machine.at(&module);
        let bytes = fs::read(&module).map_err(|error| Error::file("reading", &module, error))?;
        built.push((release, bytes));
        // The next kernel's build may need the space.
        remove_tree(machine, &tree)?;
    }
    let mut files = Vec::new();
    for (release, bytes) in built {
        journal.will(UndoableChange::Index(release.to_owned()))?;
        let path = kernel_index::own_module(release);
        journal.write_file(&path, &bytes, 0o644)?;
        kernel_index::renew(machine, release)?;
        files.push(path);
    }
    remove_tree(machine, &folder)?;
    Ok(files)
}

fn build(machine: &TargetMachine, kernel: &TargetKernel, tree: &str) -> Result<(), Error> {
    let has_objects = source::has_objects().map_err(|error| Error::Notes {
        path: "the program's own copy of the module's source".to_owned(),
        reason: error.to_string(),
    })?;
    let prepare = format!("{tree}/prepare");
    let rust = if has_objects { "shipped" } else { "source" };
    let printed = machine.run("sh", &[&prepare, rust])?;
    if !printed.status.success() {
        return Err(build_failure::explain(machine, kernel, printed.text));
    }
    let headers = format!("/lib/modules/{}/build", kernel.release);
    let (folder, jobs) = (format!("M={tree}"), format!("-j{}", processors()));
    let mut words = vec![jobs.as_str(), "-C", &headers, &folder];
    words.extend(kernel.make_variables());
    words.push("modules");
    let printed = machine.run("make", &words)?;
    if !printed.status.success() {
        return Err(build_failure::explain(machine, kernel, printed.text));
    }
    Ok(())
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
