// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files and folders that go; what is gone already is no error.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::machine::TargetMachine;
use crate::refusal::Error;

/// Removes a file.
///
/// # Errors
/// It is still there.
pub(crate) fn remove_file(machine: &TargetMachine, path: &str) -> Result<(), Error> {
    gone("removing", &machine.at(path), |path| fs::remove_file(path))
}

/// Removes a folder with all that is in it.
///
/// # Errors
/// Something of it is still there.
pub(crate) fn remove_tree(machine: &TargetMachine, path: &str) -> Result<(), Error> {
    gone("removing", &machine.at(path), |path| fs::remove_dir_all(path))
}

fn gone(
    what: &'static str,
    path: &Path,
    remove: impl FnOnce(&PathBuf) -> io::Result<()>,
) -> Result<(), Error> {
    match remove(&path.to_owned()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::file(what, path, error))
        }
        _ => Ok(()),
    }
}
