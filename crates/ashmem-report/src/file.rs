// SPDX-License-Identifier: MIT OR Apache-2.0
//! A text into a file: whole, or not at all.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// It could not be written. What stood there before is as it was.
#[derive(Debug, thiserror::Error)]
#[error("writing {}: {error}; nothing was left there", path.display())]
pub struct Error {
    /// The file asked for.
    path: PathBuf,
    /// What came back.
    error: io::Error,
}

/// Writes a text. A regular file is replaced when the text is whole, and keeps its mode and, where
/// this user may give it away, its owner; into anything else (a pipe, a terminal) it is written.
///
/// # Errors
/// Those of open(2), write(2), rename(2).
pub fn write(path: &Path, text: &str) -> Result<(), Error> {
    let of = |error| Error { path: path.to_owned(), error };
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(of(io::ErrorKind::IsADirectory.into())),
        Ok(there) if !there.is_file() => {
            let mut file = OpenOptions::new().write(true).open(path).map_err(of)?;
            file.write_all(text.as_bytes()).map_err(of)
        }
        // Through a symbolic link: what it points to is replaced.
        Ok(_) => replace(&fs::canonicalize(path).map_err(of)?, text).map_err(of),
        Err(_) => replace(path, text).map_err(of),
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let before = fs::metadata(path).ok();
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let neighbour = path.with_file_name(format!(".{name}.{}", std::process::id()));
    // Who might not read the old one is not to read the new one for a moment.
    let mode = if before.is_some() { 0o600 } else { 0o666 };
    let created = OpenOptions::new().write(true).create_new(true).mode(mode).open(&neighbour);
    let written = created.and_then(|mut file| {
        if let Some(before) = &before {
            // Other users than root can give nothing away; then another group is to read nothing.
            let is_given = fchown(&file, Some(before.uid()), Some(before.gid())).is_ok();
            let kept = if is_given { 0o777 } else { 0o707 };
            file.set_permissions(Permissions::from_mode(before.mode() & kept))?;
        }
        file.write_all(text.as_bytes())?;
        // A disk that is full over the network is found out here.
        file.sync_all()
    });
    let done = written.and_then(|()| fs::rename(&neighbour, path));
    if done.is_err() {
        let _ = fs::remove_file(&neighbour);
    }
    done
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    #[test]
    fn whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("page.html");
        super::write(&path, "first").expect("a new file");
        super::write(&path, "second").expect("replacing it");
        assert_eq!(fs::read_to_string(&path).expect("reading it"), "second");
        let error = super::write(folder.path(), "page").expect_err("a folder").to_string();
        assert!(error.contains("directory"), "{error}");
        let error = super::write(&folder.path().join("no/page"), "page")
            .expect_err("no folder")
            .to_string();
        assert!(error.contains("No such file"), "{error}");
        let names: Vec<_> = fs::read_dir(folder.path()).expect("its entries").collect();
        assert_eq!(names.len(), 1, "nothing half written is left: {names:?}");
    }

    #[test]
    fn what_only_its_owner_reads_stays_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("page.html");
        fs::write(&path, "first").expect("a new file");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("ours");
        super::write(&path, "second").expect("replacing it");
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn a_full_device_is_said() {
        let error = super::write(Path::new("/dev/full"), "page").expect_err("no room").to_string();
        assert!(error.starts_with("writing /dev/full: No space left on device"), "{error}");
    }
}
