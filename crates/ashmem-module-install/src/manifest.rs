// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an installation left on the machine: each file, so that its removal leaves none.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use crate::journal::InstallJournal;
use crate::machine::TargetMachine;
use crate::refusal::Error;

/// Where it is kept.
pub const PATH: &str = "/var/lib/ashmem/module/manifest.json";

/// The version of its form.
const FORM: u32 = 1;

/// How the module is built and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuildWay {
    /// DKMS builds it for each kernel, now and later.
    Dkms,
    /// The kernel's own build system; the distribution's hooks call this program for later kernels.
    Kbuild,
}

/// An installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallManifest {
    /// The version of this form.
    pub form: u32,
    /// The module's version.
    pub version: String,
    /// Which build of that version: the hash of the packed source.
    pub source: String,
    /// How it is built.
    pub way: BuildWay,
    /// The kernels that it was built for.
    pub kernels: Vec<String>,
    /// Every file that was written, but for DKMS's own.
    pub files: Vec<String>,
    /// Every folder that was made for them.
    pub folders: Vec<String>,
    /// The folder of DKMS's sources.
    pub tree: Option<String>,
}

impl InstallManifest {
    /// One without files yet.
    pub fn new(version: &str, source: String, way: BuildWay) -> Self {
        Self {
            form: FORM,
            version: version.to_owned(),
            source,
            way,
            kernels: Vec::new(),
            files: Vec::new(),
            folders: Vec::new(),
            tree: None,
        }
    }

    /// The machine's; `None` if this program has installed nothing.
    ///
    /// # Errors
    /// [`Error::Notes`] if it is of a form that this version does not know.
    pub fn read(machine: &TargetMachine) -> Result<Option<Self>, Error> {
        let path = machine.at(PATH);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("reading", &path, error)),
        };
        let unknown = |reason: String| Error::Notes { path: PATH.to_owned(), reason };
        let manifest: Self =
            serde_json::from_str(&text).map_err(|error| unknown(error.to_string()))?;
        if manifest.form != FORM {
            return Err(unknown(format!("its form is {}, not {FORM}", manifest.form)));
        }
        Ok(Some(manifest))
    }

    /// Writes it, as one of the installation's changes.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, journal: &mut InstallJournal<'_>) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::Notes { path: PATH.to_owned(), reason: error.to_string() })?;
        journal.write_file(PATH, format!("{text}\n").as_bytes(), 0o644)
    }
}
