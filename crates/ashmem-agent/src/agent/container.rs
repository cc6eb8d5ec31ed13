// SPDX-License-Identifier: MIT OR Apache-2.0
//! A container's device: the nodes at /dev/ashmem in it.

use std::os::fd::OwnedFd;

use ashmem_proc::system;
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};

use crate::line_budget;
use crate::regions::node::{Device, DeviceNode};
use crate::sys;

/// The device in the container that this process belongs to, with the nodes at its names there, or
/// without any.
pub fn device_of(pid: i32) -> Device {
    match nodes(pid) {
        Ok((stat, nodes)) => Device::new(Some(DeviceNode::new(stat, nodes))),
        Err(error) => {
            tracing::debug!(
                pid,
                %error,
                "no node at /dev/ashmem in the container: only opens for reading and writing are \
                 answered"
            );
            Device::new(None)
        }
    }
}

/// The status of the node as the container shows it, and descriptors of its names.
fn nodes(pid: i32) -> Result<(libc::stat, Vec<OwnedFd>)> {
    if pid <= 0 {
        return Err(Errno::SRCH);
    }
    let looking = OFlags::PATH | OFlags::CLOEXEC;
    let root =
        rustix::fs::open(format!("/proc/{pid}/root"), looking | OFlags::DIRECTORY, Mode::empty())?;
    let (mut nodes, mut refused) = (Vec::new(), Errno::NOENT);
    for name in Device::names() {
        match node_in(&root, &name) {
            Ok(node) => nodes.push(node),
            Err(error) => refused = error,
        }
    }
    let mut stat = sys::fstat(nodes.first().ok_or(refused)?)?;
    if stat.st_mode & libc::S_IFMT != libc::S_IFCHR && line_budget::may_say() {
        tracing::warn!(
            pid,
            "/dev/ashmem in the container is no character device: bind-mount /dev/full there"
        );
    }
    stat.st_uid = inside_number(pid, "uid_map", stat.st_uid);
    stat.st_gid = inside_number(pid, "gid_map", stat.st_gid);
    Ok((stat, nodes))
}

/// Opens a name in the `/dev` below a root directory. The container owns this tree and may have put
/// symbolic links into it: none is followed. It goes step by step, because systemd denies
/// openat2(2) to services that may not make set-user-ID files, and so to every service with a user
/// of its own (`DynamicUser`).
fn node_in(root: &OwnedFd, name: &str) -> Result<OwnedFd> {
    let looking = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let folder = rustix::fs::openat(root, "dev", looking | OFlags::DIRECTORY, Mode::empty())?;
    rustix::fs::openat(folder, name, looking, Mode::empty())
}

/// A user or group of ours as the container's user namespace shows it.
fn inside_number(pid: i32, map: &str, outside: u32) -> u32 {
    /// The number that the kernel shows for users outside the namespace.
    const NOBODY: u32 = 65534;
    let Ok(map) = std::fs::read_to_string(format!("/proc/{pid}/{map}")) else { return outside };
    system::inside_id(&map, outside).unwrap_or(NOBODY)
}

#[cfg(test)]
mod tests {
    use super::{device_of, node_in};
    use rustix::fs::{Mode, OFlags};
    use rustix::io::Errno;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_containers_links_lead_nowhere_outside_it() {
        let root = std::env::temp_dir().join(format!("ashmem-root-{}", std::process::id()));
        std::fs::create_dir_all(&root).expect("a folder");
        symlink("/dev", root.join("dev")).expect("a link");
        let open = || {
            rustix::fs::open(&root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
                .expect("it is there")
        };
        // The host has a /dev/null; below this root there is only a link.
        assert_eq!(node_in(&open(), "null").map(drop), Err(Errno::NOTDIR));
        std::fs::remove_file(root.join("dev")).expect("it was ours");
        symlink("../../../../../../dev", root.join("dev")).expect("a link");
        assert_eq!(node_in(&open(), "null").map(drop), Err(Errno::NOTDIR));
        std::fs::remove_dir_all(root).expect("it was ours");
    }

    #[test]
    fn a_process_that_is_not_there_has_a_device_without_a_node() {
        assert!(!device_of(0).has_node());
        assert!(!device_of(i32::MAX).has_node());
    }
}
