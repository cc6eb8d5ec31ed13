// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who answers `/dev/ashmem` in the container: the kernel module or the agent, and whether they
//! can.

use std::process::Stdio;
use std::{fmt, fs};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::host::HostFiles;

/// Where containers join the agent.
pub const AGENT_SOCKET: &str = "/run/ashmem/join.sock";
/// The unit that makes that socket.
pub const AGENT_UNIT: &str = "ashmem-join.socket";
/// The program by which they do.
pub const JOIN: &str = "/usr/lib/ashmem/ashmem-join";
/// The module, by the name that Waydroid probes too.
pub const MODULE: &str = "ashmem_linux";

/// What the agent asks of the kernel: to put a descriptor into a process and answer its call at
/// once.
const AGENT_KERNEL: (u32, u32) = (5, 14);

/// Which of the two may serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The module where there is one, else the agent.
    #[default]
    Auto,
    /// The module alone.
    Module,
    /// The agent alone.
    Agent,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Module, Self::Agent];

    /// As it is typed and written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Module => "module",
            Self::Agent => "agent",
        }
    }

    /// Whether the module may serve.
    pub const fn allows_module(self) -> bool {
        matches!(self, Self::Auto | Self::Module)
    }

    /// Whether the agent may.
    pub const fn allows_agent(self) -> bool {
        matches!(self, Self::Auto | Self::Agent)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// The kernel module's device.
    Module,
    /// The agent, which the container's first program joins.
    Agent,
}

impl fmt::Display for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Module => "module",
            Self::Agent => "agent",
        })
    }
}

/// Why one of them cannot serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lack {
    /// The running kernel has none.
    #[error(
        "no module {MODULE} for kernel {0}: `sudo ashmem module install` builds it with this \
         kernel's headers, or see `ashmem doctor`"
    )]
    NoModule(String),
    /// The kernel did not take it.
    #[error(
        "modprobe {MODULE} failed: {0}; `sudo dmesg | tail` has the kernel's reason, `ashmem \
         doctor` explains it"
    )]
    Refused(String),
    /// It is loaded, and no device came of it.
    #[error(
        "{MODULE} is loaded but no character device is at /dev/ashmem: udev or `sudo mknod` must \
         make it"
    )]
    NoDevice,
    /// Below what the agent needs.
    #[error("the agent needs Linux 5.14 or newer, and this is {0}: use the module")]
    OldKernel(String),
    /// The agent is not installed.
    #[error("systemd knows no {AGENT_UNIT}: install the package ashmem")]
    NoAgent,
    /// Nothing is there by which the container could join it.
    #[error("{JOIN} is not there: install the package ashmem")]
    NoJoin,
    /// Nobody listens.
    #[error(
        "nobody answers at {AGENT_SOCKET} ({0}): sudo systemctl start {AGENT_UNIT}, and where the \
         agent runs already without that socket: sudo systemctl restart {AGENT_UNIT} \
         ashmem-agent.service"
    )]
    Silent(String),
}

/// Whether a lack is looked for as things stand now, or as they will when Waydroid's service
/// starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The container starts now: the module is loaded, the agent's socket tried.
    Now,
    /// The module counts if it could be loaded, the agent if systemd can start it.
    Later,
}

/// Who would serve in this mode; with what speaks against each that cannot.
pub fn choose(host: &HostFiles, mode: Mode, when: When) -> (Option<Provider>, Vec<Lack>) {
    let mut lacks = Vec::new();
    if mode.allows_module() {
        match module(host, when) {
            Ok(()) => return (Some(Provider::Module), lacks),
            Err(lack) => lacks.push(lack),
        }
    }
    if mode.allows_agent() {
        match agent(host, when) {
            Ok(()) => return (Some(Provider::Agent), lacks),
            Err(lack) => lacks.push(lack),
        }
    }
    (None, lacks)
}

fn module(host: &HostFiles, when: When) -> Result<(), Lack> {
    if host.device().is_some() {
        return Ok(());
    }
    let release = host.release();
    let list = ["/lib/modules", "/usr/lib/modules"]
        .map(|place| host.at(&format!("{place}/{release}/modules.dep")));
    let has_module = list.iter().any(|path| {
        let file = format!("/{MODULE}.ko");
        fs::read_to_string(path)
            .is_ok_and(|text| text.lines().any(|line| format!("/{line}").contains(&file)))
    });
    if !has_module {
        return Err(Lack::NoModule(release));
    }
    if when == When::Later {
        return Ok(());
    }
    if let Some(mut modprobe) = host.program("modprobe") {
        let output = modprobe.arg(MODULE).stdout(Stdio::null()).output();
        match output {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                return Err(Lack::Refused(
                    String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                ));
            }
            Err(error) => return Err(Lack::Refused(error.to_string())),
        }
    }
    host.device().map(drop).ok_or(Lack::NoDevice)
}

fn agent(host: &HostFiles, when: When) -> Result<(), Lack> {
    if !host.kernel_is_at_least(AGENT_KERNEL) {
        return Err(Lack::OldKernel(host.release()));
    }
    let is_known = host.unit(AGENT_UNIT).is_some();
    if (is_known || when == When::Now) && !host.at(JOIN).exists() {
        return Err(Lack::NoJoin);
    }
    if when == When::Later && is_known {
        return Ok(());
    }
    match listens(host) {
        Err(error) if when == When::Now => Err(Lack::Silent(error.to_string())),
        Err(_) => Err(Lack::NoAgent),
        Ok(()) => Ok(()),
    }
}

/// Whether somebody listens at the agent's socket.
fn listens(host: &HostFiles) -> rustix::io::Result<()> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(host.at(AGENT_SOCKET))?)
}
