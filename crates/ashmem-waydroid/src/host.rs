// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine that Waydroid runs on, seen below a root directory.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The machine, or a directory that stands for its root.
#[derive(Clone, Debug)]
pub struct HostFiles {
    root: PathBuf,
}

/// A file that could not be read, written or removed.
#[derive(Debug, thiserror::Error)]
#[error("{what} {path}: {error}{hint}", path = .path.display(), hint = hint(.error))]
pub struct FileError {
    /// What was tried: `reading`, `writing`, `removing`.
    pub what: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub error: io::Error,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            " (make it writable first, by `sudo mount -o remount,rw` or as this distribution does \
             it)"
        }
        io::ErrorKind::PermissionDenied => " (this needs root: run it with sudo)",
        _ => "",
    }
}

impl HostFiles {
    /// The machine whose root directory this is; programs are run only where it is `/`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// A path of the machine, as this process reaches it.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Whether this is the running machine itself.
    pub fn is_live(&self) -> bool {
        self.root == Path::new("/")
    }

    /// A program of the machine; none where it cannot be run from here.
    pub fn program(&self, name: &str) -> Option<Command> {
        self.is_live().then(|| {
            let mut command = Command::new(name);
            command.stdin(Stdio::null()).env("LC_ALL", "C.UTF-8");
            command
        })
    }

    /// What a program of the machine prints; none if it cannot be run here or fails.
    pub fn answer(&self, name: &str, words: &[&str]) -> Option<String> {
        let output = self.program(name)?.args(words).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// A file's text.
    ///
    /// # Errors
    /// It is not there, is not readable, or is not text.
    pub fn read(&self, path: &str) -> Result<String, FileError> {
        let path = self.at(path);
        fs::read_to_string(&path).map_err(|error| FileError { what: "reading", path, error })
    }

    /// Writes a file beside the one it replaces, and gives it the name when it is whole. Makes its
    /// directory.
    ///
    /// # Errors
    /// Nothing stands at the name that did not before.
    pub fn write(&self, path: &str, text: &str) -> Result<(), FileError> {
        let place = self.at(path);
        let part = place.with_extension("part");
        let written = (|| {
            if let Some(directory) = place.parent() {
                fs::create_dir_all(directory)?;
            }
            let _ = fs::remove_file(&part);
            let mut file =
                fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&part)?;
            // Others read it whatever this process's mask is: LXC, systemd, the user who asks how
            // things stand.
            file.set_permissions(fs::Permissions::from_mode(0o644))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&part, &place)
        })();
        written.map_err(|error| {
            let _ = fs::remove_file(&part);
            FileError { what: "writing", path: place, error }
        })
    }

    /// Removes a file; one that is not there is no error.
    ///
    /// # Errors
    /// It is still there.
    pub fn remove(&self, path: &str) -> Result<(), FileError> {
        let path = self.at(path);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FileError { what: "removing", path, error })
            }
            _ => Ok(()),
        }
    }

    /// The id of this boot, as libcutils appends it to the device's name.
    ///
    /// # Errors
    /// /proc is not there.
    pub fn boot_id(&self) -> Result<String, FileError> {
        Ok(self.read("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
    }

    /// What `uname -r` says.
    pub fn release(&self) -> String {
        self.read("/proc/sys/kernel/osrelease")
            .map_or_else(|_| "?".to_owned(), |text| text.trim().to_owned())
    }

    /// Whether the kernel is of this version or newer. A release that says nothing counts as new.
    pub fn kernel_is_at_least(&self, wanted: (u32, u32)) -> bool {
        version(&self.release()).is_none_or(|found| found >= wanted)
    }

    /// The number of the character device at `/dev/ashmem`, if one is there.
    pub fn device(&self) -> Option<u64> {
        let found = fs::metadata(self.at("/dev/ashmem")).ok()?;
        found.file_type().is_char_device().then(|| found.rdev())
    }

    /// Whether systemd is what started this system.
    pub fn runs_systemd(&self) -> bool {
        self.at("/run/systemd/system").is_dir()
    }

    /// The file of a unit that systemd knows, by the order of its directories.
    pub fn unit(&self, name: &str) -> Option<String> {
        const DIRECTORIES: [&str; 5] = [
            "/etc/systemd/system",
            "/run/systemd/system",
            "/usr/local/lib/systemd/system",
            "/usr/lib/systemd/system",
            "/lib/systemd/system",
        ];
        DIRECTORIES
            .iter()
            .map(|place| format!("{place}/{name}"))
            .find(|path| self.at(path).exists())
    }
}

/// The first two numbers of a version.
pub(crate) fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|letter: char| !letter.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_begin_with_two_numbers() {
        assert_eq!(version("6.12.41+deb13-amd64"), Some((6, 12)));
        assert_eq!(version("5.0.2"), Some((5, 0)));
        assert_eq!(version("?"), None);
    }
}
