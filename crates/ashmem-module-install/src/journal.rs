// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an installation changes, each change undoable: noted on the disk before it is made.
//!
//! Where the work fails, the notes are gone through backwards and the machine is as it was. Where
//! the program or the machine ends in between, the notes stay, and whoever comes next does that
//! first. Once the last change is made a note says so; from then on the notes only tell what is
//! left to tidy up.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;

use serde::{Deserialize, Serialize};

use crate::files::{remove_file, remove_tree};
use crate::machine::TargetMachine;
use crate::refusal::Error;
use crate::{dkms, kernel_index};

/// Where this program keeps what it knows of its installation.
pub const STATE: &str = "/var/lib/ashmem/module";

/// The notes.
const PATH: &str = "/var/lib/ashmem/module/journal";

/// A line of the notes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Note {
    /// To undo this.
    Undo(UndoableChange),
    /// All changes are made: what there was before is given up.
    Committed,
    /// To be done after that.
    Then(Tidying),
}

/// A change, by what undoes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UndoableChange {
    /// A file that was not there.
    Created(String),
    /// A file that was there, and is kept beside.
    Replaced(String),
    /// A folder that was not there: it goes if it is empty.
    Folder(String),
    /// A folder with all that is in it.
    Tree(String),
    /// Which modules a kernel has.
    Index(String),
    /// A version of the source that DKMS did not know.
    DkmsSource(String),
    /// A kernel that DKMS did not have this version of the source for.
    DkmsKernel(String),
    /// DKMS installed another version than this for a kernel.
    DkmsModule {
        /// The version before.
        version: String,
        /// The kernel.
        kernel: String,
    },
}

/// What is left to do once everything is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tidying {
    /// A version that DKMS and its folder of sources shall no longer have.
    DkmsSource(String),
    /// A folder with all that is in it.
    Tree(String),
    /// A file of an earlier installation that the new one has no use for.
    File(String),
    /// The module of a kernel that went, or for which none can be built any more.
    Module(String),
}

/// The notes of one installation.
pub struct InstallJournal<'a> {
    machine: &'a TargetMachine,
    file: fs::File,
    notes: Vec<Note>,
}

impl<'a> InstallJournal<'a> {
    /// Begins notes on an empty page; [`recover`] comes before.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn begin(machine: &'a TargetMachine) -> Result<Self, Error> {
        let folder = machine.at(STATE);
        fs::create_dir_all(&folder).map_err(|error| Error::file("making", &folder, error))?;
        let path = machine.at(PATH);
        let file = fs::OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.map_err(|error| {
            remove_state_folders(machine);
            Error::file("writing", &path, error)
        })?;
        Ok(Self { machine, file, notes: Vec::new() })
    }

    fn note(&mut self, note: Note) -> Result<(), Error> {
        let failed = |error: io::Error| Error::file("writing", &self.machine.at(PATH), error);
        let line = serde_json::to_string(&note).map_err(|error| failed(error.into()))?;
        self.file.write_all(format!("{line}\n").as_bytes()).map_err(failed)?;
        self.file.sync_all().map_err(failed)?;
        self.notes.push(note);
        Ok(())
    }

    /// Notes a change that is about to be made.
    ///
    /// # Errors
    /// It cannot be noted, and must not be made; or somebody asks to stop.
    pub fn will(&mut self, change: UndoableChange) -> Result<(), Error> {
        self.machine.go_on()?;
        self.note(Note::Undo(change))
    }

    /// Notes what is to be done once every change is made.
    ///
    /// # Errors
    /// It cannot be noted.
    pub fn then(&mut self, tidying: Tidying) -> Result<(), Error> {
        self.note(Note::Then(tidying))
    }

    /// Makes a folder, and those above it.
    ///
    /// # Errors
    /// It cannot be noted or made.
    pub fn make_folder(&mut self, path: &str) -> Result<(), Error> {
        let mut missing = Vec::new();
        let mut folder = path;
        while !folder.is_empty() && !self.machine.host.has(folder) {
            missing.push(folder);
            folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
        }
        for folder in missing.into_iter().rev() {
            self.will(UndoableChange::Folder(folder.to_owned()))?;
            let place = self.machine.at(folder);
            fs::create_dir(&place).map_err(|error| Error::file("making", &place, error))?;
        }
        Ok(())
    }

    /// Writes a file beside the one it replaces, and gives it the name when it is whole.
    ///
    /// # Errors
    /// It cannot be noted or written; what was at its name still is.
    pub fn write_file(&mut self, path: &str, content: &[u8], mode: u32) -> Result<(), Error> {
        let (folder, _) = path.rsplit_once('/').unwrap_or_default();
        self.make_folder(folder)?;
        let fresh = beside(path, "new");
        self.will(UndoableChange::Created(fresh.clone()))?;
        let place = self.machine.at(&fresh);
        let written = (|| {
            let _ = fs::remove_file(&place);
            let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&place)?;
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.write_all(content)?;
            file.sync_all()
        })();
        let target = self.machine.at(path);
        written.map_err(|error| Error::file("writing", &target, error))?;
        if fs::symlink_metadata(&target).is_ok() {
            let kept = self.machine.at(&beside(path, "kept"));
            let _ = fs::remove_file(&kept);
            self.will(UndoableChange::Replaced(path.to_owned()))?;
            // A second name needs no space.
            fs::hard_link(&target, &kept)
                .map_err(|error| Error::file("keeping", &target, error))?;
        } else {
            self.will(UndoableChange::Created(path.to_owned()))?;
        }
        fs::rename(&place, &target).map_err(|error| Error::file("writing", &target, error))
    }

    /// The folders that were made.
    pub fn folders(&self) -> impl Iterator<Item = String> {
        self.notes.iter().filter_map(|note| match note {
            Note::Undo(UndoableChange::Folder(path)) => Some(path.clone()),
            _ => None,
        })
    }

    /// Everything is changed: from here on the new state holds, and the rest is tidying up.
    ///
    /// # Errors
    /// It cannot be noted, and everything is to be undone; or somebody asks to stop.
    pub fn commit(&mut self) -> Result<(), Error> {
        self.machine.go_on()?;
        self.note(Note::Committed)
    }

    /// Tidies up after [`Self::commit`].
    ///
    /// # Errors
    /// What is left to do; the notes stay, and whoever comes next does it.
    pub fn finish(self) -> Result<(), Error> {
        finish(self.machine, &self.notes)
    }

    /// Undoes everything.
    ///
    /// # Errors
    /// What could not be undone; the notes stay.
    pub fn roll_back(self) -> Result<(), Error> {
        roll_back(self.machine, &self.notes)
    }
}

/// Where a file's other copy lies: in its folder, under a name that nobody reads.
fn beside(path: &str, what: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    format!("{folder}/.{name}.ashmem-{what}")
}

/// Brings to an end what was interrupted: undoes it, or tidies up where all was changed. Whether
/// there was anything.
///
/// # Errors
/// What could not be undone; the notes stay.
pub fn recover(machine: &TargetMachine) -> Result<bool, Error> {
    let path = machine.at(PATH);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::file("reading", &path, error)),
    };
    // A last line that was not written whole tells of a change that was not made.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let notes: Result<Vec<Note>, _> = whole.lines().map(serde_json::from_str).collect();
    let notes =
        notes.map_err(|error| Error::Notes { path: PATH.to_owned(), reason: error.to_string() })?;
    if notes.contains(&Note::Committed) {
        finish(machine, &notes)?;
    } else {
        roll_back(machine, &notes)?;
    }
    Ok(true)
}

fn roll_back(machine: &TargetMachine, notes: &[Note]) -> Result<(), Error> {
    for note in notes.iter().rev() {
        if let Note::Undo(change) = note {
            undo(machine, change)?;
        }
    }
    close(machine)
}

fn finish(machine: &TargetMachine, notes: &[Note]) -> Result<(), Error> {
    for note in notes {
        match note {
            Note::Undo(UndoableChange::Replaced(path)) => {
                remove_file(machine, &beside(path, "kept"))?
            }
            Note::Then(Tidying::DkmsSource(version)) => dkms::forget(machine, version)?,
            Note::Then(Tidying::Tree(path)) => remove_tree(machine, path)?,
            Note::Then(Tidying::File(path)) => remove_file(machine, path)?,
            Note::Then(Tidying::Module(kernel)) => {
                remove_file(machine, &kernel_index::own_module(kernel))?;
                kernel_index::renew(machine, kernel)?;
                kernel_index::remove_folders(machine, kernel, "updates");
            }
            Note::Undo(_) | Note::Committed => {}
        }
    }
    close(machine)
}

/// The notes go, and their folder if nothing else is in it.
fn close(machine: &TargetMachine) -> Result<(), Error> {
    remove_file(machine, PATH)?;
    remove_state_folders(machine);
    Ok(())
}

/// Removes the folders of what this program knows, if they are empty.
pub fn remove_state_folders(machine: &TargetMachine) {
    for folder in [STATE, "/var/lib/ashmem"] {
        let _ = fs::remove_dir(machine.at(folder));
    }
}

/// May be done twice.
fn undo(machine: &TargetMachine, change: &UndoableChange) -> Result<(), Error> {
    match change {
        UndoableChange::Created(path) => remove_file(machine, path),
        UndoableChange::Replaced(path) => {
            let (target, kept) = (machine.at(path), machine.at(&beside(path, "kept")));
            match fs::rename(&kept, &target) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(Error::file("putting back", &target, error))
                }
                _ => Ok(()),
            }
        }
        UndoableChange::Folder(path) => {
            let _ = fs::remove_dir(machine.at(path));
            Ok(())
        }
        UndoableChange::Tree(path) => remove_tree(machine, path),
        UndoableChange::Index(kernel) => kernel_index::renew(machine, kernel),
        UndoableChange::DkmsSource(version) => dkms::forget(machine, version),
        UndoableChange::DkmsKernel(kernel) => dkms::withdraw(machine, kernel),
        UndoableChange::DkmsModule { version, kernel } => dkms::put_back(machine, version, kernel),
    }
}
