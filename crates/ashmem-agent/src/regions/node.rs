// SPDX-License-Identifier: MIT OR Apache-2.0
//! The device as programs see it: its names, and the status of its node.

use std::os::fd::{AsFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use crate::notice;
use crate::seccomp::syscalls::CWD;
use crate::target_thread::FileStatus;

const DIRECTORY: &[u8] = b"/dev/";
const NAME: &[u8] = b"ashmem";

/// The paths of the device, and the status that they show.
pub struct Device {
    /// `ashmem` and the boot's id: the name that libcutils opens from Android 10 on.
    long_name: Vec<u8>,
    /// The node that lies at the path, if one does.
    node: Option<DeviceNode>,
    /// Whether roots without anything at the path have the device too.
    is_in_every_root: bool,
    /// Whether the user is yet to be told of a root with another file at the path.
    tells_of_others: AtomicBool,
}

/// A node at the device's path.
#[derive(Clone, Debug)]
pub struct DeviceNode {
    /// Its status as the program sees it: owners differ between user namespaces.
    stat: libc::stat,
    /// The mounts of the two names, which tell this node from the same node elsewhere.
    mounts: Vec<u64>,
}

/// The device number where no node lies at the path: a character device with a misc number that no
/// driver has.
const MAJOR: u32 = 10;
const MINOR: u32 = 61;

impl DeviceNode {
    /// The node with this status behind these descriptors, one for each name.
    pub fn new(stat: libc::stat, names: impl IntoIterator<Item = impl AsFd>) -> Self {
        Self { stat, mounts: names.into_iter().map(mount_of).collect() }
    }

    /// Its status and its mounts, for the journal.
    pub(crate) fn parts(&self) -> (&libc::stat, &[u64]) {
        (&self.stat, &self.mounts)
    }

    /// A node from the journal.
    pub(crate) fn from_parts(stat: libc::stat, mounts: Vec<u64>) -> Self {
        Self { stat, mounts }
    }

    fn same(&self, file: &FileStatus) -> bool {
        self.stat.st_dev == file.device && self.stat.st_ino == file.inode
    }
}

/// The mount a descriptor lies on; 0 where the kernel does not say (before 5.8).
fn mount_of(fd: impl AsFd) -> u64 {
    FileStatus::of(fd).map_or(0, |status| status.mount)
}

impl Device {
    /// The device with this node, or with none.
    pub fn new(node: Option<DeviceNode>) -> Self {
        let boot = ashmem_proc::system::boot_id().unwrap_or_default();
        Self {
            long_name: [NAME, boot.as_bytes()].concat(),
            node,
            is_in_every_root: false,
            tells_of_others: AtomicBool::new(false),
        }
    }

    /// The same, also where a program changes its root to one in which nothing lies at the path: an
    /// Android file system, whose `/dev` its init would fill.
    pub(crate) fn in_every_root(self) -> Self {
        Self { is_in_every_root: true, ..self }
    }

    /// The same, which tells on standard error of the first program that opens the path in a root
    /// where another file lies there.
    pub(crate) fn telling_of_others(self) -> Self {
        Self { tells_of_others: AtomicBool::new(true), ..self }
    }

    /// The two names in `/dev`.
    pub fn names() -> [String; 2] {
        let long = String::from_utf8_lossy(&Self::new(None).long_name).into_owned();
        [String::from_utf8_lossy(NAME).into_owned(), long]
    }

    /// The node that lies at the path.
    pub(crate) fn node(&self) -> Option<&DeviceNode> {
        self.node.as_ref()
    }

    /// Whether a node lies at the path.
    pub fn has_node(&self) -> bool {
        self.node.is_some()
    }

    /// What fstat(2) shows for every region: the node's status, so that st_dev, st_ino and st_rdev
    /// are the same for all (OPEN-06).
    pub fn stat(&self) -> libc::stat {
        if let Some(node) = &self.node {
            return node.stat;
        }
        // SAFETY: an all-zero stat is a valid one.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        let directory = rustix::fs::stat("/dev").ok();
        stat.st_dev = directory.as_ref().map_or(0, |directory| directory.st_dev);
        stat.st_ino = u64::from(MINOR) << 16;
        stat.st_nlink = 1;
        stat.st_mode = libc::S_IFCHR | 0o666;
        stat.st_rdev = libc::makedev(MAJOR, MINOR);
        // The unit of a file system that lies in memory.
        stat.st_blksize = rustix::param::page_size() as _;
        if let Some(directory) = directory {
            (stat.st_atime, stat.st_mtime, stat.st_ctime) =
                (directory.st_ctime, directory.st_ctime, directory.st_ctime);
        }
        stat
    }

    /// Whether a file is an open of the node that has not become a region yet.
    pub(crate) fn is_placeholder(&self, file: &FileStatus) -> bool {
        self.node.as_ref().is_some_and(|node| node.same(file) && node.mounts.contains(&file.mount))
    }

    /// Whether a thread's path, relative to `dir` unless it is absolute, is the device's. Symbolic
    /// links are not followed: an open through one ends at the node.
    pub fn is_at(&self, tid: i32, dir: RawFd, path: &[u8]) -> bool {
        let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if last != NAME && last != self.long_name {
            return false;
        }
        let full = if path.starts_with(b"/") {
            path.to_vec()
        } else {
            let base = if dir == CWD {
                format!("/proc/{tid}/cwd")
            } else {
                format!("/proc/{tid}/fd/{dir}")
            };
            let Ok(base) = rustix::fs::readlink(base, Vec::new()) else { return false };
            // Directories in a chroot are shown with the path outside it; without its root the path
            // inside remains.
            let Ok(root) = rustix::fs::readlink(format!("/proc/{tid}/root"), Vec::new()) else {
                return false;
            };
            let base = base.into_bytes();
            let inside = base.strip_prefix(root.as_bytes()).unwrap_or(&base);
            [b"/", inside, b"/", path].concat()
        };
        normal(&full) == [DIRECTORY, last].concat() && self.is_in_root_of(tid)
    }

    /// Where a node is known, a root directory with that node has the device; one with something
    /// else at the path has not, and one with nothing there only if it was asked for. The short
    /// name is checked for both: a container's configuration cannot know the long one, which each
    /// boot changes.
    fn is_in_root_of(&self, tid: i32) -> bool {
        let Some(node) = &self.node else { return true };
        let path = [format!("/proc/{tid}/root").as_bytes(), DIRECTORY, NAME].concat();
        match FileStatus::of_path(path) {
            Ok(status) if node.same(&status) => true,
            Ok(_) => {
                self.tell_of_another(tid);
                false
            }
            Err(Errno::NOENT | Errno::NOTDIR) => self.is_in_every_root,
            Err(_) => false,
        }
    }

    fn tell_of_another(&self, tid: i32) {
        if !self.tells_of_others.swap(false, Ordering::Relaxed) {
            return;
        }
        // A root that its program has named so that it writes on the terminal is quoted.
        let root = rustix::fs::readlink(format!("/proc/{tid}/root"), Vec::new());
        let root = root.map(|root| root.to_string_lossy().into_owned()).unwrap_or_default();
        notice!(
            "process {tid} opens /dev/ashmem in the root directory {root:?}, where another \
             file lies at that path, which is not this device: remove that file, or start the \
             program with `ashmem run --root DIR`"
        );
    }

    /// Which descriptor a path names, if it names one: opening that path opens its file again.
    pub(crate) fn descriptor_named(path: &[u8]) -> Option<NamedFd> {
        let path = std::str::from_utf8(path).ok()?;
        match path {
            "/dev/stdin" => return Some(NamedFd::Own(0)),
            "/dev/stdout" => return Some(NamedFd::Own(1)),
            "/dev/stderr" => return Some(NamedFd::Own(2)),
            _ => {}
        }
        let number = |text: &str| -> Option<RawFd> {
            text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
        };
        if let Some(rest) = path.strip_prefix("/dev/fd/") {
            return number(rest).map(NamedFd::Own);
        }
        let (process, rest) = path.strip_prefix("/proc/")?.split_once('/')?;
        let rest = match rest.strip_prefix("task/") {
            // Threads of a process have one table, but for those that took care to have their own.
            Some(rest) => rest.split_once('/').filter(|(thread, _)| number(thread).is_some())?.1,
            None => rest,
        };
        let descriptor = number(rest.strip_prefix("fd/")?)?;
        match process {
            "self" | "thread-self" => Some(NamedFd::Own(descriptor)),
            process => number(process).map(|_| NamedFd::OfProcess),
        }
    }
}

/// A descriptor that a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NamedFd {
    /// The caller's own.
    Own(RawFd),
    /// One of the process that has this number where the caller sees it, in its own `/proc`.
    OfProcess,
}

/// A path without empty, `.` and `..` parts; above the root is the root.
fn normal(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.iter().flat_map(|part| [b"/".as_slice(), part]).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        for (path, want) in [
            ("/dev/ashmem", "/dev/ashmem"),
            ("//dev/./ashmem", "/dev/ashmem"),
            ("/dev/shm/../ashmem", "/dev/ashmem"),
            ("/../dev/ashmem", "/dev/ashmem"),
            ("/", ""),
        ] {
            assert_eq!(normal(path.as_bytes()), want.as_bytes(), "{path}");
        }
    }

    #[test]
    fn every_path_of_a_descriptor_is_known() {
        for (path, want) in [
            ("/proc/self/fd/7", Some(NamedFd::Own(7))),
            ("/proc/thread-self/fd/7", Some(NamedFd::Own(7))),
            ("/proc/self/task/12/fd/7", Some(NamedFd::Own(7))),
            ("/dev/fd/7", Some(NamedFd::Own(7))),
            ("/dev/stdin", Some(NamedFd::Own(0))),
            ("/proc/12/fd/7", Some(NamedFd::OfProcess)),
            ("/proc/12/task/13/fd/7", Some(NamedFd::OfProcess)),
            ("/proc/12/fd/", None),
            ("/proc/12/fd/x", None),
            ("/proc/12/fdinfo/7", None),
            ("/proc/12/../fd/7", None),
            ("/proc/sys/fd/7", None),
            ("/dev/fd/-1", None),
        ] {
            assert_eq!(Device::descriptor_named(path.as_bytes()), want, "{path}");
        }
    }

    #[test]
    fn both_names_are_the_device_and_no_other() {
        let device = Device::new(None);
        let me = std::process::id() as i32;
        let [short, long] = Device::names();
        assert!(long.len() > short.len() + 30, "{long}");
        assert!(device.is_at(me, CWD, format!("/dev/{short}").as_bytes()));
        assert!(device.is_at(me, CWD, format!("/dev/{long}").as_bytes()));
        for other in ["/dev/ashmemx", "/dev/ashmem/", "/tmp/ashmem", "ashmem", "/dev/null"] {
            assert!(!device.is_at(me, CWD, other.as_bytes()), "{other}");
        }
    }
}
