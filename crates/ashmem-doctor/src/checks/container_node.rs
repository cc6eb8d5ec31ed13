// SPDX-License-Identifier: MIT OR Apache-2.0
//! What lies at a container's /dev/ashmem. A child asks: the container's file systems may have
//! servers of its own that never answer.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::child::{Child, ChildEnd};

/// How long a container's file systems may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ContainerNode {
    /// Something, with this mode (`st_mode`) and this device number.
    There { mode: u32, major: u32, minor: u32 },
    /// Nothing, or the container is gone.
    Nothing,
    /// No answer in time.
    Silent,
}

/// Looks below a root directory.
pub(super) fn look(root: &Path) -> ContainerNode {
    let asked = || {
        let path = CString::new(root.as_os_str().as_bytes()).ok()?;
        let (reader, writer) = std::io::pipe().ok()?;
        // From here on nothing but system calls.
        let child = Child::start(|| {
            // Who reads what the doctor says must not wait for this child's end.
            let let_go = dup2_stdin(&writer).and_then(|()| dup2_stdout(&writer));
            match let_go.and_then(|()| dup2_stderr(&writer)).and_then(|()| status(&path)) {
                Ok(numbers) => {
                    let bytes = numbers.as_flattened();
                    i32::from(rustix::io::write(&writer, bytes) != Ok(bytes.len()))
                }
                Err(_) => 1,
            }
        });
        drop(writer);
        match child.and_then(|child| child.end(PATIENCE)).ok()? {
            ChildEnd::Exit(0) => {
                let mut bytes = [[0; 4]; 3];
                let mut reader = File::from(std::os::fd::OwnedFd::from(reader));
                reader.read_exact(bytes.as_flattened_mut()).ok()?;
                let [mode, major, minor] = bytes.map(u32::from_ne_bytes);
                Some(ContainerNode::There { mode, major, minor })
            }
            ChildEnd::Late => Some(ContainerNode::Silent),
            _ => None,
        }
    };
    asked().unwrap_or(ContainerNode::Nothing)
}

/// The node's mode and device number.
fn status(root: &CString) -> rustix::io::Result<[[u8; 4]; 3]> {
    let looking = OFlags::PATH | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, looking | OFlags::DIRECTORY, Mode::empty())?;
    let inside = ResolveFlags::IN_ROOT;
    let node = rustix::fs::openat2(&root, c"dev/ashmem", looking, Mode::empty(), inside)?;
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let found = rustix::fs::statx(&node, c"", flags, StatxFlags::BASIC_STATS)?;
    Ok([found.stx_mode.into(), found.stx_rdev_major, found.stx_rdev_minor].map(u32::to_ne_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_another_root_are_found_in_it() {
        let root = tempfile::tempdir().expect("a folder");
        assert_eq!(look(root.path()), ContainerNode::Nothing);
        std::fs::create_dir(root.path().join("dev")).expect("a folder");
        // It leads to a file of that root.
        std::os::unix::fs::symlink("/file", root.path().join("dev/ashmem")).expect("a link");
        assert_eq!(look(root.path()), ContainerNode::Nothing);
        std::fs::write(root.path().join("file"), "").expect("a file");
        let ContainerNode::There { mode, major: 0, minor: 0 } = look(root.path()) else {
            panic!("{:?}", look(root.path()));
        };
        assert_eq!(mode & libc::S_IFMT, libc::S_IFREG);
        assert_eq!(look(&root.path().join("gone")), ContainerNode::Nothing);
    }
}
