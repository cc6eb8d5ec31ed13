// SPDX-License-Identifier: MIT OR Apache-2.0
//! The specification by which container engines give out the device: `--device
//! android.dev/ashmem=all`.
//!
//! CDI (Container Device Interface) is what docker, podman, containerd and CRI-O agree on for
//! devices that are more than one node: a JSON file in `/run/cdi` or `/etc/cdi` gives a device a
//! name and says what to change in a container that asks for it. Ours puts both names of the one
//! device into the container: `/dev/ashmem`, and `/dev/ashmem<boot_id>`, which Android 16 alone
//! opens. The second needs no node on the host. It changes with each boot, so the file belongs into
//! `/run/cdi`, which a boot empties; no device number stands in it, for that changes too.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;

/// The oldest version of the specification that has all we say: `hostPath` came with it.
pub(crate) const VERSION: &str = "0.5.0";
/// Vendor and class.
pub(crate) const KIND: &str = "android.dev/ashmem";
/// The one device.
pub(crate) const DEVICE: &str = "all";

const NODE: &str = "/dev/ashmem";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// What stands at the node where a supervisor answers: `/dev/null` in containers under
/// `ashmem agent`, `/dev/full` under `ashmem run`.
const STAND_INS: [(u32, u32); 2] = [(1, 3), (1, 7)];
/// As the driver makes the node: read and write for all.
const MODE: u32 = 0o666;

/// The specification.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    cdi_version: &'static str,
    kind: &'static str,
    devices: Vec<CdiDevice>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CdiDevice {
    name: &'static str,
    container_edits: ContainerEdits,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerEdits {
    device_nodes: Vec<CdiNode>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CdiNode {
    path: String,
    host_path: &'static str,
    r#type: &'static str,
    file_mode: u32,
    permissions: &'static str,
}

/// Why there is no specification.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is nothing to give out.
    #[error(
        "there is no {NODE} to give to containers: load the module (sudo modprobe ashmem_linux); \
         `ashmem doctor --mode module` tells what is in the way"
    )]
    NoDevice,
    /// Something else lies there.
    #[error(
        "{NODE} is {0}, not the driver's device: `ashmem doctor --mode module` tells what is in \
         the way"
    )]
    WrongNode(&'static str),
    /// Nobody answers there.
    #[error("opening {NODE}: {0}; `ashmem doctor --mode module` tells what is in the way")]
    Dead(Errno),
    /// It cannot be looked at.
    #[error("looking at {path}: {errno}")]
    Unseen {
        /// Which file.
        path: &'static str,
        /// What the kernel said.
        errno: Errno,
    },
    /// It could not be written. What stood there before stands there still.
    #[error(
        "writing {path}: {error}; what stood there before is unchanged (it takes root: sudo ashmem \
         cdi --output {path})"
    )]
    Unwritten {
        /// Where to.
        path: PathBuf,
        /// What the kernel said.
        error: std::io::Error,
    },
}

impl Spec {
    /// This machine's, in this boot.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn of_host() -> Result<Self, Error> {
        let stat = match rustix::fs::stat(NODE) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Err(Error::NoDevice),
            Err(errno) => return Err(Error::Unseen { path: NODE, errno }),
        };
        if !FileType::from_raw_mode(stat.st_mode).is_char_device() {
            return Err(Error::WrongNode("no character device"));
        }
        let number = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        if STAND_INS.contains(&number) {
            return Err(Error::WrongNode(
                "what stands in for the device under `ashmem run` and `ashmem agent`",
            ));
        }
        // A node made by hand stays when its driver goes, and opens no more.
        rustix::fs::open(NODE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(Error::Dead)?;
        let id = fs::read_to_string(BOOT_ID).map_err(|error| Error::Unseen {
            path: BOOT_ID,
            errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
        })?;
        Ok(Self::of_boot(id.trim()))
    }

    /// Of the boot with this id.
    pub(crate) fn of_boot(id: &str) -> Self {
        let node = |path| CdiNode {
            path,
            host_path: NODE,
            r#type: "c",
            file_mode: MODE,
            permissions: "rw",
        };
        let device_nodes = vec![node(NODE.to_owned()), node(format!("{NODE}{id}"))];
        let devices =
            vec![CdiDevice { name: DEVICE, container_edits: ContainerEdits { device_nodes } }];
        Self { cdi_version: VERSION, kind: KIND, devices }
    }

    /// As it stands in the file.
    pub(crate) fn to_json(&self) -> String {
        // A structure of strings and numbers always becomes JSON.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Writes it so that an engine reads the old one or the new one and never a part; makes the
    /// folder if it is missing.
    ///
    /// # Errors
    /// [`Error::Unwritten`].
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        self.replace(path).map_err(|error| Error::Unwritten { path: path.to_owned(), error })
    }

    fn replace(&self, path: &Path) -> std::io::Result<()> {
        let folder =
            path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let name = path.file_name().ok_or(std::io::ErrorKind::IsADirectory)?;
        // Engines read files that end in .json or .yaml, so not this one.
        let part = folder.join(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
        let written = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&part)
            .and_then(|mut file| {
                file.write_all(self.to_json().as_bytes()).and_then(|()| file.sync_all())
            })
            .and_then(|()| fs::rename(&part, path));
        if written.is_err() {
            let _ = fs::remove_file(&part);
        }
        written
    }
}
