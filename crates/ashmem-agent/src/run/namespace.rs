// SPDX-License-Identifier: MIT OR Apache-2.0
//! A private `/dev` with the device's node: lookups of its path then cost nothing.
//!
//! Only root may add a node to `/dev`, and would add it for every process. So the program gets a
//! mount namespace with a small tmpfs on `/dev`. The tmpfs shows every entry of the old `/dev` by a
//! bind mount, and two more: the device's names, bound to `/dev/full` (at `fast`: `/dev/null`). A
//! program that opens one of them without a notification (a read-only open, io_uring) holds a
//! harmless descriptor, which the first ioctl turns into a region.
//!
//! Root stays in its user namespace, and its mounts elsewhere still reach the host. Another user
//! needs a user namespace: in it the program sees its own user and group as before, and other
//! users' files as owned by nobody. Where the kernel refuses it there is no node, and path lookups
//! are notified instead. Entries that are added to the old `/dev` later do not appear in the new
//! one, except in its directories.
//!
//! A program that starts in another root directory gets the same there: nothing is written to that
//! directory, and what `/dev` in it shows is seen by the program alone.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::mount::{
    MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_change, move_mount,
    open_tree,
};
use rustix::process::{getgid, getuid};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::regions::node::Device;
use crate::seccomp::filter::Fidelity;

/// What stands for the device, found before another root directory hides it.
pub(crate) struct Devices {
    /// The old `/dev`, whose devices stand for ours.
    folder: OwnedFd,
    /// The device's two names.
    names: [CString; 2],
}

/// Enters a mount namespace of its own. With `whole`, no mount made in it reaches the host; else
/// only those in `/dev` do not.
///
/// What the kernel said to the step that failed. If it was the first, nothing has changed; after a
/// later one the process may be in a namespace of its own.
pub(crate) fn enter(whole: bool) -> Result<Devices> {
    // SAFETY: neither flag touches the descriptor table, and no other thread shares this process's
    // file system state.
    unsafe {
        if unshare_unsafe(UnshareFlags::NEWNS).is_err() {
            let (user, group) = (getuid().as_raw(), getgid().as_raw());
            unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)?;
            map_ids(user, group)?;
        }
    }
    let names = Device::names().map(|name| CString::new(name).unwrap_or_default());
    let devices = Devices { folder: open_dev()?, names };
    if whole {
        let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        mount_change("/", flags)?;
    } else {
        keep_mounts_private()?;
    }
    Ok(devices)
}

/// chroot(2): goes on in this root directory.
///
/// What the kernel said; EPERM: without CAP_SYS_CHROOT, which [`enter`] gives where user namespaces
/// are allowed.
pub(crate) fn change_root(root: &Path) -> Result<()> {
    rustix::process::chroot(root)?;
    rustix::process::chdir("/")
}

/// Mounts a private `/dev`, and returns the device's two nodes, opened with O_PATH. It shows the
/// entries of the `/dev` that is there.
///
/// What the kernel said. NOENT: this root has no `/dev`.
pub(crate) fn show_nodes(fidelity: Fidelity, devices: &Devices) -> Result<[OwnedFd; 2]> {
    let Devices { folder, names } = devices;
    let old = open_dev()?;
    mount("ashmem", "/dev", "tmpfs", rustix::mount::MountFlags::NOSUID, c"mode=0755,size=1m")?;
    let new = open_dev()?;
    for entry in rustix::fs::Dir::read_from(&old)? {
        let entry = entry?;
        let name = entry.file_name();
        if [c".", c".."].contains(&name) || names.iter().any(|own| own.as_c_str() == name) {
            continue;
        }
        // Only a program that looks for this entry misses it.
        if let Err(error) = show(&old, &new, name, entry.file_type()) {
            tracing::debug!(?name, %error, "an entry of /dev is not shown");
        }
    }
    let [short, long] = names.each_ref().map(|name| node(fidelity, folder, &new, name));
    Ok([short?, long?])
}

fn open_dev() -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open("/dev", flags, Mode::empty())
}

/// Maps this user and group to themselves in the new user namespace.
fn map_ids(user: u32, group: u32) -> Result<()> {
    let write = |path: &str, text: String| {
        std::fs::write(path, text)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::PERM))
    };
    // A user that may not set groups may not drop one either: a group can take rights away.
    write("/proc/self/setgroups", "deny".into())?;
    write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    write("/proc/self/gid_map", format!("{group} {group} 1"))
}

/// Makes mounts on `/dev` private, so that they do not reach the host. Other mounts propagate as
/// before.
fn keep_mounts_private() -> Result<()> {
    match mount_change("/dev", MountPropagationFlags::PRIVATE) {
        // If `/dev` is no mount point, the mount below it counts.
        Err(Errno::INVAL) => mount_change("/", MountPropagationFlags::PRIVATE),
        other => other,
    }
}

/// Shows one entry of the old `/dev` in the new one.
fn show(old: &OwnedFd, new: &OwnedFd, name: &std::ffi::CStr, kind: FileType) -> Result<()> {
    match kind {
        FileType::Symlink => {
            let to = rustix::fs::readlinkat(old, name, Vec::new())?;
            return rustix::fs::symlinkat(std::ffi::OsStr::from_bytes(to.as_bytes()), new, name);
        }
        FileType::Directory => rustix::fs::mkdirat(new, name, Mode::from_bits_retain(0o755))?,
        _ => place(new, name)?,
    }
    bind(old, name, new, name)
}

/// Binds the device that stands for ours to a name of the new `/dev`: `full`, or `null` where there
/// is no other. Clients know regions by the node's number, and take each device of that number for
/// one; nearly every program opens the null device, hardly any the full one. At `fast` no region
/// has the node's number, and an open is the node itself until its first ioctl: there it is `null`,
/// which reads as empty.
fn node(
    fidelity: Fidelity,
    devices: &OwnedFd,
    new: &OwnedFd,
    name: &std::ffi::CStr,
) -> Result<OwnedFd> {
    place(new, name)?;
    match fidelity {
        Fidelity::Full => {
            bind(devices, c"full", new, name).or_else(|_| bind(devices, c"null", new, name))
        }
        Fidelity::Fast => bind(devices, c"null", new, name),
    }?;
    rustix::fs::openat(new, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// An empty file to bind something to.
fn place(new: &OwnedFd, name: &std::ffi::CStr) -> Result<()> {
    rustix::fs::mknodat(new, name, FileType::RegularFile, Mode::RUSR | Mode::WUSR, 0)
}

fn bind(old: &OwnedFd, from: &std::ffi::CStr, new: &OwnedFd, to: &std::ffi::CStr) -> Result<()> {
    let tree = open_tree(
        old,
        from,
        OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE,
    )?;
    move_mount(tree, c"", new, to, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}
