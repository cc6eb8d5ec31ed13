// SPDX-License-Identifier: MIT OR Apache-2.0
//! What has a boot load the module, and what gives the device its other name: the same files as in
//! the Debian package.

use crate::journal::InstallJournal;
use crate::machine::TargetMachine;
use crate::manifest::InstallManifest;
use crate::refusal::Error;

/// Each file, and what is in it.
const FILES: [(&str, &str); 2] = [
    ("/etc/modules-load.d/ashmem.conf", include_str!("../../../packaging/system/ashmem.conf")),
    (
        "/etc/udev/rules.d/60-ashmem.rules",
        include_str!("../../../packaging/system/60-ashmem.rules"),
    ),
];

/// Writes those that are not there; the ones written or kept from an earlier installation. A file
/// that somebody else has put there stays as it is.
///
/// # Errors
/// One cannot be written.
pub fn write(
    journal: &mut InstallJournal<'_>,
    machine: &TargetMachine,
    old: Option<&InstallManifest>,
) -> Result<Vec<String>, Error> {
    let mut files = Vec::new();
    for (path, text) in FILES {
        let is_ours = old.is_some_and(|old| old.files.iter().any(|file| file == path));
        match machine.host.text(path) {
            Some(found) if !is_ours && found != text.trim() => {
                (machine.say)(&format!("{path} is there already, and stays as it is"));
                continue;
            }
            Some(found) if found == text.trim() => {}
            _ => journal.write_file(path, text.as_bytes(), 0o644)?,
        }
        files.push(path.to_owned());
    }
    Ok(files)
}
