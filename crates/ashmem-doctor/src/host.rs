// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine as the checks see it: its own root directory, or another one in its place.
//!
//! Another root may be a container's (`/proc/PID/root`) or a folder that is no system at all, so
//! nothing in it is trusted: symbolic links, absolute ones too, are followed inside it, files are
//! read up to a limit, and no program of it is executed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::{Errno, Result};

/// No file that is looked at is longer, in bytes: the longest are libraries and modules.
const LIMIT: u64 = 32 << 20;

/// The first pid namespace: its number is fixed in the kernel's ABI (`PROC_PID_INIT_INO`).
const INITIAL_PIDS: &str = "pid:[4026531836]";

/// Where programs lie, if PATH does not say.
const PROGRAMS: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// A root directory.
pub struct Host {
    /// `None`: this process's own.
    root: Option<Root>,
    path: PathBuf,
}

struct Root(OwnedFd);

impl Host {
    /// This machine.
    pub fn here() -> Self {
        Self { root: None, path: PathBuf::from("/") }
    }

    /// What lies under a directory.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn at(directory: &Path) -> Result<Self> {
        if directory == Path::new("/") {
            return Ok(Self::here());
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(directory, flags, Mode::empty())?;
        Ok(Self { root: Some(Root(root)), path: directory.to_owned() })
    }

    /// Whether this is the machine's own root, whose programs may be run.
    pub fn is_here(&self) -> bool {
        self.root.is_none()
    }

    /// The root directory.
    pub fn root(&self) -> &Path {
        &self.path
    }

    /// Opens what lies at an absolute path.
    ///
    /// # Errors
    /// Those of openat2(2).
    pub fn open(&self, path: &str, flags: OFlags) -> Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        match &self.root {
            None => rustix::fs::open(path, flags, Mode::empty()),
            Some(Root(root)) => {
                let path = path.trim_start_matches('/');
                let path = if path.is_empty() { "." } else { path };
                rustix::fs::openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)
            }
        }
    }

    /// A file's bytes; `None` where there is no such file, or none that this user may read.
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        // Looked at before it is opened: a foreign root may have a pipe or a device there.
        let place = self.open(path, OFlags::PATH).ok()?;
        let is_file = rustix::fs::fstat(&place)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_file());
        if !is_file {
            return None;
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let fd = if self.is_here() {
            self.open(path, flags).ok()?
        } else {
            let link = format!("/proc/self/fd/{}", place.as_raw_fd());
            rustix::fs::open(link, flags | OFlags::CLOEXEC, Mode::empty()).ok()?
        };
        let mut bytes = Vec::new();
        File::from(fd).take(LIMIT).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// A file's text, as [`Host::bytes`], without the white space at its ends.
    pub fn text(&self, path: &str) -> Option<String> {
        self.bytes(path).map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// The names in a directory, in order; none where there is no such directory.
    pub fn names(&self, directory: &str) -> Vec<String> {
        let Ok(fd) = self.open(directory, OFlags::RDONLY | OFlags::DIRECTORY) else {
            return Vec::new();
        };
        let Ok(entries) = Dir::read_from(fd.as_fd()) else { return Vec::new() };
        let mut names: Vec<_> = entries
            .filter_map(std::result::Result::ok)
            .map(|entry| String::from_utf8_lossy(entry.file_name().to_bytes()).into_owned())
            .filter(|name| name != "." && name != "..")
            .collect();
        names.sort_unstable();
        names
    }

    /// What lies at a path, at the end of its links.
    ///
    /// # Errors
    /// Those of openat2(2).
    pub fn stat(&self, path: &str) -> Result<Stat> {
        rustix::fs::fstat(self.open(path, OFlags::PATH)?)
    }

    /// What a link says; a namespace's name, for those in `/proc`.
    pub fn link(&self, path: &str) -> Option<String> {
        let link = match &self.root {
            None => rustix::fs::readlink(path, Vec::new()),
            Some(_) => {
                let fd = self.open(path, OFlags::PATH | OFlags::NOFOLLOW).ok()?;
                rustix::fs::readlinkat(fd, "", Vec::new())
            }
        };
        Some(link.ok()?.to_string_lossy().into_owned())
    }

    /// Whether anything lies at a path.
    pub fn has(&self, path: &str) -> bool {
        !matches!(self.open(path, OFlags::PATH), Err(Errno::NOENT | Errno::NOTDIR))
    }

    /// The files below a directory that have one of these names: down to eight folders deep, not
    /// through links.
    pub fn find(&self, directory: &str, names: &[&str]) -> Option<String> {
        let mut waiting = vec![(directory.to_owned(), 0)];
        while let Some((directory, depth)) = waiting.pop() {
            for name in self.names(&directory) {
                let path = format!("{directory}/{name}");
                if names.contains(&name.as_str()) {
                    return Some(path);
                }
                let flags = OFlags::PATH | OFlags::NOFOLLOW;
                let is_folder = |fd| {
                    rustix::fs::fstat(fd)
                        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir())
                };
                if depth < 8 && self.open(&path, flags).is_ok_and(is_folder) {
                    waiting.push((path, depth + 1));
                }
            }
        }
        None
    }

    /// Where a program lies, by PATH and the usual folders.
    pub fn program(&self, name: &str) -> Option<String> {
        let path = if self.is_here() {
            std::env::var_os("PATH").unwrap_or_default()
        } else {
            Default::default()
        };
        let folders = path
            .as_bytes()
            .split(|byte| *byte == b':')
            .map(|folder| OsStr::from_bytes(folder).to_string_lossy());
        folders
            .filter(|folder| folder.starts_with('/'))
            .map(|folder| folder.into_owned())
            .chain(PROGRAMS.map(str::to_owned))
            .map(|folder| format!("{folder}/{name}"))
            .find(|path| {
                self.stat(path).is_ok_and(|stat| {
                    FileType::from_raw_mode(stat.st_mode).is_file() && stat.st_mode & 0o111 != 0
                })
            })
    }

    /// What a program prints about itself; `None` if this is another root, whose programs are not
    /// run.
    pub fn ask(&self, program: &str, words: &[&str]) -> Option<String> {
        if !self.is_here() {
            return None;
        }
        let output = Command::new(program).args(words).stdin(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The running kernel's release, as uname(1) prints it.
    pub fn kernel(&self) -> String {
        self.text("/proc/sys/kernel/osrelease")
            .unwrap_or_else(|| rustix::system::uname().release().to_string_lossy().into_owned())
    }

    /// This boot's id, which is part of the device's second name.
    pub fn boot_id(&self) -> Option<String> {
        self.text("/proc/sys/kernel/random/boot_id").filter(|id| !id.is_empty())
    }

    /// What kind of container this is in, if it is in one.
    pub fn container(&self) -> Option<String> {
        // These files stay behind where an image became a virtual machine's disk or WSL's; such a
        // system is no container.
        let is_namespace = self.link("/proc/self/ns/pid").is_none_or(|name| name != INITIAL_PIDS);
        for (file, kind) in [("/run/.containerenv", "podman"), ("/.dockerenv", "docker")] {
            if is_namespace && self.has(file) {
                return Some(kind.to_owned());
            }
        }
        if let Some(kind) = self.text("/run/systemd/container") {
            return Some(kind);
        }
        let environment = self.bytes("/proc/1/environ")?;
        let kind = environment
            .split(|byte| *byte == 0)
            .find_map(|variable| variable.strip_prefix(b"container="))?;
        Some(String::from_utf8_lossy(kind).into_owned())
    }
}
