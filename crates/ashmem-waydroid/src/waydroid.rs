// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waydroid as it is installed, and its container while it runs.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use crate::host::HostFiles;
use crate::provider::Provider;

/// The service that starts the container.
pub const SERVICE: &str = "waydroid-container.service";
/// The container's configuration, written by `waydroid init` and `waydroid upgrade`.
pub const CONFIG: &str = "/var/lib/waydroid/lxc/waydroid/config";
/// The properties that Android's init reads, written at each start of the container.
pub const PROPERTIES: &str = "/var/lib/waydroid/waydroid.prop";
/// What lies where in LXC: `lxc-info -P`.
const LXC_PATH: &str = "/var/lib/waydroid/lxc";
const NAME: &str = "waydroid";

/// Whether its service is installed.
pub fn is_installed(host: &HostFiles) -> bool {
    host.unit(SERVICE).is_some()
}

/// Whether `waydroid init` was run: Waydroid's own test.
pub fn is_initialised(host: &HostFiles) -> bool {
    host.at("/var/lib/waydroid/waydroid.cfg").is_file()
        && host.at("/var/lib/waydroid/rootfs").is_dir()
}

/// Its version, as it says it itself.
pub fn version(host: &HostFiles) -> Option<String> {
    let text = host.read("/usr/lib/waydroid/tools/config/__init__.py").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("version = "))?;
    Some(line.trim().trim_matches('"').to_owned())
}

/// The service's main process, while it runs.
pub fn service_pid(host: &HostFiles) -> Option<u32> {
    let answer = host.answer("systemctl", &["show", "--property=MainPID", "--value", SERVICE])?;
    answer.parse().ok().filter(|pid| *pid != 0)
}

/// A variable in the environment that the service was started with.
pub fn service_variable(host: &HostFiles, pid: u32, name: &str) -> Option<String> {
    let bytes = fs::read(host.at(&format!("/proc/{pid}/environ"))).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.split('\0').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
}

/// The running container, by what it has in `/dev`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct WaydroidContainer {
    /// Its first process.
    pub pid: u32,
    /// Whether a character device is at `/dev/ashmem`.
    pub short_name: bool,
    /// Whether one is at `/dev/ashmem<boot_id>`, which Android 16 opens.
    pub long_name: bool,
    /// Whose it is.
    pub provider: Option<Provider>,
}

impl WaydroidContainer {
    /// The container, if one runs.
    pub fn running(host: &HostFiles) -> Option<Self> {
        let pid =
            host.answer("lxc-info", &["-P", LXC_PATH, "-n", NAME, "-p", "-H"])?.parse().ok()?;
        let device = |name: &str| {
            let found = fs::metadata(host.at(&format!("/proc/{pid}/root/dev/{name}"))).ok()?;
            found.file_type().is_char_device().then(|| found.rdev())
        };
        let short = device("ashmem");
        let long = host.boot_id().ok().and_then(|id| device(&format!("ashmem{id}")));
        let full = fs::metadata(host.at("/dev/full")).ok().map(|found| found.rdev());
        let provider = short.or(long).and_then(|found| {
            if Some(found) == full {
                has_joined(host, pid).then_some(Provider::Agent)
            } else {
                (Some(found) == host.device()).then_some(Provider::Module)
            }
        });
        Some(Self { pid, short_name: short.is_some(), long_name: long.is_some(), provider })
    }

    /// Whether both names lead to a device that is answered.
    pub fn is_complete(&self) -> bool {
        self.short_name && self.long_name && self.provider.is_some()
    }
}

/// Whether a container's first program has joined the agent, by the number of its seccomp filters:
/// one is that of Waydroid's own policy. Kernels before 5.9 do not tell.
fn has_joined(host: &HostFiles, pid: u32) -> bool {
    let status = host.read(&format!("/proc/{pid}/status")).unwrap_or_default();
    let filters = status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"));
    filters.and_then(|count| count.trim().parse().ok()).is_none_or(|count: u32| count > 1)
}
